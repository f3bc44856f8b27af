"""History: one index holds everything that the figures need."""

from __future__ import annotations

from datetime import timedelta

from intctl.db.connect import Database
from intctl.db.url import POSTGRESQL
from intctl.store import clock, history

from ..test_metrics import add_integration


def test_history_is_read_from_the_covering_index(database: Database) -> None:
    """The figures read the checks from idx_integration_health_logs_history alone."""
    id, *_ = (add_integration(database, f"Integration {number}") for number in range(30))
    database.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)"
        " INSERT INTO integration_health_logs (integration_id, check_type, status, response_time_ms, checked_at)"
        " SELECT s.id, 'scheduled', 'success', n.i, {after -7 * n.i} FROM integrations s, n"
    )
    for sql in (history._LOGGED, history._COUNTED.replace("{packed}", history._PACKED[database.dialect])):
        text, parameters = history.asked(database, sql, "checked_at", [id])
        now = clock.now(database)
        parameters |= {"start": now - timedelta(minutes=10), "end": now}
        if database.dialect == POSTGRESQL:
            database.run("CHECKPOINT")  # the tests' server commits late, and VACUUM trusts only what is written
            database.run("VACUUM ANALYZE integration_health_logs")
            plan = database.rows(f"EXPLAIN {text}", parameters)
        else:
            plan = database.rows(f"EXPLAIN QUERY PLAN {text}", parameters)
        said = " ".join(str(value) for row in plan for value in row.values())
        assert "idx_integration_health_logs_history" in said
        assert ("Index Only Scan" if database.dialect == POSTGRESQL else "COVERING INDEX") in said
