"""Manifest against store: what to create, what to update, what stands already; then the tests, then one commit.

`add`, `edit` and `apply` are the same three steps: `draw` compares, `test` proves what is new or
changed, `save` writes all of it or nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from intctl import vault
from intctl.db.connect import Database
from intctl.db.ids import new_id, new_owner
from intctl.db.url import Target
from intctl.errors import ConflictError, ManifestError, Problem, SealError
from intctl.failpoint import hit
from intctl.health.outcome import Outcome
from intctl.health.status import interval_minutes, is_enabled
from intctl.keyring import Keyring
from intctl.manifest import Manifest, to_plain
from intctl.probes.spec import RefreshToken
from intctl.providers.base import Provider
from intctl.store import claims, reads
from intctl.store.tokens import SealedTokens
from intctl.text import fold
from intctl.vault import MemoryTokenStore

if TYPE_CHECKING:
    from intctl.probes.guard import AddressPolicy

Action = Literal["create", "update", "unchanged"]
#: Runs a function on the database's thread.
Call = Callable[..., Awaitable[Any]]

#: How many connections are tested at once, unless less is given.
CONCURRENCY = 50


@dataclass(slots=True)
class Change:
    """What one manifest asks for. `changed` names the fields that differ, never their values."""

    action: Action
    manifest: Manifest
    id: str
    name: str
    row: Mapping[str, Any] | None = None
    changed: tuple[str, ...] = ()
    outcome: Outcome | None = None
    drafted: bool = False  # an inactive row stands for it already: what the test rotates has a place
    passing: MemoryTokenStore | None = None  # what the test got for an integration that has no row yet

    @property
    def provider(self) -> Provider:
        """The manifest's provider."""
        return self.manifest.provider

    @property
    def wants_test(self) -> bool:
        """Whether something changed that only an exchange with the provider can prove."""
        return self.action == "create" or "config" in {name.partition(".")[0] for name in self.changed}

    @property
    def spends(self) -> bool:
        """Whether its test spends a refresh token."""
        return self.wants_test and vault.refreshes(self.provider.probe(self.manifest.config))


# --- draw ----------------------------------------------------------------------------------------


def diff(database: Database, keyring: Keyring, org_id: str, manifests: Sequence[Manifest]) -> list[Change]:
    """Each manifest against what is stored under its name. Raises ConflictError for another provider's name.

    The draft that an unfinished creation left is finished: it is no integration yet.
    """
    living = {fold(row["name"]): row for row in reads.sealed(database, org_id)}
    changes = []
    for manifest in manifests:
        assert manifest.name is not None
        row = living.get(fold(manifest.name))
        changes.append(compare(keyring, manifest, row) if row else creation(manifest))
        if row and row["config_version"] == 0 and not is_enabled(row["status"]):
            changes[-1] = replace(creation(manifest), id=str(row["id"]), drafted=True)
    return changes


def creation(manifest: Manifest) -> Change:
    """A change that makes a new integration. Raises ManifestError where the file gives no config."""
    assert manifest.name is not None
    if not manifest.has_config:
        message = f'config is missing: there is no integration "{manifest.name}" yet that could keep its own'
        raise ManifestError([Problem(manifest.file, manifest.line, 1, message)])
    return Change("create", manifest, new_id(), manifest.name)


def compare(keyring: Keyring, manifest: Manifest, row: Mapping[str, Any], *, replace_lost: bool = False) -> Change:
    """What it takes to make the stored `row` what the manifest says. An absent key keeps its stored value.

    Raises SealError where the keyring lacks the row's key, unless `replace_lost`: whoever has that
    key elsewhere could no longer open what this one would seal.
    """
    name = manifest.name or row["name"]
    if manifest.provider.name != row["provider"]:
        raise ConflictError(
            f'"{row["name"]}" is {row["provider"]}, and the file says {manifest.provider.name}: '
            "a provider can't be changed. Delete it first, or use another name."
        )
    changed = [f"config.{key}" for key in _config_differences(keyring, manifest, row, replace_lost)]
    if name != row["name"]:
        changed.append("name")
    if manifest.type is not None and manifest.type != row["type"]:
        changed.append("type")
    if manifest.interval is not None and manifest.interval != row["health_check_interval_minutes"]:
        changed.append("health_check_interval_minutes")
    if manifest.enabled is not None and manifest.enabled != is_enabled(row["status"]):
        changed.append("enabled")
    action: Action = "update" if changed else "unchanged"
    return Change(action, manifest, str(row["id"]), name, row, tuple(changed))


