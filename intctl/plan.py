"""Manifest against store: what to create, what to update, what stands already; then the tests, then one commit.

`add`, `edit` and `apply` are the same three steps: `draw` compares, `test` proves what is new or
changed, `save` writes all of it or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from intctl import stored
from intctl.errors import ConflictError, ManifestError, Problem, SealError, UsageError
from intctl.keyring import Keyring
from intctl.manifest import Manifest, to_plain
from intctl.probes.ask import HttpProbe, Probe, SmtpProbe, TestMail, Tokens
from intctl.probes.outcome import Outcome
from intctl.providers.base import Provider
from intctl.store import claims, reads
from intctl.store.connect import Database, Target
from intctl.store.ids import new_id
from intctl.store.tokens import SealedTokens
from intctl.text import Secret, fold

if TYPE_CHECKING:
    from intctl.probes.guard import AddressPolicy

Action = Literal["create", "update", "unchanged"]

#: How many connections are tested at once.
_CONCURRENCY = 50


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
    drafted: bool = False  # an inactive row was committed early, to keep a rotated token
    tokens: Tokens | None = None  # what the test got and nobody stored yet
    found_tokens: Tokens | None = None  # what was stored before: whoever changed it since was later than we

    @property
    def provider(self) -> Provider:
        """The manifest's provider."""
        return self.manifest.provider

    @property
    def wants_test(self) -> bool:
        """Whether something changed that only an exchange with the provider can prove."""
        return self.action == "create" or "config" in {name.partition(".")[0] for name in self.changed}

    @property
    def origin(self) -> Secret | None:
        """The refresh token as the manifest has it, where the provider wants one."""
        return stored.origin(self.manifest.config)

    @property
    def config_version(self) -> int:
        """The version that the config will have once it is saved."""
        if self.row is None:
            return 1
        return int(self.row["config_version"]) + (1 if self.wants_test else 0)


# --- draw ----------------------------------------------------------------------------------------


def draw(database: Database, keyring: Keyring, org_id: str, manifests: Sequence[Manifest]) -> list[Change]:
    """Each manifest against what is stored under its name. Raises ConflictError for another provider's name."""
    living = {fold(row["name"]): row for row in reads.sealed(database, org_id)}
    changes = []
    for manifest in manifests:
        assert manifest.name is not None
        row = living.get(fold(manifest.name))
        changes.append(compare(keyring, manifest, row) if row else creation(manifest))
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
    if manifest.enabled is not None and manifest.enabled != (row["status"] in ("active", "error")):
        changed.append("enabled")
    action: Action = "update" if changed else "unchanged"
    return Change(action, manifest, str(row["id"]), name, row, tuple(changed))


def _config_differences(
    keyring: Keyring, manifest: Manifest, row: Mapping[str, Any], replace_lost: bool
) -> list[str]:
    if not manifest.has_config:
        return []
    wanted = to_plain(manifest.provider, manifest.config)
    try:
        kept = keyring.open(row["config"], stored.binding(row["org_id"], row["id"], row["provider"]), row["name"])
    except SealError as error:
        if error.code == "self.key_missing" and not replace_lost:
            raise
        return sorted(wanted)  # what does not open is replaced whole
    missing = object()
    return sorted(key for key in wanted.keys() | kept.keys() if wanted.get(key, missing) != kept.get(key, missing))


# --- test ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Workshop:
    """What testing and saving need. `database` is spoken to from one thread at a time."""

    target: Target
    database: Database
    keyring: Keyring
    org_id: str
    agent: str
    deadline_s: float = 20.0
    policy: AddressPolicy | None = None
    progress: Callable[[], None] = field(default=lambda: None)


def test(shop: Workshop, changes: Sequence[Change]) -> None:
    """Proves each new or changed config by a real exchange; every change gets its `outcome`."""
    import asyncio

    asyncio.run(_test_all(shop, [change for change in changes if change.wants_test]))


test.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


async def _test_all(shop: Workshop, changes: Sequence[Change]) -> None:
    import asyncio

    from intctl.probes.run import Network, probe

    network = Network(shop.policy)
    slots = asyncio.Semaphore(_CONCURRENCY)

    async def one(change: Change, thread: ThreadPoolExecutor) -> None:
        ask = change.provider.probe(change.manifest.config)
        async with slots:
            store = _PlannedTokens(shop, change, thread)
            outcome = await probe(ask, network, deadline_s=shop.deadline_s, tokens=store)
        if change.row is not None and claims.wants_last(outcome, change.provider.name):
            previous = await store.call(claims.last_success, shop.database, change.id)
            outcome = claims.beside_last(outcome, previous, change.config_version)
        change.outcome = outcome
        shop.progress()

    with ThreadPoolExecutor(1, thread_name_prefix="database") as thread:
        await asyncio.gather(*(one(change, thread) for change in changes))


