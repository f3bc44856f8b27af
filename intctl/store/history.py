"""The health logs and the folded days, as the input of the figures.

Moments are seconds since 1970 in UTC, as `metrics` uses them. A day is a UTC day.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from intctl.db.connect import Database, among, time_text, time_value
from intctl.db.url import POSTGRESQL, SQLITE
from intctl.health.log_entry import read_code
from intctl.store.names import folded_name

DAY_S = 86400
#: How long checks are kept by default, in days.
RETENTION_DAYS = 90
#: Integrations whose rows are fetched at a time, so that no statement runs long.
CHUNK = 250


class Logged(NamedTuple):
    """A health log as the covering index holds it."""

    id: str
    at: float
    status: str
    ms: int | None


class Day(NamedTuple):
    """One folded day of one integration: see the model HealthDay."""

    id: str
    start: float
    successes: int
    failures: int
    unknowns: int
    response_ms: int
    response_times: str
    timeline: str


class Counts(NamedTuple):
    """The number of checks by status, and the packed response times of the successes."""

    successes: int
    failures: int
    unknowns: int
    response_ms: int
    response_times: str


class Folded(NamedTuple):
    """The folded days of one integration in a range of time.

    `counts` cover the days that lie wholly in the requested range, and the other days whose checks were deleted
    (`gone`: their starts). `timeline` has a line for each day: its start, and the timeline of its HealthDay.
    """

    counts: Counts
    timeline: str
    gone: frozenset[float]


class Member(NamedTuple):
    """The fields of a living integration that a report needs."""

    id: str
    name: str
    created_at: datetime | None
    health_check_interval_minutes: int | None


#: The timeline of a day without downtime: the usual one.
ALL_UP = '[[0,86400000,"up",""]]'

_LOGGED = """
SELECT l.integration_id, {at}, l.status, l.response_time_ms FROM integration_health_logs l
 WHERE l.integration_id {among} AND l.checked_at >= :start AND l.checked_at < :end"""
# Looked up by key: a range scan would fetch every row from the table to see whether it failed.
_CAUSES = {
    POSTGRESQL: """
SELECT f.id, f.place, l.metadata
  FROM unnest(CAST(:ids AS uuid[]), CAST(:moments AS timestamptz[])) WITH ORDINALITY AS f(id, at, place)
  JOIN integration_health_logs l ON l.integration_id = f.id AND l.checked_at = f.at AND l.status = 'failure'""",
    SQLITE: """
