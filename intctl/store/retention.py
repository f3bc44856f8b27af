"""Folding days and deleting their checks. Each step is one transaction: a kill loses and duplicates nothing.

`metrics` calculates the content of a folded day; this module writes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from intctl.db import lease
from intctl.db.connect import Database, time_text
from intctl.db.url import POSTGRESQL
from intctl.health.status import interval_minutes
from intctl.store.history import DAY_S, PROGRESS, RETENTION_DAYS, Day, asked, moment, time_at, timed

# --- folding -------------------------------------------------------------------------------------

#: The latest that the next turn can be due, in seconds: a day, and an hour for a change of the clocks.
_LONGEST_S = 90_000
_IS_DUE = lease.is_past("next_at", longest_s=_LONGEST_S)
_CLAIM = f"UPDATE history_progress SET next_at = {{after :lease_s}} WHERE id = 1 AND ({_IS_DUE})"
_NEXT_LOG = "SELECT min(checked_at) AS found_at FROM integration_health_logs WHERE checked_at >= :start"
_NEXT_IDS = "SELECT id FROM integrations {after} ORDER BY id LIMIT :number"
_ADVANCE = """
UPDATE history_progress SET folded_before_at = :before, after_id = :after
 WHERE id = 1 AND folded_before_at {same_before} AND after_id {same_after}"""
_COLUMNS = "integration_id, starts_at, successes, failures, unknowns, response_ms, response_times, timeline"
_ADD_DAYS = {
    POSTGRESQL: f"""
INSERT INTO integration_health_days ({_COLUMNS})
SELECT CAST(r->>0 AS uuid), CAST(r->>1 AS timestamptz), CAST(r->>2 AS integer), CAST(r->>3 AS integer),
       CAST(r->>4 AS integer), CAST(r->>5 AS bigint), r->>6, r->>7
  FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS r
 WHERE EXISTS (SELECT 1 FROM integrations i WHERE i.id = CAST(r->>0 AS uuid))""",
    "sqlite": f"""
INSERT INTO integration_health_days ({_COLUMNS})
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7
  FROM json_each(:rows) WHERE EXISTS (SELECT 1 FROM integrations i WHERE i.id = value->>0)""",
}
_REPLACE = " ON CONFLICT (integration_id, starts_at) DO UPDATE SET " + ", ".join(
    f"{column} = excluded.{column}" for column in _COLUMNS.split(", ")[2:]
)


def is_due(database: Database) -> bool:
    """Whether history maintenance is due. One query, which writes nothing except the first time."""
    found = database.row(f"SELECT CASE WHEN {_IS_DUE} THEN 1 ELSE 0 END AS due FROM history_progress WHERE id = 1")
    if found is None:
        _begin(database)
    return found is None or bool(found["due"])


def claim(database: Database, lease_s: float) -> bool:
    """Claim the history for `lease_s` seconds. False if another process holds it, or it is not due."""
    return database.run(_CLAIM, {"lease_s": lease_s}) == 1


def give_back(database: Database, again_s: float) -> None:
    """Set when the next turn is due, in seconds from now."""
    database.run("UPDATE history_progress SET next_at = {after :again_s} WHERE id = 1", {"again_s": again_s})


def progress(database: Database) -> tuple[float | None, str | None]:
    """The day before which all days are folded, and the id up to which that day's integrations are."""
    found = database.row(PROGRESS)
    if found is None:
        _begin(database)
        return None, None
    before = found["folded_before_at"]
    return (moment(before) if before else None), found["after_id"]


def _begin(database: Database) -> None:
    database.run("INSERT INTO history_progress (id, next_at) VALUES (1, {now}) ON CONFLICT (id) DO NOTHING")


def first_check(database: Database, start: float) -> float | None:
    """The moment of the first check from `start` on, or None."""
    found = database.row(_NEXT_LOG, {"start": time_at(start)})
    return moment(found["found_at"]) if found and found["found_at"] else None


