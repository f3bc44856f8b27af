"""A pass: claim, probe concurrently, record.

The network is waited for on an event loop, the database is spoken to from one thread of its own,
and no transaction is open during a probe. An idle pass imports neither asyncio nor a probe.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from intctl.agent.work import Pass, PassSettings, Stop, Summary
from intctl.db.connect import Database
from intctl.errors import EXIT_DATABASE
from intctl.failpoint import hit
from intctl.keyring import Keyring
from intctl.metrics import retention
from intctl.store import claims, reads
from intctl.store.claims import Claimed, Recorded

if TYPE_CHECKING:
    from intctl.health.outcome import Outcome

__all__ = ("Checked", "PassSettings", "Stop", "Summary", "check", "run_once")


@dataclass(frozen=True, slots=True)
class Checked:
    """One check that a person asked for. `outcome` is None when somebody else held the lease throughout."""

    row: Mapping[str, Any]
    outcome: Outcome | None
    checked_at: datetime


def run_once(
    database: Database,
    keyring: Keyring,
    settings: PassSettings,
    stop: Stop,
    *,
    begin: Callable[[], None] = lambda: None,
    progress: Callable[[Sequence[Recorded]], None] = lambda _batch: None,
) -> Summary:
    """Checks all that is due, once.

    `begin` is called before the first check, if there is one; `progress` is told of each batch that was recorded.

    Trouble with the database that may pass is borne for half a minute, within the budget. Raises
    StoreError when it does not pass, and the results are not taken.
    """
    with _fuse(settings.budget_s):
        work = Pass(database, keyring, settings, "scheduled", Summary(), stop, progress)
        due = _Due(work)
        if first := due.claim(settings.concurrency, False):
            begin()
            work.run(first, due)
        if not stop and not work.summary.out_of_time:
            work.summary.history = work.persist(lambda again: retention.maintain_history(database, again=again))
    work.summary.stopped = bool(stop)
    return work.summary


@contextmanager
def _fuse(budget_s: float | None) -> Iterator[None]:
    """Ends this process when the budget is spent and something holds the pass all the same, a disk or a resolver."""
    if budget_s is None:
        yield
        return
    fuse = threading.Timer(budget_s, _blow, [budget_s])
    fuse.daemon = True
    fuse.start()
    try:
        yield
    finally:
        fuse.cancel()


def _blow(budget_s: float) -> None:
    told = f"intctl: the database held the pass beyond its {budget_s:g} s. What was not recorded is checked again.\n"
    with suppress(OSError):
        os.write(2, told.encode())
    os._exit(EXIT_DATABASE)


class _Due:
    """What is due now, until there is no more. Runs on the database's thread."""

    def __init__(self, work: Pass) -> None:
        self._work = work
        anomalies = work.persist(lambda _again: claims.find_anomalies(work.database))
        if anomalies.ahead:
            work.persist(lambda _again: claims.pull_forward(work.database))
        if anomalies.stuck:
            work.summary.set_aside = work.persist(
                lambda _again: claims.set_aside(work.database, agent=work.settings.host)
            )
        self._suspects = anomalies.suspects
        self._more = True

    def has_more(self, suspect: bool) -> bool:
        """Whether it is worth asking. `suspect`: there is one already, so that no other may be taken."""
        return self._more or (self._suspects and not suspect)

    def claim(self, free_slots: int, suspect: bool) -> list[Claimed]:
        """Claims up to `free_slots`, of the suspects one at a time."""
        claimed: list[Claimed] = []
        if self._suspects and not suspect:
            claimed = self._claim(1, suspects=True)
            self._suspects = bool(claimed)
        wanted = free_slots - len(claimed)
        if self._more and wanted:
            many = self._claim(wanted, suspects=False)
            self._more = len(many) == wanted
            claimed += many
        return claimed

    def _claim(self, free_slots: int, *, suspects: bool) -> list[Claimed]:
        work, settings = self._work, self._work.settings
        known = work.known()

        def claim(again: bool) -> list[Claimed]:
            if again:  # an answer that never came may have given us what we know nothing of
                claims.give_back_unknown(work.database, work.owner, known)
            hit("before_claim")
            claimed = claims.claim_due(
                work.database,
                work.owner,
                free_slots=free_slots,
                deadline_s=settings.deadline_s,
                org_id=settings.org_id,
                suspects=suspects,
            )
            hit("after_claim")
            return claimed

        return work.persist(claim)


