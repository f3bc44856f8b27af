"""The work of a pass: probe the claimed integrations concurrently, and record the results in batches.

A `Source` provides the work.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from intctl.db.connect import Database
from intctl.db.ids import new_owner
from intctl.db.persist import persist
from intctl.db.thread import database_thread
from intctl.errors import IntctlError
from intctl.failpoint import hit
from intctl.keyring import Keyring
from intctl.store import claims
from intctl.store.claims import Claimed

if TYPE_CHECKING:
    from intctl.health.outcome import Outcome
    from intctl.store.results import Recorded, Result, Written
from intctl.agent.settings import PassSettings, Stop
from intctl.agent.summary import Summary

T = TypeVar("T")
#: Results are written together: when a batch is full, and at the latest after this many seconds.
_BATCH = 200
_BATCH_WAIT_S = 0.25
#: Free slots are filled when half of all are free, and at the latest after this many seconds.
_REFILL_WAIT_S = 0.05
#: Probing stops this many seconds before the end of the budget, or a fifth of the budget if that is less.
_LAST_S = 5.0
#: Database retries stop this many seconds before the end; after it, the process is ended.
_FUSE_S = 1.0
#: The time after SIGTERM for recording results and giving claims back, in seconds.
_FAREWELL_S = 8.0
#: A result whose row another session has locked is tried again after this many seconds at the latest, and for so many
#: seconds after the last check; it is held back this many seconds before its lease can no longer be used.
_LOCKED_AGAIN_S = 1.0
_LOCKED_LAST_S = 2.0
_LOCKED_MARGIN_S = 5.0
#: How long suspect results wait for a proof that the network works: well inside a lease.
_HOLD_S = 8.0


# Verdicts on a certificate by this machine's clock, and how far it may be from the database's, in seconds.
_BY_THE_CLOCK = ("tls.expired", "tls.not_yet_valid")
_CLOCK_OFF_S = 300.0


class Source(Protocol):
    """The source of the work of a pass."""

    def has_more(self, suspect: bool, /) -> bool: ...

    def claim(self, free_slots: int, suspect: bool, /) -> list[Claimed]: ...


class Pass:
    """A pass: probes run on the event loop, results go to the database's one thread."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        settings: PassSettings,
        check_type: str,
        summary: Summary,
        stop: Stop,
        progress: Callable[[Sequence[Recorded]], None],
    ) -> None:
        self.database = database
        self.settings = settings
        self.owner = new_owner(settings.host)
        self.summary = summary
        self._keyring = keyring
        self._check_type = check_type
        self._stop = stop
        self._progress = progress
        budget_s = settings.budget_s or math.inf
        self._ends = time.monotonic() + budget_s - _FUSE_S
        self._probes_end = self._ends - min(_LAST_S, budget_s / 5)
        self._through = False
        self._under_way: dict[str, Claimed] = {}
        self._ended: list[Result] = []
        self._unwritten: list[Result] = []
        self._locked: list[Result] = []
        self._locked_tried = 0.0
        self.held_back: dict[str, Outcome] = {}
        self._held: list[Result] = []
        self._held_since = 0.0
        self._hosts: dict[str, str] = {}

    def persist(self, work: Callable[[bool], T]) -> T:
        """Run work on the database; transient errors are retried while there is time."""
        try:
            return persist(self.database, work, lambda: min(self._ends, self._stop.at + _FAREWELL_S))
        except IntctlError:
            self._ends = time.monotonic()  # no more retries: the rest is tried once
            raise

    def known(self) -> list[str]:
        """The ids of all leases that this pass knows it holds."""
        return [claimed.id for claimed in self._leases()]

    def _leases(self) -> list[Claimed]:
        results = [*self._ended, *self._unwritten, *self._locked, *self._held]
        return [*self._under_way.values(), *(result.claimed for result in results)]

    def run(self, first: list[Claimed], source: Source) -> None:
        """Probe `first`, then fill free slots from `source` until it has no more."""
        import asyncio

        asyncio.run(self._run(first, source))

    @property
    def _over(self) -> bool:
        """Whether no new work may begin."""
        return bool(self._stop) or time.monotonic() >= self._probes_end

    async def _run(self, first: list[Claimed], source: Source) -> None:
        import asyncio

        from intctl.probes import witness
        from intctl.probes.run import Network

        self._event_loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._queue: asyncio.Queue[Claimed] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._network = Network(self.settings.policy())
        self._witnesses = witness.parse(self.settings.witness)
        self._stop.wake(partial(self._event_loop.call_soon_threadsafe, self._woken.set))
        if self._probes_end < math.inf:
            self._event_loop.call_later(self._probes_end - time.monotonic(), self._woken.set)
        with database_thread() as self._in_database:
            failed = True
            try:
                self._begin(first)
                await self._loop(source)
                failed = False
            finally:
                self._stop.wake(None)
                await self._end(failed=failed)

    async def _loop(self, source: Source) -> None:
        """Fill free slots and write results, until there is no more work or the pass is over."""
        while not self._over:
            # Suspect until its result is written: a second one could be paused for a crash that the first one causes.
            suspect = any(claimed.suspect for claimed in self._leases())
            free = self.settings.concurrency - len(self._under_way)
            if free and source.has_more(suspect):
                self._begin(await self._in_database(source.claim, free, suspect))
            if self._under_way:
                await self._wait()
            elif not (self._ended or self._unwritten or self._held):
                return  # what is locked is settled at the end
            await self._collect()

    def _begin(self, claimed: Sequence[Claimed]) -> None:
        """Give work to the workers; start as many as needed, at most one for each slot."""
        for one in claimed:
            self._under_way[one.id] = one
            self._queue.put_nowait(one)
        while len(self._workers) < min(self.settings.concurrency, len(self._under_way)):
            self._workers.append(self._event_loop.create_task(self._worker()))

    async def _worker(self) -> None:
        """Run one probe after another."""
        from intctl.health.outcome import Outcome
        from intctl.store.results import Result

        while True:
            claimed = await self._queue.get()
            try:
                outcome = await self._probe(claimed)
            except Exception as error:  # a bug affects only this result
                outcome = Outcome("self.crash", detail=type(error).__name__)
            del self._under_way[claimed.id]
            self._ended.append(Result(claimed, outcome))
            free = self.settings.concurrency - len(self._under_way)
            known = len(self._ended) + len(self._unwritten)
            if not self._under_way or 2 * free >= self.settings.concurrency or known >= _BATCH:
                self._woken.set()
            elif self._alarm is None:
                self._alarm = self._event_loop.call_later(_REFILL_WAIT_S, self._woken.set)

    async def _wait(self) -> None:
        """Wait until enough probes have ended, or the oldest result has waited long enough."""
        now, alarm = time.monotonic(), None
        if self._unwritten:
            alarm = self._event_loop.call_later(max(0.0, self._unwritten_since + _BATCH_WAIT_S - now), self._woken.set)
        elif self._locked:
            alarm = self._event_loop.call_later(max(0.0, self._locked_tried + _LOCKED_AGAIN_S - now), self._woken.set)
        elif self._held:
            alarm = self._event_loop.call_later(max(0.0, self._held_since + _HOLD_S - now), self._woken.set)
        await self._woken.wait()
        self._woken.clear()
        for timer in (alarm, self._alarm):
            if timer is not None:
                timer.cancel()
        self._alarm = None

    async def _collect(self) -> None:
        """Write the known results, when there are enough or they waited long enough."""
        idle = not self._under_way  # then all held results are judged, and all are written
        ended, self._ended = self._ended, []
        if not self._unwritten:
            self._unwritten_since = time.monotonic()
        self._unwritten += await self._screen(ended, last=idle)
        waited = time.monotonic() - self._unwritten_since >= _BATCH_WAIT_S
        again = self._locked and time.monotonic() - self._locked_tried >= _LOCKED_AGAIN_S
        if idle or waited or again or len(self._unwritten) >= _BATCH:
            await self._write()

    async def _screen(self, results: list[Result], *, last: bool = False) -> list[Result]:
        """The results that may be written now. Those that the local network may have caused wait for a witness."""
        from intctl.health.outcome import Outcome
        from intctl.probes.witness import SUSPECT, got_through, network_works
        from intctl.store.results import Result

        self._through = self._through or any(got_through(result.outcome) for result in results)
        if not self._held:
            self._held_since = time.monotonic()
        ready = [result for result in results if result.outcome.code not in SUSPECT]
        self._held += [result for result in results if result.outcome.code in SUSPECT]
        overdue = time.monotonic() - self._held_since > _HOLD_S or len(self._held) >= _BATCH
        if not self._held or not (self._through or last or overdue):
            return ready
        held, self._held = self._held, []
        hosts = len({self._hosts[result.claimed.id] for result in held})
        if self._through or await network_works(self._witnesses, hosts, self._network):
            return ready + held
        own = Outcome("self.no_network")
        return ready + [Result(result.claimed, replace(own, phase=result.outcome.phase)) for result in held]

    async def _write(self) -> None:
        """Record all results that are ready, and try those again whose rows were locked."""
        results = [*self._unwritten, *self._locked]
        if not results:
            return
        self._locked_tried = time.monotonic()
        recorded, locked = await self._in_database(self.persist, partial(self._record, results))
        self._unwritten, self._locked = [], [result for result in results if result.claimed.id in locked]
        for result in results:
            if result.claimed.id in locked:
                continue
            self._hosts.pop(result.claimed.id, None)
            if result.claimed.id not in recorded:
                self.summary.lost += 1
                continue
            self.summary.count(recorded[result.claimed.id].outcome)
        if recorded:
            self._progress(list(recorded.values()))
        too_late = time.monotonic() + _LOCKED_MARGIN_S
        await self._hold_back([result for result in self._locked if result.claimed.valid_until <= too_late])

    async def _settle_locked(self) -> None:
        """Try results whose rows are locked a last time, and hold back those that are locked still."""
        import asyncio

        ends = time.monotonic() + _LOCKED_LAST_S
        while self._locked and not self._over and time.monotonic() < ends:
            await asyncio.sleep(_BATCH_WAIT_S)
            await self._write()
        await self._hold_back(self._locked)

    async def _hold_back(self, results: Sequence[Result]) -> None:
        """Release the leases of results that cannot be recorded; they are checked again within a minute."""
        from intctl.store.results import hold_back

        if not results:
            return

        def work(_again: bool) -> dict[str, str]:
            deadline_s = self.settings.deadline_s
            return hold_back(self.database, self.owner, results, check_type=self._check_type, deadline_s=deadline_s)

        released = await self._in_database(self.persist, work)
        self._locked = [result for result in self._locked if result.claimed.id not in released]
        self.held_back |= {result.claimed.id: result.outcome for result in results if result.claimed.id in released}
        self.summary.held_back |= released

    def _record(self, results: Sequence[Result], again: bool) -> Written:
        from intctl.store.results import record

        hit("before_record")
        now = time.monotonic()
        written = record(
            self.database,
            self.owner,
            [result for result in results if now < result.claimed.valid_until],
            check_type=self._check_type,
            agent=self.settings.host,
            deadline_s=self.settings.deadline_s,
            again=again,
        )
        hit("after_record")
        return written

    async def _end(self, *, failed: bool) -> None:
        """Write the known results, unless that failed already, and give the other claims back."""
        import asyncio

        self.summary.out_of_time = bool(self._under_way) and self._over and not self._stop
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        try:
            if not failed:
                # Once the pass is over there is no time for a witness: held results are given back.
                self._unwritten += await self._screen(self._ended, last=not self._over)
                self._ended = []
                await self._write()
                await self._settle_locked()
        finally:
            if ids := self.known():
                with suppress(IntctlError) if failed else nullcontext():
                    given_back = partial(claims.give_back, self.database, self.owner, ids)
                    self.summary.given_back += await self._in_database(self.persist, self._giving_back(given_back))

    @staticmethod
    def _giving_back(give_back: Callable[[], int]) -> Callable[[bool], int]:
        def work(_again: bool) -> int:
            hit("give_back")
            return give_back()

        return work

    async def _probe(self, claimed: Claimed) -> Outcome:
        from intctl.probes.run import run_probe
        from intctl.probes.spec import HttpProbe, SmtpProbe
        from intctl.probes.witness import SUSPECT
        from intctl.providers.hints import with_hints
        from intctl.vault import OpenedIntegration, PersistentTokenStore, exchanges, open_integration, tokens

        if claimed.rejections and not await self._in_database(claims.can_lock, self.database, claimed.id):
            return Outcome("self.row_locked")  # a login whose result cannot be recorded could lock the account
        found = open_integration(self._keyring, claimed.sealed)
        if not isinstance(found, OpenedIntegration):
            return found
        probe = found.probe
        if self._check_type == "scheduled" and claimed.compared and isinstance(probe, HttpProbe):
            # Requests without the credential every few minutes would look like an attack: once, or on demand.
            probe = replace(probe, compare_without=False)
        if self._check_type == "scheduled" and isinstance(probe, SmtpProbe):
            asks = probe.is_relay and not claimed.was_asked(self._network.clock())
            probe = replace(probe, on_demand=False, asks_relay=asks)
        kept = None
        if exchanges(probe):
            sealed = tokens(self.database, self._keyring, claimed.sealed, found.provider, found.config)
            # A check on demand must test the credential, so it does not use an existing access token.
            kept = PersistentTokenStore(sealed, self._in_database, fresh=self._check_type == "manual")
        outcome = await run_probe(probe, self._network, deadline_s=self.settings.deadline_s, tokens=kept)
        if outcome.code in SUSPECT:
            self._hosts[claimed.id] = found.host
        if outcome.code in _BY_THE_CLOCK:
            outcome = await self._unless_clock(outcome)
        return with_hints(outcome, found.provider, found.config)

    async def _unless_clock(self, outcome: Outcome) -> Outcome:
        """The outcome, unless this machine's clock differs from the database's by more than any certificate allows."""
        from intctl.store import clock

        off_s = self._network.clock() - (await self._in_database(clock.now, self.database)).timestamp()
        if abs(off_s) <= _CLOCK_OFF_S:
            return outcome
        side = "ahead of" if off_s > 0 else "behind"
        detail = f"{abs(off_s):.0f} s {side} the database's; {outcome.message}"
        return replace(outcome, code="self.clock", detail=detail)
