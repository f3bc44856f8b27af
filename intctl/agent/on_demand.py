"""Checks that a person asked for, due or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from intctl.agent.settings import PassSettings, Stop
from intctl.agent.summary import Summary
from intctl.agent.work import Pass
from intctl.db.connect import Database
from intctl.keyring import Keyring
from intctl.store import claims, reads
from intctl.store.claims import Claimed
from intctl.store.results import Recorded

if TYPE_CHECKING:
    from intctl.health.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Checked:
    """One check that a person asked for. `outcome` is None when somebody else held the lease throughout."""

    row: Mapping[str, Any]
    outcome: Outcome | None
    checked_at: datetime


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
            _, held = claims.holder(database, row["id"])  # before the logs: who frees it has written by then
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
                self.busy.append((row, claims.holder(work.database, row["id"])[0]))
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
