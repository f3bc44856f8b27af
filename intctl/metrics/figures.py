"""The report of one integration over a window of time, as displayed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple


class Outage(NamedTuple):
    """An incident of a report. `end` is None if the incident is not over at the end of the window."""

    start: datetime
    end: datetime | None
    code: str
    duration_seconds: int
    down_seconds: int
    began_before: bool


class Report(NamedTuple):
    """The figures of a window; None where nothing is known. docs/metrics.md defines each of them.

    The order is that of the keys in JSON and CSV. The fields up to `response_time_p95_ms` are older than the others.
    """

    integration: str
    id: str
    window: str
    checks: int
    successes: int
    failures: int
    unknown: int
    uptime_percent: float | None
    error_rate_percent: float | None
    response_time_average_ms: float | None
    response_time_p95_ms: int | None
    from_: datetime
    to: datetime
    coverage_percent: float | None
    up_seconds: int
    down_seconds: int
    unknown_seconds: int
    maintenance_seconds: int
    inactive_seconds: int
    response_time_p50_ms: int | None
    response_time_p99_ms: int | None
    response_time_now_ms: int | None
    response_time_usual_p50_ms: int | None
    response_time_usual_p95_ms: int | None
    response_time_compared: str | None
    incidents: Sequence[Outage]
    mttr_seconds: int | None
    history: Sequence[float | None]
    whole_days_before: datetime | None
    target_percent: float | None
    target_met: bool | None
    error_budget_seconds: int | None
    error_budget_left_seconds: int | None


#: The keys of a report, in order. A field named like a Python keyword has an underscore that its key lacks.
KEYS = tuple(name.rstrip("_") for name in Report._fields)