def _config_differences(keyring: Keyring, manifest: Manifest, row: Mapping[str, Any], replace_lost: bool) -> list[str]:
    if not manifest.has_config:
        return []
    wanted = to_plain(manifest.provider, manifest.config)
    try:
        kept = keyring.open(row["config"], vault.binding(row["org_id"], row["id"], row["provider"]), row["name"])
    except SealError as error:
        if error.code == "self.key_missing" and not replace_lost:
            raise
        return sorted(wanted)  # what does not open is replaced whole
    missing = object()
    return sorted(key for key in wanted.keys() | kept.keys() if wanted.get(key, missing) != kept.get(key, missing))


# --- test ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Runtime:
    """What testing and saving need. `database` is spoken to from one thread at a time."""

    target: Target
    database: Database
    keyring: Keyring
    org_id: str
    agent: str
    deadline_s: float = 20.0
    policy: AddressPolicy | None = None
    concurrency: int = CONCURRENCY
    progress: Callable[[], None] = field(default=lambda: None)


def test(runtime: Runtime, changes: Sequence[Change]) -> None:
    """Proves each new or changed config by a real exchange; every change gets its `outcome`.

    A refresh token is spent under the integration's lease and its successor committed at once: what
    has no row yet gets a draft first. Call `withdraw` in the end. Raises ConflictError when a name
    was taken since.
    """
    import asyncio

    wanting = [change for change in changes if change.wants_test]
    drafts = [change for change in wanting if change.action == "create" and not change.drafted and change.spends]
    if drafts:
        _insert(runtime, drafts, status="inactive", config_version=0)
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
            else:
                outcome = Outcome("self.busy")
        if change.row is not None and claims.needs_last_success(outcome, change.provider.name):
            previous = await call(claims.last_success, runtime.database, change.id)
            version = int(change.row["config_version"]) + 1  # a changed config: what was known of the old one is not
            outcome = claims.compare_with_last_success(outcome, previous, version)
        change.outcome = claims.as_unverified(outcome)
        runtime.progress()

    with ThreadPoolExecutor(1, thread_name_prefix="database") as thread:
        call = partial(asyncio.get_running_loop().run_in_executor, thread)
        await asyncio.gather(*(one(change, call) for change in changes))


def _token_store(runtime: Runtime, change: Change, call: Call) -> MemoryTokenStore | vault.PersistentTokenStore:
    if change.row is None and not change.drafted:
        change.passing = vault.MemoryTokenStore()
        return change.passing
    return vault.PersistentTokenStore(sealed_tokens(runtime, change), call, fresh=True)


@asynccontextmanager
async def right_to_ask(runtime: Runtime, id: str, call: Call, *, needed: bool) -> AsyncIterator[bool]:
    """The integration's lease, so that nobody else spends its refresh token meanwhile; False if it can't be had.

    Whoever holds it now is waited for, a process that died too: as long as a lease can last.
    """
    import asyncio
    import time

    if not needed:
        yield True
        return
    owner = new_owner(runtime.agent)
    ends = time.monotonic() + runtime.deadline_s + claims.LEASE_MARGIN_S + 5
    while not (
        given := await call(partial(claims.claim_one, runtime.database, owner, id, deadline_s=runtime.deadline_s))
    ):
        gone = (await call(claims.lease, runtime.database, id))[0] == 0  # a draft that its maker withdrew
        if gone or time.monotonic() > ends:
            break
        await asyncio.sleep(0.2)
    try:
        yield given is not None
    finally:
        if given is not None:
            await call(claims.give_back, runtime.database, owner, [id])


def sealed_tokens(runtime: Runtime, change: Change) -> SealedTokens:
    """The stored tokens that belong to this change's config."""
    row = {"org_id": runtime.org_id, "id": change.id, "name": change.name}
    return vault.tokens(runtime.database, runtime.keyring, row, change.provider, change.manifest.config)


def single_use(manifest: Manifest) -> bool:
    """Whether a test spends the manifest's refresh token for good."""
    auth = getattr(manifest.provider.probe(manifest.config), "auth", None)
    return isinstance(auth, RefreshToken) and auth.single_use


