"""A scheduled pass: check all due integrations once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from intctl.agent.settings import PassSettings, Stop
from intctl.agent.summary import Summary
from intctl.agent.work import Pass
from intctl.db.connect import Database
from intctl.errors import EXIT_DATABASE
from intctl.failpoint import hit
from intctl.keyring import Keyring
from intctl.store import claims
from intctl.store.claims import Claimed

if TYPE_CHECKING:
    from intctl.store.results import Recorded

    pass


def run_once(
    database: Database,
    keyring: Keyring,
    settings: PassSettings,
    stop: Stop,
    *,
    begin: Callable[[], None] = lambda: None,
    progress: Callable[[Sequence[Recorded]], None] = lambda _batch: None,
) -> Summary:
    """Check all due integrations once.

    `begin` is called before the first check, if there is one; `progress` is called with each recorded batch.

    Transient database errors are retried for half a minute, within the budget. Raises StoreError if they persist; the
    results are then not recorded.
    """
    with fuse(settings.budget_s):
        work = Pass(database, keyring, settings, "scheduled", Summary(), stop, progress)
        due = _Due(work)
        if first := due.claim(settings.concurrency, False):
            begin()
            work.run(first, due)
    work.summary.stopped = bool(stop)
    return work.summary


@contextmanager
def fuse(budget_s: float | None) -> Iterator[None]:
    """End this process when the budget is spent and something, a disk or a resolver, still blocks the pass."""
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
    told = f"intctl: the database blocked the pass past its {budget_s:g} s. Unrecorded checks run again.\n"
    with suppress(OSError):
        os.write(2, told.encode())
    os._exit(EXIT_DATABASE)


class _Due:
    """The due integrations, until none is left. Runs on the database's thread."""

    def __init__(self, work: Pass) -> None:
        self._work = work
        anomalies = work.persist(lambda _again: claims.find_anomalies(work.database))
        if anomalies.ahead:
            work.persist(lambda _again: claims.pull_forward(work.database, anomalies.ahead))
        if anomalies.stuck:
            from intctl.store import results

            work.summary.set_aside = work.persist(
                lambda _again: results.set_aside(work.database, agent=work.settings.host)
            )
        self._suspects = anomalies.suspects
        self._more = True

    def has_more(self, suspect: bool) -> bool:
        """Whether a claim may find more. `suspect`: one is under way, so no other may be claimed."""
        return self._more or (self._suspects and not suspect)

    def claim(self, free_slots: int, suspect: bool) -> list[Claimed]:
        """Claim up to `free_slots`, and suspects one at a time."""
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
            if again:  # the lost reply may have contained leases that this process does not know
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