class _PlannedTokens:
    """The token store of a config that is not saved yet.

    An access token waits for the commit. A rotated refresh token can't: its predecessor may be
    dead, so it is sealed and committed at once, in an inactive row if there is none yet.
    """

    def __init__(self, shop: Workshop, change: Change, thread: ThreadPoolExecutor) -> None:
        self._shop = shop
        self._change = change
        self._thread = thread

    async def load(self) -> Tokens | None:
        tokens = self._change.found_tokens = await self.call(self._stored_load)
        # An access token that an earlier config got would prove nothing about this one.
        return replace(tokens, access_token=None, expires_at=None) if tokens else None

    async def save(self, tokens: Tokens, *, previous: Tokens | None) -> Tokens:
        known = (previous.refresh_token if previous else None) or self._change.origin
        if tokens.refresh_token is not None and tokens.refresh_token != known:
            stands: Tokens = await self.call(self._keep, tokens)
            return stands
        self._change.tokens = tokens
        return tokens

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs `function` on the database's thread."""
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *arguments))

    def _stored_load(self) -> Tokens | None:
        return sealed_tokens(self._shop, self._change).load() if self._change.row or self._change.drafted else None

    def _keep(self, tokens: Tokens) -> Tokens:
        if self._change.row is None and not self._change.drafted:
            _insert(self._shop, [self._change], status="inactive")
            self._change.drafted = True
        return sealed_tokens(self._shop, self._change).save(tokens, self._change.found_tokens)


def sealed_tokens(shop: Workshop, change: Change) -> SealedTokens:
    """The stored tokens that belong to this change's config."""
    return SealedTokens(
        shop.database,
        shop.keyring,
        stored.token_binding(shop.org_id, change.id, change.provider.name),
        name=change.name,
        origin=change.origin,
        config_version=change.config_version,
    )


def test_manifests(
    manifests: Sequence[Manifest], *, policy: AddressPolicy | None, deadline_s: float, send_to: str | None = None
) -> list[Outcome]:
    """What an exchange with each finds. Nothing is stored: neither needs a database nor writes one."""
    asks = [(manifest.provider.probe(manifest.config), manifest.config, None) for manifest in manifests]
    return _ask_all(asks, policy, deadline_s, send_to)


def test_stored(shop: Workshop, row: Mapping[str, Any], send_to: str | None = None) -> Outcome:
    """What an exchange finds with the stored config of `row`. Writes nothing, not even a new token."""
    sealed = reads.sealed(shop.database, shop.org_id, id=row["id"])[0]
    opened = stored.opened(shop.keyring, sealed)
    if not isinstance(opened, stored.Opened):
        return opened
    tokens = SealedTokens(
        shop.database,
        shop.keyring,
        stored.token_binding(shop.org_id, row["id"], row["provider"]),
        name=row["name"],
        origin=opened.origin,
        config_version=row["config_version"],
    ).load()
    asks = [(opened.probe, opened.config, _ReadOnlyTokens(tokens))]
    return _ask_all(asks, shop.policy, shop.deadline_s, send_to)[0]


def ask_status_page(url: str, *, policy: AddressPolicy | None, deadline_s: float) -> Outcome:
    """What a vendor's public status page says (Statuspage's shape), asked without any credential."""
    ask = HttpProbe(
        url,
        None,
        require=("/status/indicator",),
        facts={"indicator": "/status/indicator", "description": "/status/description"},
        max_body_bytes=1024 * 1024,
    )
    return _ask_all([(ask, {}, None)], policy, deadline_s, None)[0]


test_manifests.__test__ = test_stored.__test__ = False  # type: ignore[attr-defined]


class _ReadOnlyTokens:
    """Tokens that can be used and not replaced: a new one is good for this exchange only."""

    def __init__(self, stored: Tokens | None) -> None:
        self._stored = stored

    async def load(self) -> Tokens | None:
        return self._stored

    async def save(self, tokens: Tokens, *, previous: Tokens | None) -> Tokens:  # noqa: ARG002
        return tokens


def _ask_all(
    asks: Sequence[tuple[Probe, Mapping[str, object], _ReadOnlyTokens | None]],
    policy: AddressPolicy | None,
    deadline_s: float,
    send_to: str | None,
) -> list[Outcome]:
    import asyncio

    from intctl.probes.run import Network, probe
    from intctl.probes.smtp import send_test_mail

    async def asking() -> list[Outcome]:
        network = Network(policy)
        slots = asyncio.Semaphore(_CONCURRENCY)

        async def one(ask: Probe, settings: Mapping[str, object], tokens: _ReadOnlyTokens | None) -> Outcome:
            async with slots:
                if send_to is None:
                    return await probe(ask, network, deadline_s=deadline_s, tokens=tokens)
                assert isinstance(ask, SmtpProbe)
                mail = test_mail(settings, send_to)
                return await send_test_mail(ask, mail, network, deadline_s=deadline_s, tokens=tokens)

        return list(await asyncio.gather(*(one(*ask) for ask in asks)))

    if send_to is not None and not all(isinstance(ask, SmtpProbe) for ask, _, _ in asks):
        raise UsageError("--send-to sends a mail, so it goes with mail integrations only.")
    return asyncio.run(asking())