# --- save ----------------------------------------------------------------------------------------


def savable(change: Change) -> bool:
    """Whether its test allows to save it: it works, perhaps with a warning, or nothing can test it."""
    if not change.wants_test or change.outcome is None:
        return True
    return change.outcome.verdict in ("healthy", "degraded") or change.outcome.code == "self.no_probe"


def save(runtime: Runtime, changes: Sequence[Change]) -> None:
    """Writes the changes in one transaction, then settles the tokens.

    Raises ConflictError when a name was taken or a row changed since it was read.
    """
    from intctl.store import changes as store

    work = [change for change in changes if change.action != "unchanged"]
    if not work:
        return
    hit("token_before_commit")
    with store.unit_of_work(runtime.target) as session:
        for change in work:
            if change.action == "create" and not change.drafted:
                store.insert_integration(session, **_values(runtime, change, _status(change)))
            else:
                _update(runtime, session, change)
            if change.wants_test and change.outcome is not None:
                store.record_outcome(
                    session,
                    id=change.id,
                    org_id=runtime.org_id,
                    check_type="auto",
                    outcome=change.outcome,
                    agent=runtime.agent,
                )
    hit("token_after_commit")
    for change in work:
        if change.wants_test:
            _settle_tokens(runtime, change)


def withdraw(runtime: Runtime, changes: Sequence[Change]) -> None:
    """Removes the drafts that nothing came of, but for those whose provider replaced the token."""
    for change in changes:
        if change.drafted and sealed_tokens(runtime, change).withdraw_draft():
            change.drafted = False


def _insert(runtime: Runtime, changes: Sequence[Change], *, status: str, config_version: int) -> None:
    from intctl.store import changes as store

    with store.unit_of_work(runtime.target) as session:
        for change in changes:
            store.insert_integration(session, **_values(runtime, change, status), config_version=config_version)


def _values(runtime: Runtime, change: Change, status: str) -> dict[str, Any]:
    manifest = change.manifest
    return {
        "id": change.id,
        "org_id": runtime.org_id,
        "type": manifest.type or change.provider.type,
        "provider": change.provider.name,
        "name": change.name,
        "config": vault.seal(runtime.keyring, runtime.org_id, change.id, change.provider, manifest.config),
        "status": status,
        "interval_minutes": interval_minutes(manifest.interval),
        "due": _due(change, status),
    }


def _status(change: Change) -> str:
    """Saved is enabled, unless the file or an earlier toggle says otherwise."""
    if change.manifest.enabled is not None:
        return "active" if change.manifest.enabled else "inactive"
    if change.row is not None and not is_enabled(change.row["status"]):
        return "inactive"
    return "active"


def _due(change: Change, status: str) -> Literal["now", "later", "never"]:
    if status != "active":
        return "never"
    return "now" if change.outcome is None else "later"


def _update(runtime: Runtime, session: Any, change: Change) -> None:
    from intctl.store import changes as store

    manifest, row = change.manifest, change.row
    status = _status(change)
    values: dict[str, Any] = {}
    if change.drafted:  # perhaps by an earlier run, from another manifest
        drafted = _values(runtime, change, status)
        values = {key: drafted[key] for key in ("name", "type", "config", "status", "interval_minutes", "due")}
    elif change.wants_test:
        envelope = vault.seal(runtime.keyring, runtime.org_id, change.id, change.provider, manifest.config)
        values.update(config=envelope, status=status, due=_due(change, status))
    elif "enabled" in change.changed:
        values.update(status=status, due="now" if status == "active" else "never")
    if "name" in change.changed:
        values["name"] = change.name
    if "type" in change.changed:
        values["type"] = manifest.type
    if "health_check_interval_minutes" in change.changed:
        values["interval_minutes"] = manifest.interval
    version = int(row["config_version"]) if row else 0
    store.update_integration(session, id=change.id, org_id=runtime.org_id, expected_version=version, **values)


def _settle_tokens(runtime: Runtime, change: Change) -> None:
    """Keeps the tokens that the test got, and removes what belonged to the config before."""
    store = sealed_tokens(runtime, change)
    if change.passing is not None and change.passing.found is not None:
        store.save(change.passing.found, None)
    if change.row is not None or change.drafted:
        store.drop_others()
