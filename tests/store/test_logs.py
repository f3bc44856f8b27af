"""Health logs: newest first, within limit and time."""

from __future__ import annotations

from datetime import timedelta

from intctl.db.connect import Database
from intctl.store import clock, logs

from ..conftest import ORG_ID
from ..test_metrics import add_integration, add_log


def test_logs_newest_first_within_limit_and_time(database: Database) -> None:
    """Limit, failures and since filter the logs of one or of all living integrations."""
    one, gone = add_integration(database, "One"), add_integration(database, "Gone")
    for seconds in (30, 10, 20):
        add_log(database, one, "failure" if seconds == 20 else "success", seconds, seconds_ago=seconds)
    add_log(database, gone, "success", 40, seconds_ago=40)
    database.run("UPDATE integrations SET deleted_at = {now} WHERE id = :id", {"id": gone})
    times = [row.response_time_ms for row in logs.newest(database, ORG_ID)]
    assert times == [10, 20, 30]
    assert [row.response_time_ms for row in logs.newest(database, ORG_ID, limit=2)] == [10, 20]
    assert [row.response_time_ms for row in logs.newest(database, ORG_ID, failures=True)] == [20]
    since = clock.now(database) - timedelta(seconds=25)
    assert [row.response_time_ms for row in logs.newest(database, ORG_ID, since=since)] == [10, 20]
    assert [row.response_time_ms for row in logs.newest(database, ORG_ID, id=gone)] == [40]