def next_ids(database: Database, after: str | None, number: int) -> list[str]:
    """The next `number` integrations of all organisations, including deleted ones, by id."""
    text = _NEXT_IDS.replace("{after}", "WHERE id > :after" if after else "")
    parameters: dict[str, object] = {"number": number, **({"after": after} if after else {})}
    return [str(row["id"]) for row in database.rows(text, parameters)]


def intervals(database: Database, ids: Sequence[str]) -> dict[str, float]:
    """The present intervals, in seconds."""
    sql = "SELECT l.id, {at}, l.health_check_interval_minutes FROM integrations l WHERE l.id {among}"
    text, parameters = asked(database, sql, "created_at", ids)
    return {id: interval_minutes(minutes) * 60.0 for id, _, minutes in database.tuples(text, parameters)}


def add_days(
    database: Database,
    found: Iterable[Day],
    *,
    reached: tuple[float | None, str | None],
    then: tuple[float, str | None],
) -> bool:
    """Add folded days and move the progress from `reached` to `then`, together or not at all.

    False if another process moved the progress first: then nothing was written.
    """
    same = {"same_before": reached[0], "same_after": reached[1]}
    text = _ADVANCE
    for name, value in same.items():
        text = text.replace(f"{{{name}}}", "IS NULL" if value is None else f"= :{name}")
    parameters: dict[str, object] = {"before": time_at(then[0]), "after": then[1]}
    if reached[0] is not None:
        parameters["same_before"] = time_at(reached[0])
    if reached[1] is not None:
        parameters["same_after"] = reached[1]
    with database.transaction():
        if database.run(text, parameters) != 1:
            return False
        _write_days(database, found)
    return True


def _write_days(database: Database, found: Iterable[Day]) -> None:
    rows = [[day.id, time_text(time_at(day.start)), *day[2:]] for day in found]
    if rows:
        database.run(_ADD_DAYS[database.dialect] + _REPLACE, {"rows": json.dumps(rows)})


# --- deleting ------------------------------------------------------------------------------------

_OLD_DAYS = """
SELECT l.integration_id, {at}, l.successes + l.failures + l.unknowns
  FROM integration_health_days l JOIN integrations i ON i.id = l.integration_id
 WHERE l.rows_left != 'none' AND i.org_id = :org_id AND l.starts_at < :before
 ORDER BY l.starts_at, l.integration_id LIMIT :number"""
_DAYS_LEFT = """
SELECT l.integration_id, l.successes + l.failures + l.unknowns, l.rows_left FROM integration_health_days l
 WHERE l.starts_at = :start AND l.rows_left != 'none' AND l.integration_id {among} ORDER BY l.integration_id"""
_THERE = """
SELECT l.integration_id, count(*) FROM integration_health_logs l
 WHERE l.integration_id {among} AND l.checked_at >= :start AND l.checked_at < :end GROUP BY l.integration_id"""
_NEWEST = """
SELECT (SELECT n.id FROM integration_health_logs n WHERE n.integration_id = l.id
         ORDER BY n.checked_at DESC, n.id DESC LIMIT 1),
       (SELECT n.id FROM integration_health_logs n WHERE n.integration_id = l.id AND n.status = 'success'
         ORDER BY n.checked_at DESC, n.id DESC LIMIT 1)
  FROM integrations l WHERE l.id {among}"""
_DELETE = """
DELETE FROM integration_health_logs WHERE id IN (
  SELECT l.id FROM integration_health_logs l
   WHERE l.integration_id {among} AND l.checked_at >= :start AND l.checked_at < :end AND NOT l.id {kept}
   LIMIT :number)"""
_MARK = """
UPDATE integration_health_days SET rows_left = :left WHERE starts_at = :start AND integration_id {among}"""
_COUNT_OLD = """
SELECT count(*) AS integrations, coalesce(sum(n), 0) AS checks, min(first_at) AS oldest_at FROM (
  SELECT l.integration_id, count(*) AS n, min(l.checked_at) AS first_at
    FROM integration_health_logs l JOIN integrations i ON i.id = l.integration_id
   WHERE i.org_id = :org_id AND l.checked_at < :before GROUP BY l.integration_id) AS old"""
