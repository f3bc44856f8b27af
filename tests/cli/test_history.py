"""logs and metrics on the command line."""

from __future__ import annotations

import pytest

from intctl.store.connect import connect

from ..conftest import ORG_ID
from ..test_metrics import add_integration, add_log
from .conftest import Intctl


@pytest.fixture
def history(intctl: Intctl) -> Intctl:
    """One integration with checks 1 minute, 2 hours and 3 days ago, and another without any."""
    with connect(intctl.target) as database:
        id = add_integration(database, "One")
        add_integration(database, "None")
        for status, minutes in (("success", 1), ("failure", 120), ("success", 4320)):
            add_log(database, id, status, minutes, seconds_ago=minutes * 60 + 5)
    return intctl


@pytest.mark.parametrize(
    ("since", "count"), [("30m", 1), ("3h", 2), ("7d", 3), ("2020-01-31", 3), ("2020-01-31T00:00:00+02:00", 3),
                         ("2999-01-01T00:00:00Z", 0)]
)  # fmt: skip
def test_since(history: Intctl, since: str, count: int) -> None:
    """Minutes, hours, days back, or a time; without a zone it is UTC."""
    assert len(history("logs", "--since", since, "-o", "json").json) == count


@pytest.mark.parametrize("since", ["", "0h", "-1h", "h", "1y", "yesterday", "99999999d", "999999d",
                                   "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])  # fmt: skip
def test_since_refuses(history: Intctl, since: str) -> None:
    """What is no time is wrong usage, however far it reaches; an empty one is none."""
    ran = history("logs", "--since", since, code=None)
    assert (ran.code, ran.err.count("\n")) == ((0, 0) if since == "" else (2, 1))


def test_logs_of_one_and_of_all(history: Intctl) -> None:
    """NAME, --failures and --limit narrow; where nothing is recorded it is said."""
    assert len(history("logs", "one", "-o", "json").json) == 3
    assert [row["status"] for row in history("logs", "--failures", "-o", "json").json] == ["failure"]
    assert len(history("logs", "--limit", "2", "-o", "json").json) == 2
    assert history("logs", "None").out == "No checks are recorded there.\n"
    for limit in ("0", "10001", "x"):
        history("logs", "--limit", limit, code=2)


@pytest.mark.parametrize(("window", "checks", "uptime"), [("24h", 2, 50.0), ("7d", 3, 66.67), ("30d", 3, 66.67)])
def test_metrics_by_window(history: Intctl, window: str, checks: int, uptime: float) -> None:
    """The window decides what counts; what was never checked has no percentage."""
    none, one = history("metrics", "--window", window, "-o", "json").json
    assert (one["integration"], one["checks"], one["uptime_percent"], one["window"]) == ("One", checks, uptime, window)
    assert (none["checks"], none["uptime_percent"], none["response_time_p95_ms"]) == (0, None, None)
    assert history("metrics", "One", "--window", window, "-o", "json").json == [one]
    assert ORG_ID not in history("metrics").out
