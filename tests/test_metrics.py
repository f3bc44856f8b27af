"""Uptime, averages and percentiles, against the arithmetic done by hand."""

from __future__ import annotations

import json
import math
import random
import uuid
from datetime import timedelta
from typing import Any

import pytest

from intctl.metrics import WINDOWS, summarise
from intctl.store import reads
from intctl.store.connect import Database, Target, connect

from .conftest import ORG_ID


def counted(**values: object) -> dict[str, Any]:
    return {"integration": "x", "id": "1", "successes": 0, "failures": 0, "unknowns": 0, "average_ms": None,
            "p95_ms": None, **values}  # fmt: skip


def test_nothing_judged_has_no_percentage() -> None:
    """Without a success or a failure there is no uptime and no error rate, rather than a zero."""
    found = summarise(counted(unknowns=3), "24h")
    assert (found["checks"], found["unknown"]) == (3, 3)
    assert found["uptime_percent"] is found["error_rate_percent"] is found["response_time_average_ms"] is None
    assert found["response_time_p95_ms"] is None


def test_unknown_is_neither_up_nor_down() -> None:
    """Unknown checks are counted, and change no percentage."""
    found = summarise(counted(successes=2, failures=1, unknowns=50, average_ms=10.26, p95_ms=12), "7d")
    assert (found["checks"], found["uptime_percent"], found["error_rate_percent"]) == (53, 66.67, 33.33)
    assert (found["response_time_average_ms"], found["response_time_p95_ms"], found["window"]) == (10.3, 12, "7d")


def add_integration(database: Database, name: str, org_id: str = ORG_ID, **values: object) -> str:
    """An integration as a row; its id."""
    id = str(uuid.uuid4())
    row = {"id": id, "org_id": org_id, "type": "email", "provider": "smtp", "name": name, "config": {"v": 0},
           "status": "active", **values}  # fmt: skip
    database.run(f"INSERT INTO integrations ({', '.join(row)}) VALUES ({', '.join(f':{key}' for key in row)})", row)
    return id


def add_log(
    database: Database, id: str, status: str, ms: int | None, *, seconds_ago: int = 60, **metadata: Any
) -> None:
    """A health log as a row."""
    database.run(
        "INSERT INTO integration_health_logs (id, integration_id, check_type, status, response_time_ms, checked_at,"
        " metadata) VALUES (:log, :id, 'manual', :status, :ms, {after :shift}, :metadata)",
        {"log": str(uuid.uuid4()), "id": id, "status": status, "ms": ms, "shift": -seconds_ago, "metadata": metadata},
    )


def nearest_rank(values: list[int]) -> int | None:
    """The 95th percentile by its definition."""
    return sorted(values)[math.ceil(95 * len(values) / 100) - 1] if values else None


@pytest.mark.parametrize("count", [0, 1, 2, 19, 20, 21, 40, 59, 100])
def test_percentile_is_the_nearest_rank(target: Target, count: int) -> None:
    """p95 and average count successes only, equal times and missing ones included, as the definition says."""
    chance = random.Random(count)
    times = [chance.choice([5, 7, chance.randrange(10_000)]) for _ in range(count)]
    with connect(target) as database:
        id, other = add_integration(database, "One"), add_integration(database, "Other")
        for ms in times:
            add_log(database, id, "success", ms)
        for ms in (90_000, 90_001):
            add_log(database, id, "failure", ms)
        add_log(database, id, "unknown", 99_999)
        add_log(database, id, "success", None)
        add_log(database, other, "success", 50_000)
        since = reads.now(database) - WINDOWS["24h"]
        (one,) = reads.metrics(database, ORG_ID, since=since, id=id)
    found = summarise(one, "24h")
    assert found["response_time_p95_ms"] == nearest_rank(times)
    assert found["response_time_average_ms"] == (round(sum(times) / count, 1) if count else None)
    assert (found["successes"], found["failures"], found["unknown"]) == (count + 1, 2, 1)


def test_windows(target: Target) -> None:
    """A check counts in the windows that reach back to it, and in no shorter one."""
    with connect(target) as database:
        id = add_integration(database, "One")
        for hours in (1, 23, 25, 24 * 6, 24 * 8, 24 * 29, 24 * 31):
            add_log(database, id, "success", 10, seconds_ago=hours * 3600)
        now = reads.now(database)
        counts = {
            window: reads.metrics(database, ORG_ID, since=now - length)[0]["successes"]
            for window, length in WINDOWS.items()
        }
    assert counts == {"24h": 2, "7d": 4, "30d": 6}
    assert WINDOWS["24h"] == timedelta(days=1)


def test_metadata_of_another_program_is_no_obstacle(target: Target) -> None:
    """Logs whose metadata is missing or no object are shown with what their status says."""
    with connect(target) as database:
        id = add_integration(database, "One")
        add_log(database, id, "failure", 3)
        database.run("UPDATE integration_health_logs SET metadata = NULL")
        (log,) = reads.logs(database, ORG_ID)
        assert (log["verdict"], log["code"], log["facts"], log["phases_ms"]) == ("down", "", {}, {})
        add_log(database, id, "success", 4, seconds_ago=30)
        add_log(database, id, "strange", 4, seconds_ago=20)
        assert [row["verdict"] for row in reads.logs(database, ORG_ID)] == ["unknown", "healthy", "down"]
        assert json.dumps(reads.integrations(database, ORG_ID)[0]["facts"]) == "{}"
