"""The test of a change: a real exchange with the provider, under a lease if it spends a token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from intctl import vault
from intctl.db import lease
from intctl.db.ids import new_owner
from intctl.db.thread import database_thread
from intctl.failpoint import hit
from intctl.health import judge
from intctl.health.outcome import Outcome
from intctl.manifest import Manifest
from intctl.plan.changes import Change
from intctl.plan.commit import insert_drafts
from intctl.plan.runtime import Call, Runtime, sealed_tokens
from intctl.probes.spec import RefreshToken
from intctl.providers.hints import with_hints
from intctl.store import claims, results
from intctl.vault import MemoryTokenStore


def test(runtime: Runtime, changes: Sequence[Change]) -> None:
    """Test each new or changed config by a real exchange, and set the `outcome` of every change.

    A refresh token is spent under the integration's lease, and its successor is committed at once: an integration
    without a row gets a draft first. Call `withdraw` at the end. Raises ConflictError if a name was taken since.
    """
    import asyncio

    wanting = [change for change in changes if change.wants_test]
    drafts = [change for change in wanting if change.action == "create" and not change.drafted and change.spends]
    if drafts:
        insert_drafts(runtime, drafts)
    for change in drafts:
        change.drafted = True
    hit("token_drafted")
    asyncio.run(_test_all(runtime, wanting))


test.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


async def _test_all(runtime: Runtime, changes: Sequence[Change]) -> None:
    import asyncio

    from intctl.probes.run import Network, run_probe

    network = Network(runtime.policy)
    slots = asyncio.Semaphore(runtime.concurrency)

    async def one(change: Change, call: Call) -> None:
        probe = change.provider.probe(change.manifest.config)
        async with slots, right_to_ask(runtime, change.id, call, needed=change.spends) as given:
            if given:
                tokens = _token_store(runtime, change, call)
                outcome = await run_probe(probe, network, deadline_s=runtime.deadline_s, tokens=tokens)
                outcome = with_hints(outcome, change.provider, change.manifest.config)
            else:
                outcome = Outcome("self.busy")
        if change.stored is not None and judge.needs_last_success(outcome, change.provider.name):
            previous = await call(results.last_success, runtime.database, change.id)
            version = change.stored.config_version + 1  # a new config: results of the old one do not apply
            outcome = judge.compare_with_last_success(outcome, previous, version)
        change.outcome = judge.as_unverified(outcome)
        runtime.progress()

    with database_thread() as call:
        await asyncio.gather(*(one(change, call) for change in changes))


def _token_store(runtime: Runtime, change: Change, call: Call) -> MemoryTokenStore | vault.PersistentTokenStore:
    if change.stored is None and not change.drafted:
        change.passing = vault.MemoryTokenStore()
        return change.passing
    return vault.PersistentTokenStore(sealed_tokens(runtime, change), call, fresh=True)


@asynccontextmanager
async def right_to_ask(runtime: Runtime, id: str, call: Call, *, needed: bool) -> AsyncIterator[bool]:
    """Hold the integration's lease, so that no other process spends its refresh token. Yields False if it is busy.

    Waits for the present holder, even if that process died: for as long as a lease can last.
    """
    import asyncio
    import time

    if not needed:
        yield True
        return
    owner = new_owner(runtime.agent)
    ends = time.monotonic() + runtime.deadline_s + lease.MARGIN_S + 5
    while not (
        given := await call(partial(claims.claim_one, runtime.database, owner, id, deadline_s=runtime.deadline_s))
    ):
        gone = (await call(claims.holder, runtime.database, id))[0] == 0  # a draft that its creator withdrew
        if gone or time.monotonic() > ends:
            break
        await asyncio.sleep(0.2)
    try:
        yield given is not None
    finally:
        if given is not None:
            await call(claims.give_back, runtime.database, owner, [id])


def single_use(manifest: Manifest) -> bool:
    """Whether a test spends the manifest's refresh token for good."""
    auth = getattr(manifest.provider.probe(manifest.config), "auth", None)
    return isinstance(auth, RefreshToken) and auth.single_use
