"""A pass: claim, probe concurrently, record.

The network is waited for on an event loop, the database is spoken to from one thread of its own,
and no transaction is open during a probe. An idle pass imports neither asyncio nor a probe.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from intctl.errors import IntctlError
from intctl.keyring import Keyring
from intctl.metrics import retention
from intctl.store import claims, reads
from intctl.store.claims import Claimed, Result
from intctl.store.connect import Database
from intctl.text import Secret

if TYPE_CHECKING:
    from intctl.probes.ask import Tokens
    from intctl.probes.guard import AddressPolicy
    from intctl.probes.outcome import Outcome

#: Results are written together: this many at most, and at the latest after this many seconds.
_BATCH = 100
_BATCH_WAIT_S = 0.25
#: How long findings are held back for something to get through: well inside a lease.
_HOLD_S = 8.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How a pass is run. `deadline_s` bounds each probe."""

    host: str
    policy: Callable[[], AddressPolicy | None] = lambda: None
    concurrency: int = 50
    deadline_s: float = 20.0
    org_id: str | None = None
    witness: str = ""  # INTCTL_WITNESS, as it was written


@dataclass(slots=True)
class Summary:
    """What a pass did, in counts; `verdicts` counts the recorded outcomes."""

    recorded: int = 0
    lost: int = 0
    given_back: int = 0
    set_aside: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    stopped: bool = False
    faults: dict[str, int] = field(default_factory=dict)  # this machine's own, by code
    history: str = ""  # why the history was not folded and pruned to the end

    @property
    def notice(self) -> str:
        """The faults of this machine's own, in one line for the whole pass; "" when there were none."""
        from intctl.codes import CODES

        found = sorted(self.faults, key=lambda code: -self.faults[code])
        if not found:
            return ""
        said = "; ".join(f"{CODES[code].meaning} ({self.faults[code]} of {self.recorded} checks)" for code in found)
        return f"{said}. Nobody else was judged for it. {CODES[found[0]].next_step}"

    @property
    def keyless(self) -> bool:
        """Whether not one config could be opened: the keyring is not the one that these were sealed with."""
        return self.recorded > 0 and self.faults.get("self.key_missing") == self.recorded

    def line(self) -> str:
        """One line for the journal."""
        found = ", ".join(f"{self.verdicts[name]} {name}" for name in _VERDICTS if self.verdicts.get(name))
        text = f"checked {self.recorded}" + (f": {found}" if found else "")
        for count, words in (
            (self.lost, "results dropped (lease lost)"),
            (self.given_back, "given back"),
            (self.set_aside, "set aside after three checks without a result"),
        ):
            if count:
                text += f"; {count} {words}"
        return text


_VERDICTS = ("healthy", "degraded", "down", "misconfigured", "unknown")

#: What this machine, and no single integration, is the cause of: said once a pass.
_OWN_FAULTS = frozenset(
    {
        "dns.failure",
        "dns.timeout",
        "self.no_route",
        "self.no_network",
        "self.no_descriptors",
        "self.no_authorities",
        "self.key_missing",
        "self.database",
    }
)


@dataclass(frozen=True, slots=True)
class Checked:
    """One check that a person asked for. `outcome` is None when somebody else held the lease throughout."""

    row: Mapping[str, Any]
    outcome: Outcome | None
    checked_at: datetime


class Stop:
    """Set by SIGTERM or SIGINT: nothing new is claimed, and what is under way is given back."""

    def __init__(self) -> None:
        self.signal = 0
        self._wake: Callable[[], None] | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._set)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self.signal != 0

    def wake(self, call: Callable[[], None] | None) -> None:
        """What to call, besides, when the signal comes."""
        self._wake = call

    def _set(self, number: int, _frame: object) -> None:
        if self.signal:
            os._exit(130)  # asked twice: at once, the leases run out by themselves
        self.signal = number
        if self._wake:
            self._wake()


def run_once(database: Database, keyring: Keyring, settings: Settings, stop: Stop) -> Summary:
    """Checks all that is due, once. Raises StoreError when the database does not take the results."""
    summary = Summary(set_aside=claims.set_aside(database, agent=settings.host))
    owner = new_owner(settings.host)

    def due(free_slots: int) -> list[Claimed]:
        return claims.claim_due(
            database, owner, free_slots=free_slots, deadline_s=settings.deadline_s, org_id=settings.org_id
        )

    first = due(settings.concurrency)
    if first:
        _run(_Pass(database, keyring, settings, owner, "scheduled", summary, stop), first, due)
    summary.stopped = bool(stop)
    if not stop:
        summary.history = retention.tend(database)
    return summary


