"""Checks that a person requests, due or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from intctl.agent.settings import PassSettings, Stop
from intctl.agent.summary import Summary
from intctl.agent.work import Pass
from intctl.db.connect import Database
from intctl.keyring import Keyring
from intctl.store import claims, clock
from intctl.store.claims import Claimed
from intctl.store.results import Recorded

if TYPE_CHECKING:
    from intctl.health.outcome import Outcome
    from intctl.store.integrations import Integration


class Checked(NamedTuple):
    """One requested check. `outcome` is None if another process held the lease throughout."""

    integration: Integration
    outcome: Outcome | None
    checked_at: datetime


def check(
    database: Database,
    keyring: Keyring,
    settings: PassSettings,
    integrations: Sequence[Integration],
    stop: Stop,
    progress: Callable[[], None] = lambda: None,
    summary: Summary | None = None,
) -> list[Checked]:
    """Check these integrations now, due or not, and record each check as `manual`.

    If another process is checking an integration, wait for its result up to the deadline; if it gives the lease back,
    check here.
    """
    from intctl.health.outcome import Outcome

    found: dict[str, Outcome] = {
        one.id: Outcome("self.config_foreign")
        for one in integrations
        if one.rejections is None  # a portal's own row, which never has a schedule
    }

    def recorded(batch: Sequence[Recorded]) -> None:
        for one in batch:
            found[one.id] = one.outcome
            progress()

    work = Pass(database, keyring, settings, "manual", summary or Summary(), stop, recorded)
    named = _Named(work, integrations)
    if first := named.claim(settings.concurrency, False):
        work.run(first, named)
    ends = time.monotonic() + settings.deadline_s
    while named.busy and not stop and time.monotonic() < ends:
        still, named.busy = named.busy, []
        for one, token in still:
            _, held = claims.holder(database, one.id)  # read before the logs: a holder writes them first, then releases
            outcome = _recorded(database, one, token)
            if outcome is not None:
                found[one.id] = outcome
                progress()
            elif held:
                named.busy.append((one, token))
            else:
                named.waiting.append(one)
        if first := named.claim(settings.concurrency, False):
            work.run(first, named)
        elif named.busy:
            time.sleep(0.2)
    for id, outcome in work.held_back.items():
        lost = "" if outcome.code == "self.row_locked" else f"the result was {outcome.code}"
        found[id] = Outcome("self.row_locked", outcome.phase, outcome.phases_ms, detail=lost)
    now = clock.now(database)
    return [Checked(one, found.get(one.id), now) for one in integrations]


class _Named:
    """The named integrations that no other process is checking."""

    def __init__(self, work: Pass, integrations: Sequence[Integration]) -> None:
        self._work = work
        self.waiting = [one for one in integrations if one.rejections is not None]
        self.busy: list[tuple[Integration, int]] = []

    def has_more(self, _suspect: bool) -> bool:
        """Whether a claim may find more."""
        return bool(self.waiting)

    def claim(self, free_slots: int, _suspect: bool) -> list[Claimed]:
        """Claim up to `free_slots`. An integration that another process holds is `busy`, with its lease's token."""
        work, taken = self._work, list[Claimed]()
        known = work.known()
        while self.waiting and len(taken) < free_slots:
            one = self.waiting.pop(0)
            ours = [*known, *(claimed.id for claimed in taken)]
            claimed = work.persist(partial(self._claim, one.id, ours))
            if claimed is None:
                self.busy.append((one, claims.holder(work.database, one.id)[0]))
            else:
                taken.append(claimed)
        return taken

    def _claim(self, id: str, ours: Sequence[str], again: bool) -> Claimed | None:
        work = self._work
        if again:
            claims.give_back_unknown(work.database, work.owner, ours)
        return claims.claim_one(work.database, work.owner, id, deadline_s=work.settings.deadline_s)


def _recorded(database: Database, integration: Integration, token: int) -> Outcome | None:
    """The recorded outcome of another process under this lease or a later one, with the present config."""
    from intctl.health.outcome import Outcome
    from intctl.store import logs

    for log in logs.newest(database, integration.org_id, id=integration.id, limit=5):
        if not log.current:
            continue  # a verdict on an earlier config does not apply
        if log.facts.get("token_exchanged") is False:
            continue  # it used an existing access token, so it did not test the credential
        if log.lease_token is not None and log.lease_token >= token:
            return Outcome(log.code, log.phase, log.phases_ms, log.facts, log.detail)
    return None