_KEEPERS = """
SELECT o.id, s.retention_days FROM (SELECT DISTINCT org_id AS id FROM integrations) o
  LEFT JOIN organization_settings s ON s.org_id = o.id ORDER BY o.id"""


def retentions(database: Database) -> list[tuple[str, int]]:
    """The organisations that have integrations, and how many days each keeps its checks."""
    return [(str(row["id"]), row["retention_days"] or RETENTION_DAYS) for row in database.rows(_KEEPERS)]


class OldChecks(NamedTuple):
    """The checks before a moment: their number, the number of integrations, and the time of the first."""

    integrations: int
    checks: int
    oldest_at: datetime | None


def count_old(database: Database, org_id: str, before: float) -> OldChecks:
    """Count the checks of an organisation before a moment."""
    found = database.row(_COUNT_OLD, {"org_id": org_id, "before": time_at(before)})
    assert found is not None
    return OldChecks(int(found["integrations"]), int(found["checks"]), found["oldest_at"])


def old_days(database: Database, org_id: str, before: float, number: int) -> list[tuple[str, float, int]]:
    """The oldest folded days that still have rows, at most `number`: integration, start, checks."""
    text, _ = asked(database, _OLD_DAYS, "starts_at", [])
    parameters = {"org_id": org_id, "before": time_at(before), "number": number}
    return [(id, at, n) for id, at, n in timed(database, database.tuples(text, parameters))]


def delete_day(
    database: Database, ids: Sequence[str], start: float, limit: int, refold: Callable[[Sequence[str]], Iterable[Day]]
) -> int:
    """Delete the checks of one folded day, at most `limit`, in one transaction. Returns how many.

    The newest check and the newest success of an integration stay: they give its present state. If a folded day
    lacks some of its checks (one came late, after the clock was set back), `refold` folds it again first, so that
    none is lost.
    """
    kept = _newest(database, ids)
    bounds: dict[str, object] = {"start": time_at(start), "end": time_at(start + DAY_S)}
    with database.transaction():
        text, parameters = asked(database, _DAYS_LEFT, "starts_at", ids)
        lock = " FOR UPDATE" if database.dialect == POSTGRESQL else ""
        left = database.tuples(text + lock, {**parameters, "start": bounds["start"]})
        due = [id for id, *_ in left]
        if not due:
            return 0
        text, parameters = asked(database, _THERE, "checked_at", due)
        there = dict(database.tuples(text, {**parameters, **bounds}))
        stale = [id for id, n, rows_left in left if rows_left == "all" and there.get(id, 0) != n]
        if stale:
            _write_days(database, refold(stale))
        text, parameters = asked(database, _DELETE, "checked_at", due)
        text, parameters = _without(database, text, parameters, kept)
        deleted = database.run(text, {**parameters, **bounds, "number": limit})
        text, parameters = asked(database, _MARK, "starts_at", due)
        mark: dict[str, object] = {"start": bounds["start"], "left": "some" if deleted >= limit else "none"}
        database.run(text, {**parameters, **mark})
    return deleted


def _newest(database: Database, ids: Sequence[str]) -> list[str]:
    text, parameters = asked(database, _NEWEST, "id", ids)
    return [id for row in database.tuples(text, parameters) for id in row if id is not None]


def _without(
    database: Database, sql: str, parameters: dict[str, object], ids: Sequence[str]
) -> tuple[str, dict[str, object]]:
    if database.dialect == POSTGRESQL:
        return sql.replace("{kept}", "= ANY(CAST(:kept AS uuid[]))"), {**parameters, "kept": list(ids)}
    text = sql.replace("{kept}", "IN (SELECT value FROM json_each(:kept))")
    return text, {**parameters, "kept": json.dumps(list(ids))}