def check(
    database: Database,
    keyring: Keyring,
    settings: Settings,
    rows: Sequence[Mapping[str, Any]],
    stop: Stop,
    progress: Callable[[], None] = lambda: None,
    summary: Summary | None = None,
) -> list[Checked]:
    """Checks these integrations now, due or not, and records each as `manual`.

    What somebody else is checking at this moment is waited for, up to the deadline, and checked
    here if they give it up.
    """
    import time

    from intctl.probes.outcome import Outcome

    owner = new_owner(settings.host)
    waiting = list(rows)
    busy: list[tuple[Mapping[str, Any], int]] = []
    found: dict[str, Outcome] = {}

    def take(free_slots: int) -> list[Claimed]:
        taken: list[Claimed] = []
        while waiting and len(taken) < free_slots:
            row = waiting.pop(0)
            if row["rejections"] is None:  # a portal's own row, which has no schedule and gets none
                found[row["id"]] = Outcome("self.config_foreign")
                continue
            claimed = claims.claim_one(database, owner, row["id"], deadline_s=settings.deadline_s)
            if claimed is None:
                busy.append((row, claims.lease(database, row["id"])[0]))
            else:
                taken.append(claimed)
        return taken

    def finished(claimed: Claimed, outcome: Outcome) -> None:
        found[claimed.id] = outcome
        progress()

    work = _Pass(database, keyring, settings, owner, "manual", summary or Summary(), stop, finished)
    if first := take(settings.concurrency):
        _run(work, first, take)
    ends = time.monotonic() + settings.deadline_s
    while busy and not stop and time.monotonic() < ends:
        still, busy = busy, []
        for row, token in still:
            _, held = claims.lease(database, row["id"])  # before the logs: who frees it has written by then
            outcome = _recorded(database, row, token)
            if outcome is not None:
                found[row["id"]] = outcome
                progress()
            elif held:
                busy.append((row, token))
            else:
                waiting.append(row)
        if first := take(settings.concurrency):
            _run(work, first, take)
        elif busy:
            time.sleep(0.2)
    now = reads.now(database)
    return [Checked(row, found.get(row["id"]), now) for row in rows]


def _recorded(database: Database, row: Mapping[str, Any], token: int) -> Outcome | None:
    """The result that somebody else recorded under this lease or a later one, if there is one."""
    from intctl.probes.outcome import Outcome

    for log in reads.logs(database, row["org_id"], id=row["id"], limit=5):
        if log["lease_token"] is not None and log["lease_token"] >= token:
            return Outcome(log["code"], log["phase"], log["phases_ms"], log["facts"], log["detail"])
    return None


def new_owner(host: str) -> str:
    """A lease owner's name that no other process has or had."""
    return f"{host}:{os.getpid()}:{secrets.token_hex(4)}"


def _run(work: _Pass, first: list[Claimed], more: Callable[[int], list[Claimed]]) -> None:
    import asyncio

    asyncio.run(work.run(first, more))


