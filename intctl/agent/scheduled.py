"""A scheduled pass: all that is due, once."""

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
    """Checks all that is due, once.

    `begin` is called before the first check, if there is one; `progress` is told of each batch that was recorded.

    Trouble with the database that may pass is borne for half a minute, within the budget. Raises
    StoreError when it does not pass, and the results are not taken.
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
            from intctl.store import results

            work.summary.set_aside = work.persist(
                lambda _again: results.set_aside(work.database, agent=work.settings.host)
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