def check(
    database: Database,
    keyring: Keyring,
    settings: PassSettings,
    rows: Sequence[Mapping[str, Any]],
    stop: Stop,
    progress: Callable[[], None] = lambda: None,
    summary: Summary | None = None,
) -> list[Checked]:
    """Checks these integrations now, due or not, and records each as `manual`.

    What somebody else is checking at this moment is waited for, up to the deadline, and checked
    here if they give it up.
    """
    from intctl.health.outcome import Outcome

    found: dict[str, Outcome] = {
        row["id"]: Outcome("self.config_foreign")
        for row in rows
        if row["rejections"] is None  # a portal's own row, which has no schedule and gets none
    }

    def recorded(batch: Sequence[Recorded]) -> None:
        for one in batch:
            found[one.id] = one.outcome
            progress()

    work = Pass(database, keyring, settings, "manual", summary or Summary(), stop, recorded)
    named = _Named(work, rows)
    if first := named.claim(settings.concurrency, False):
        work.run(first, named)
    ends = time.monotonic() + settings.deadline_s
    while named.busy and not stop and time.monotonic() < ends:
        still, named.busy = named.busy, []
        for row, token in still:
            _, held = claims.lease(database, row["id"])  # before the logs: who frees it has written by then
            outcome = _recorded(database, row, token)
            if outcome is not None:
                found[row["id"]] = outcome
                progress()
            elif held:
                named.busy.append((row, token))
            else:
                named.waiting.append(row)
        if first := named.claim(settings.concurrency, False):
            work.run(first, named)
        elif named.busy:
            time.sleep(0.2)
    now = reads.now(database)
    return [Checked(row, found.get(row["id"]), now) for row in rows]


class _Named:
    """What a person named, as far as nobody else is at it."""

    def __init__(self, work: Pass, rows: Sequence[Mapping[str, Any]]) -> None:
        self._work = work
        self.waiting = [row for row in rows if row["rejections"] is not None]
        self.busy: list[tuple[Mapping[str, Any], int]] = []

    def has_more(self, _suspect: bool) -> bool:
        """Whether it is worth asking."""
        return bool(self.waiting)

    def claim(self, free_slots: int, _suspect: bool) -> list[Claimed]:
        """Claims up to `free_slots`; what somebody else holds is `busy`, with the lease's token."""
        work, taken = self._work, list[Claimed]()
        known = work.known()
        while self.waiting and len(taken) < free_slots:
            row = self.waiting.pop(0)
            ours = [*known, *(claimed.id for claimed in taken)]
            claimed = work.persist(partial(self._claim, row["id"], ours))
            if claimed is None:
                self.busy.append((row, claims.lease(work.database, row["id"])[0]))
            else:
                taken.append(claimed)
        return taken

    def _claim(self, id: str, ours: Sequence[str], again: bool) -> Claimed | None:
        work = self._work
        if again:
            claims.give_back_unknown(work.database, work.owner, ours)
        return claims.claim_one(work.database, work.owner, id, deadline_s=work.settings.deadline_s)


def _recorded(database: Database, row: Mapping[str, Any], token: int) -> Outcome | None:
    """What somebody else found under this lease or a later one with the config that stands now, if it is recorded."""
    from intctl.health.outcome import Outcome

    for log in reads.logs(database, row["org_id"], id=row["id"], limit=5):
        if not log["current"]:
            continue  # it was edited meanwhile: a verdict on what it was before is none
        if log["facts"].get("token_exchanged") is False:
            continue  # answered from an access token that was got before: not what a person asked for
        if log["lease_token"] is not None and log["lease_token"] >= token:
            return Outcome(log["code"], log["phase"], log["phases_ms"], log["facts"], log["detail"])
    return None
