"""Folding of past days, and deletion of the checks that an organisation no longer keeps.

A day is folded when none of its figures can change; they are kept for good. The agent does a little of this after
a pass (`maintain_history`). A kill at any point loses and duplicates nothing: folded days and the progress are
written together, and so are deletions and their marks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from intctl.db.connect import Database
from intctl.errors import IntctlError
from intctl.store import history
from intctl.store import retention as steps
from intctl.store.history import DAY_S

if TYPE_CHECKING:
    from intctl.metrics.timeline import Change

#: The delay from the end of a day to its folding: until then, its findings can still hold or be bridged.
CLOSED_AFTER_S = 3 * 3600
#: How long the history is claimed for; far longer than one turn.
LEASE_S = 300
#: The delay from a completed turn to the next one, in seconds.
AGAIN_S = 900
#: Integrations that are folded together.
_FOLD_TOGETHER = 100
#: The longest that a batch of deletions may hold its locks, well below 0.1 s.
_LOCK_S = 0.04
_LEAST, _FIRST, _MOST = 20, 200, 5_000
#: The pause between two batches is as long as a batch, but no longer than this.
_PAUSE_S = 0.1
#: Folded days that are read together.
_LOOK = 2_000


class Batches:
    """The number of rows to delete together, adjusted to the time that the last batches took."""

    def __init__(self) -> None:
        self.rows = _FIRST
        self.longest_s = 0.0

    def took(self, seconds: float, rows: int) -> None:
        """Adjust the size to the time that a batch took."""
        self.longest_s = max(self.longest_s, seconds)
        if seconds > _LOCK_S:
            self.rows = max(int(self.rows * max(_LOCK_S / seconds, 0.1)), _LEAST)
        elif rows > self.rows // 2 and seconds < _LOCK_S / 2:
            self.rows = min(self.rows * 3 // 2, _MOST)


def maintain_history(database: Database, *, budget_s: float = 1.0, again: bool = False) -> str:
    """Run a turn of about `budget_s` seconds if one is due and unclaimed. Returns the reason if it failed, or "".

    A failure does not affect recorded checks. Raises only if the connection was lost: over a new one, the turn resumes
    (`again`).
    """
    try:
        if not again and not (steps.is_due(database) and steps.claim(database, LEASE_S)):
            return ""
        ends = time.monotonic() + budget_s

        def over() -> bool:
            return time.monotonic() >= ends

        done = roll_up(database, over)
        for org_id, days in steps.retentions(database):
            done = done and prune(database, org_id, days, over)
        steps.give_back(database, AGAIN_S if done else 0)
    except IntctlError as error:
        if database.lost:
            raise
        return f"History maintenance did not finish; it resumes later: {error}"
    except Exception as error:  # a bug here must not fail a pass that is already recorded
        return f"History maintenance did not finish: a bug in intctl ({type(error).__name__})"
    return ""


# --- folding -------------------------------------------------------------------------------------


def roll_up(database: Database, over: Callable[[], bool] = lambda: False) -> bool:
    """Fold the closed days that are not folded yet, until `over`. Returns whether all are folded."""
    from intctl.metrics.timeline import LONGEST_HOLD_S

    while True:
        reached, after = steps.progress(database)
        closed = (_now(database) - CLOSED_AFTER_S) // DAY_S * DAY_S
        if reached is not None and reached >= closed:
            return True
        if over():
            return False
        day = reached
        if after is None:  # days without data are skipped at once
            found = steps.first_check(database, 0.0 if reached is None else reached - LONGEST_HOLD_S)
            day = closed if found is None else min(max(found // DAY_S * DAY_S, reached or 0.0), closed)
        assert day is not None
        if day >= closed:
            steps.add_days(database, [], reached=(reached, after), then=(closed, None))
            continue
        ids = steps.next_ids(database, after, _FOLD_TOGETHER)
        last = len(ids) < _FOLD_TOGETHER
        then = (day + DAY_S, None) if last else (day, ids[-1])
        steps.add_days(database, folded(database, ids, day), reached=(reached, after), then=then)


def folded(database: Database, ids: Sequence[str], start: float) -> list[history.Day]:
    """Fold one day of these integrations; those without data are left out."""
    import json
    from collections import Counter, defaultdict

    from intctl.metrics import timeline
    from intctl.metrics.percentiles import packed

    end = start + DAY_S
    around = (start - timeline.LONGEST_HOLD_S, end + timeline.BETWEEN_FAILURES_S)
    intervals = steps.intervals(database, ids)
    changes = changes_of(database, ids)
    by_id: dict[str, list[history.Logged]] = defaultdict(list)
    found = history.logged(database, ids, *around)
    causes = history.causes(database, found)
    for log in found:
        by_id[log.id].append(log)
    days = []
    for id, logs in by_id.items():
        checks = [timeline.Check(log.at, log.status, causes.get((id, log.at), "")) for log in logs]
        known = timeline.states(checks, changes.get(id, ()), intervals.get(id, 300.0), end)
        segments = [
            [round((one.start - start) * 1000), round((one.end - start) * 1000), one.state, one.cause]
            for one in timeline.clipped(known, start, end)
        ]
        within = [log for log in logs if start <= log.at < end]
        if not within and not segments:
            continue
        statuses = Counter(log.status for log in within)
        good, bad = statuses["success"], statuses["failure"]
        times = [log.ms for log in within if log.status == "success" and log.ms is not None]
        days.append(
            history.Day(
                id,
                start,
                good,
                bad,
                len(within) - good - bad,
                sum(times),
                packed(times),
                json.dumps(segments, separators=(",", ":")),
            )
        )
    return days


def changes_of(database: Database, ids: Sequence[str]) -> dict[str, list[Change]]:
    """The recorded changes of these integrations, in order."""
    from intctl.metrics.timeline import Change

    found: dict[str, list[Change]] = {}
    for id, at, enabled, minutes, version in history.changes(database, ids):
        found.setdefault(id, []).append(Change(at, enabled, minutes * 60.0, version))
    return found


# --- deleting ------------------------------------------------------------------------------------


def cutoff(database: Database, days: int) -> float:
    """The moment before which checks are older than `days` whole UTC days."""
    return (_now(database) - days * DAY_S) // DAY_S * DAY_S


def prune(
    database: Database,
    org_id: str,
    days: int,
    over: Callable[[], bool] = lambda: False,
    deleted: Callable[[int], None] = lambda _rows: None,
    batches: Batches | None = None,
) -> bool:
    """Delete folded checks older than `days`, in small batches, until `over`. Returns whether all are deleted.

    `deleted` is called with the number of rows of each batch.
    """
    batches = batches or Batches()
    before = cutoff(database, days)
    while True:
        found = steps.old_days(database, org_id, before, _LOOK)
        if not found:
            return True
        waiting = [(id, n) for id, start, n in found if start == found[0][1]]
        start = found[0][1]
        while waiting:
            if over():
                return False
            ids, rows = [waiting[0][0]], waiting.pop(0)[1]
            while waiting and rows + waiting[0][1] <= batches.rows:
                rows += waiting[0][1]
                ids.append(waiting.pop(0)[0])
            began = time.monotonic()
            number = steps.delete_day(database, ids, start, batches.rows, partial(folded, database, start=start))
            took = time.monotonic() - began
            batches.took(took, number)
            deleted(number)
            time.sleep(min(took, _PAUSE_S))  # SQLite's lock is not fair: others need a gap


def _now(database: Database) -> float:
    from intctl.store.clock import now

    return now(database).timestamp()