def test_mail(settings: Mapping[str, object], recipient: str) -> TestMail:
    """The mail that `--send-to` sends, from the config's sender."""
    if not re.fullmatch(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+", recipient):
        raise UsageError("--send-to takes one address, such as you@company.com")
    sender = settings.get("from_email")
    if not isinstance(sender, str):
        raise UsageError("--send-to needs a sender: set from_email in the config.")
    name = settings.get("from_name")
    return TestMail(
        sender=sender,
        sender_name=name if isinstance(name, str) else "",
        recipient=recipient,
        subject="Test mail from intctl",
        body="This mail was sent with: intctl test --send-to\nIf you can read it, the integration can send.\n",
    )


test_mail.__test__ = False  # type: ignore[attr-defined]


# --- save ----------------------------------------------------------------------------------------


def savable(change: Change) -> bool:
    """Whether its test allows to save it: it works, perhaps with a warning, or nothing can test it."""
    if not change.wants_test or change.outcome is None:
        return True
    return change.outcome.verdict in ("healthy", "degraded") or change.outcome.code == "self.no_probe"


def save(shop: Workshop, changes: Sequence[Change]) -> None:
    """Writes the changes in one transaction, then the tokens that their tests got.

    Raises ConflictError when a name was taken or a row changed since it was read.
    """
    from intctl.store import changes as store

    work = [change for change in changes if change.action != "unchanged"]
    if not work:
        return
    with store.unit_of_work(shop.target) as session:
        for change in work:
            if change.action == "create" and not change.drafted:
                store.insert_integration(session, **_values(shop, change, _status(change)))
            else:
                _update(shop, session, change)
            if change.wants_test and change.outcome is not None:
                store.record_outcome(
                    session,
                    id=change.id,
                    org_id=shop.org_id,
                    check_type="auto",
                    outcome=change.outcome,
                    agent=shop.agent,
                )
    for change in work:
        if change.wants_test:
            _settle_tokens(shop, change)


def _insert(shop: Workshop, changes: Sequence[Change], *, status: str) -> None:
    from intctl.store import changes as store

    with store.unit_of_work(shop.target) as session:
        for change in changes:
            store.insert_integration(session, **_values(shop, change, status))


def _values(shop: Workshop, change: Change, status: str) -> dict[str, Any]:
    manifest = change.manifest
    return {
        "id": change.id,
        "org_id": shop.org_id,
        "type": manifest.type or change.provider.type,
        "provider": change.provider.name,
        "name": change.name,
        "config": stored.seal(shop.keyring, shop.org_id, change.id, change.provider, manifest.config),
        "status": status,
        "interval_minutes": manifest.interval or 5,
        "due": _due(change, status),
    }


def _status(change: Change) -> str:
    """Saved is enabled, unless the file or an earlier toggle says otherwise."""
    if change.manifest.enabled is not None:
        return "active" if change.manifest.enabled else "inactive"
    if change.row is not None and change.row["status"] not in ("active", "error"):
        return "inactive"
    return "active"


def _due(change: Change, status: str) -> Literal["now", "later", "never"]:
    if status != "active":
        return "never"
    return "now" if change.outcome is None else "later"


def _update(shop: Workshop, session: Any, change: Change) -> None:
    from intctl.store import changes as store

    manifest, row = change.manifest, change.row
    status = _status(change)
    values: dict[str, Any] = {}
    if change.drafted:
        values.update(status=status, due=_due(change, status))
    elif change.wants_test:
        envelope = stored.seal(shop.keyring, shop.org_id, change.id, change.provider, manifest.config)
        values.update(config=envelope, status=status, due=_due(change, status))
    elif "enabled" in change.changed:
        values.update(status=status, due="now" if status == "active" else "never")
    if "name" in change.changed:
        values["name"] = change.name
    if "type" in change.changed:
        values["type"] = manifest.type
    if "health_check_interval_minutes" in change.changed:
        values["interval_minutes"] = manifest.interval
    version = int(row["config_version"]) if row else 1
    store.update_integration(session, id=change.id, org_id=shop.org_id, expected_version=version, **values)


def _settle_tokens(shop: Workshop, change: Change) -> None:
    """Keeps the tokens that the test got, and removes what belonged to the config before."""
    store, tokens = sealed_tokens(shop, change), change.tokens
    if tokens is None and change.origin is not None and store.load() is None:
        tokens = Tokens(None, None, refresh_token=change.origin, origin=change.origin)
    if tokens is not None:
        store.save(tokens, change.found_tokens)
    if change.row is not None:
        store.drop_others()