SELECT f.value->>0, f.key + 1, l.metadata FROM json_each(:pairs) f
  JOIN integration_health_logs l ON l.integration_id = f.value->>0 AND l.checked_at = f.value->>1
   AND l.status = 'failure'""",
}
_COUNTED = """
SELECT l.integration_id, count(CASE WHEN l.status = 'success' THEN 1 END),
       count(CASE WHEN l.status = 'failure' THEN 1 END),
       count(CASE WHEN l.status NOT IN ('success', 'failure') THEN 1 END),
       coalesce(sum(CASE WHEN l.status = 'success' THEN l.response_time_ms END), 0),
       coalesce({packed}, '')
  FROM integration_health_logs l
 WHERE l.integration_id {among} AND l.checked_at >= :start AND l.checked_at < :end GROUP BY l.integration_id"""
_PACKED = {
    POSTGRESQL: "string_agg(CASE WHEN l.status = 'success' AND l.response_time_ms IS NOT NULL THEN"
    " lpad(to_hex(least(greatest(l.response_time_ms, 0), 65535)), 4, '0') END, '')",
    SQLITE: "group_concat(CASE WHEN l.status = 'success' AND l.response_time_ms IS NOT NULL THEN"
    " printf('%04x', min(max(l.response_time_ms, 0), 65535)) END, '')",
}
_WHOLE = "((l.starts_at >= :first AND l.starts_at < :last) OR l.rows_left != 'all')"
_FOLDED = f"""
SELECT l.integration_id, coalesce(sum(CASE WHEN {_WHOLE} THEN l.successes END), 0),
       coalesce(sum(CASE WHEN {_WHOLE} THEN l.failures END), 0),
       coalesce(sum(CASE WHEN {_WHOLE} THEN l.unknowns END), 0),
       coalesce(sum(CASE WHEN {_WHOLE} THEN l.response_ms END), 0),
       coalesce({{concat}}(CASE WHEN {_WHOLE} THEN l.response_times END, ''), ''),
       {{concat}}({{day}} || ' ' || CASE WHEN l.timeline = :all_up THEN '' ELSE l.timeline END, '
'),
       {{concat}}(CASE WHEN l.rows_left != 'all' AND NOT (l.starts_at >= :first AND l.starts_at < :last)
                       THEN {{day}} END, ' ')
  FROM integration_health_days l
 WHERE l.integration_id {{among}} AND l.starts_at >= :start AND l.starts_at < :end GROUP BY l.integration_id"""
_DAY_WORDS = {
    POSTGRESQL: {"{concat}": "string_agg", "{day}": "CAST(CAST(extract(epoch FROM l.starts_at) AS bigint) AS text)"},
    SQLITE: {"{concat}": "group_concat", "{day}": "strftime('%s', l.starts_at)"},
}
_CHANGES = """
SELECT l.integration_id, {at}, l.enabled, l.interval_minutes, l.config_version
  FROM integration_changes l WHERE l.integration_id {among} ORDER BY l.integration_id, l.changed_at"""

_MEMBERS = """
SELECT i.id, i.name, i.created_at, i.health_check_interval_minutes FROM integrations i
 WHERE i.org_id = :org_id AND i.deleted_at IS NULL"""
PROGRESS = "SELECT folded_before_at, after_id, next_at FROM history_progress WHERE id = 1"


def moment(value: datetime | str) -> float:
    """Convert a time of the database, as the driver returns it, to seconds since 1970."""
    return (time_value(value) if isinstance(value, str) else value).timestamp()


def time_at(seconds: float) -> datetime:
    """Convert seconds since 1970 to a time; the inverse of `moment`."""
    return datetime.fromtimestamp(seconds, UTC)


def asked(database: Database, sql: str, column: str, ids: Sequence[str]) -> tuple[str, dict[str, object]]:
    """Fill `{among}` in `sql` with these integrations, and `{at}` with the time, as a number where possible."""
    at = f"l.{column}"
    if database.dialect == POSTGRESQL:
        at = f"CAST(extract(epoch FROM {at}) AS double precision)"
    return among(database, sql.replace("{at}", at), ids)


def timed(database: Database, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Convert the second value of each row to seconds."""
    if database.dialect == POSTGRESQL:
        return rows
    return [(row[0], moment(row[1]), *row[2:]) for row in rows]


# --- read for the figures ------------------------------------------------------------------------


def members(database: Database, org_id: str, id: str | None = None) -> list[Member]:
    """The living integrations of an organisation, by name, or one of them."""
    text, parameters = _MEMBERS, {"org_id": org_id}
    if id is not None:
        text += " AND i.id = :id"
        parameters["id"] = id
    return [Member(**row) for row in database.rows(f"{text} ORDER BY {folded_name(database)}", parameters)]


def logged(database: Database, ids: Sequence[str], start: float, end: float) -> list[Logged]:
    """The checks of these integrations from `start` until before `end`, in no particular order."""
    if end <= start or not ids:
        return []
    text, parameters = asked(database, _LOGGED, "checked_at", ids)
    found = database.tuples(text, {**parameters, "start": time_at(start), "end": time_at(end)})
    if database.dialect == POSTGRESQL:
        return list(map(Logged._make, found))
    return [Logged(id, time_value(at).timestamp(), status, ms) for id, at, status, ms in found]


def causes(database: Database, logs: Iterable[Logged]) -> dict[tuple[str, float], str]:
    """The codes of the failures among `logged`, by integration and moment."""
    failed = [(id, at) for id, at, status, _ in logs if status == "failure"]
    if not failed:
        return {}
    if database.dialect == POSTGRESQL:
        parameters: dict[str, object] = {"ids": [id for id, _ in failed], "moments": [time_at(at) for _, at in failed]}
    else:
        parameters = {"pairs": json.dumps([(id, time_text(time_at(at))) for id, at in failed])}
    found = database.tuples(_CAUSES[database.dialect], parameters)
    return {failed[place - 1]: read_code(metadata) for _, place, metadata in found}


def counted(database: Database, ids: Sequence[str], start: float, end: float) -> dict[str, Counts]:
    """Count the checks of these integrations from `start` until before `end`, by integration."""
    if end <= start or not ids:
        return {}
    text, parameters = asked(database, _COUNTED.replace("{packed}", _PACKED[database.dialect]), "checked_at", ids)
    found = database.tuples(text, {**parameters, "start": time_at(start), "end": time_at(end)})
    return {id: Counts(good, bad, unknown, int(ms), packed) for id, good, bad, unknown, ms, packed in found}


def folded(
    database: Database, ids: Sequence[str], start: float, end: float, *, first: float, last: float
) -> dict[str, Folded]:
    """The folded days that start from `start` until before `end`; counted from `first` until before `last`."""
    if end <= start or not ids:
        return {}
    text, parameters = asked(database, _FOLDED, "starts_at", ids)
    for word, spelled in _DAY_WORDS[database.dialect].items():
        text = text.replace(word, spelled)
    bounds = {"start": start, "end": end, "first": first, "last": last}
    found = database.tuples(
        text, {**parameters, **{name: time_at(value) for name, value in bounds.items()}, "all_up": ALL_UP}
    )
    return {
        id: Folded(
            Counts(int(good), int(bad), int(unknown), int(ms), packed),
            timeline,
            frozenset(float(day) for day in (gone or "").split()),
        )
        for id, good, bad, unknown, ms, packed, timeline, gone in found
    }


def changes(database: Database, ids: Sequence[str]) -> list[tuple[str, float, bool, int, int]]:
    """The recorded changes of integrations: id, moment, enabled, interval in minutes, config version."""
    if not ids:
        return []
    text, parameters = asked(database, _CHANGES, "changed_at", ids)
    return [(id, at, bool(on), *rest) for id, at, on, *rest in timed(database, database.tuples(text, parameters))]


def folded_before(database: Database) -> float | None:
    """The moment before which every day is folded; None if no day is."""
    found = database.row(PROGRESS)
    return moment(found["folded_before_at"]) if found and found["folded_before_at"] else None


def retention_days(database: Database, org_id: str) -> int:
    """How many days an organisation keeps every check."""
    found = database.row("SELECT retention_days FROM organization_settings WHERE org_id = :org_id", {"org_id": org_id})
    return int(found["retention_days"]) if found else RETENTION_DAYS