class _Pass:
    """The event loop's side: probes under way, results waiting to be written."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        settings: Settings,
        owner: str,
        check_type: str,
        summary: Summary,
        stop: Stop,
        finished: Callable[[Claimed, Outcome], None] = lambda _claimed, _outcome: None,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._settings = settings
        self._owner = owner
        self._check_type = check_type
        self._summary = summary
        self._stop = stop
        self._finished = finished
        self._through = False
        self._held: list[Result] = []
        self._held_since = 0.0
        self._hosts: dict[str, str] = {}

    async def run(self, first: list[Claimed], more: Callable[[int], list[Claimed]]) -> None:
        """Probes `first`, asks `more` for as many as there are free slots, until it has none."""
        import asyncio

        from intctl.probes import witness
        from intctl.probes.run import Network

        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(stopped.set)

        self._stop.wake(wake)
        self._network = Network(self._settings.policy())
        self._witnesses = witness.parse(self._settings.witness)
        under_way: dict[asyncio.Task[Outcome], Claimed] = {}
        unwritten: list[Result] = []
        exhausted = False
        with ThreadPoolExecutor(1, thread_name_prefix="database") as thread:
            self._in_database = partial(loop.run_in_executor, thread)
            stopper = asyncio.create_task(stopped.wait())
            try:
                claimed = first
                while True:
                    for one in claimed:
                        under_way[asyncio.create_task(self._probe(one))] = one
                    if not under_way or self._stop:
                        break
                    await asyncio.wait(
                        {*under_way, stopper},
                        timeout=_BATCH_WAIT_S if unwritten else _HOLD_S if self._held else None,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    ended = [task for task in under_way if task.done()]
                    results = [Result(under_way.pop(task), task.result()) for task in ended]
                    unwritten += await self._sifted(results)
                    if len(unwritten) >= _BATCH or not ended or not under_way:
                        unwritten = await self._write(unwritten)
                    claimed = []
                    free = self._settings.concurrency - len(under_way)
                    if free and not exhausted and not self._stop:
                        claimed = await self._in_database(more, free)
                        exhausted = len(claimed) < free
            finally:
                stopper.cancel()
                self._stop.wake(None)
                await self._end(under_way, unwritten)

    async def _sifted(self, results: list[Result], *, last: bool = False) -> list[Result]:
        """The results that may be written now. Those that may be our own network's fault wait for a witness."""
        import time

        from intctl.probes.outcome import Outcome
        from intctl.probes.witness import SUSPECT, got_through, network_works

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

    async def _write(self, results: list[Result]) -> list[Result]:
        """Records the results; the empty list, to go on with."""
        if not results:
            return []
        kept = await self._in_database(
            partial(
                claims.record,
                self._database,
                self._owner,
                results,
                check_type=self._check_type,
                agent=self._settings.host,
                deadline_s=self._settings.deadline_s,
            )
        )
        for result in results:
            if result.claimed.id not in kept:
                self._summary.lost += 1
                continue
            self._summary.recorded += 1
            outcome = kept[result.claimed.id]
            self._summary.verdicts[outcome.verdict] = self._summary.verdicts.get(outcome.verdict, 0) + 1
            if outcome.code in _OWN_FAULTS:
                self._summary.faults[outcome.code] = self._summary.faults.get(outcome.code, 0) + 1
            self._finished(result.claimed, outcome)
        return []

    async def _end(self, under_way: dict[Any, Claimed], unwritten: list[Result]) -> None:
        """Writes what is known and gives back what is not."""
        import asyncio

        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)
        ended = [task for task in under_way if not task.cancelled()]
        results = [Result(under_way.pop(task), task.result()) for task in ended]
        try:
            # There is no time for a witness once somebody said stop: what is held back is given back.
            await self._write(unwritten + await self._sifted(results, last=not self._stop))
        finally:
            ids = [claimed.id for claimed in under_way.values()] + [result.claimed.id for result in self._held]
            if ids:
                self._summary.given_back += await self._in_database(claims.give_back, self._database, self._owner, ids)

    async def _probe(self, claimed: Claimed) -> Outcome:
        from intctl.probes.run import probe
        from intctl.stored import Opened, opened

        found = opened(self._keyring, claimed.row())
        if not isinstance(found, Opened):
            return found
        self._hosts[claimed.id] = found.host
        tokens = _TokenThread(self, claimed, found.origin)
        return await probe(found.probe, self._network, deadline_s=self._settings.deadline_s, tokens=tokens)


class _TokenThread:
    """A probe's token store, kept off the event loop on the database's thread."""

    def __init__(self, work: _Pass, claimed: Claimed, origin: Secret | None) -> None:
        self._work = work
        self._claimed = claimed
        self._origin = origin

    async def load(self) -> Tokens | None:
        return await self._work._in_database(self._store().load)

    async def save(self, tokens: Tokens, *, previous: Tokens | None) -> Tokens:
        return await self._work._in_database(self._store().save, tokens, previous)

    def _store(self) -> Any:
        from intctl.store.tokens import SealedTokens
        from intctl.stored import token_binding

        claimed = self._claimed
        return SealedTokens(
            self._work._database,
            self._work._keyring,
            token_binding(claimed.org_id, claimed.id, claimed.provider),
            name=claimed.name,
            origin=self._origin,
            config_version=claimed.config_version,
        )


def run_forever(
    connect: Callable[[], Database],
    keyring: Keyring,
    settings: Settings,
    stop: Stop,
    *,
    every_s: float,
    report: Callable[[Summary], None],
    complain: Callable[[IntctlError], None],
) -> None:
    """Passes until `stop`, a new one every `every_s` seconds at the most.

    A database that is away ends no loop: it is told once, and asked again at the next turn.
    """
    import time

    away = False
    while not stop:
        started = time.monotonic()
        try:
            with connect() as database:
                report(run_once(database, keyring, settings, stop))
            away = False
        except IntctlError as error:
            if not away:
                complain(error)
            away = True
        # Short sleeps: a lock that the signal's handler would need could be held when it comes.
        while not stop and (left := started + every_s - time.monotonic()) > 0:
            time.sleep(min(left, 0.25))
