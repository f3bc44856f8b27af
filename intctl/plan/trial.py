"""Trials: exchanges with a provider that save nothing but tokens which can't be obtained again.

`test`, `troubleshoot` and the mail of `--send-to`: of a manifest, or of a stored integration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from intctl import vault
from intctl.db.thread import database_thread
from intctl.errors import UsageError
from intctl.health import judge
from intctl.health.outcome import Outcome
from intctl.health.status import interval_minutes
from intctl.manifest import Manifest
from intctl.plan.exchange import right_to_ask, single_use
from intctl.plan.runtime import CONCURRENCY, Runtime
from intctl.probes.spec import HttpProbe, Probe, RefreshToken, SmtpProbe, TestMail
from intctl.providers.hints import with_hints
from intctl.store import clock, configs, results
from intctl.store.integrations import Integration
from intctl.store.tokens import SealedTokens
from intctl.vault import MemoryTokenStore

if TYPE_CHECKING:
    from intctl.probes.guard import AddressPolicy


def test_manifests(
    manifests: Sequence[Manifest],
    *,
    policy: AddressPolicy | None,
    deadline_s: float,
    concurrency: int = CONCURRENCY,
    send_to: str | None = None,
    spend_token: bool = False,
) -> list[Outcome]:
    """Test manifests by an exchange each. Needs no database and stores nothing.

    A refresh token that can be used only once is not spent, unless `spend_token`.
    """
    refused = [not spend_token and single_use(manifest) for manifest in manifests]
    probes = [
        (one.provider.probe(one.config), one.config, vault.MemoryTokenStore())
        for one, no in zip(manifests, refused, strict=True)
        if not no
    ]
    found = map(judge.as_unverified, _probe_all(probes, policy, deadline_s, send_to, concurrency))
    return [
        Outcome("self.token_single_use") if no else with_hints(next(found), one.provider, one.config)
        for one, no in zip(manifests, refused, strict=True)
    ]


def test_stored(runtime: Runtime, integration: Integration, send_to: str | None = None) -> Outcome:
    """Test a stored config by an exchange. Writes nothing, not even a new token.

    Therefore it spends no refresh token that the provider replaces, as declared or as observed.
    """
    found = _opened_with_tokens(runtime, integration.id)
    if isinstance(found, Outcome):
        return found
    opened, tokens, rotates = found
    if rotates:
        return Outcome("self.token_single_use")
    known = tokens.load()
    passing = vault.MemoryTokenStore(replace(known, access_token=None, expires_at=None) if known else None)
    outcome = _probe_all([(opened.probe, opened.config, passing)], runtime.policy, runtime.deadline_s, send_to)[0]
    outcome = with_hints(outcome, opened.provider, opened.config)
    return judge.apply_throttling(
        outcome,
        results.last_success(runtime.database, integration.id),
        config_version=integration.config_version,
        interval_minutes=interval_minutes(integration.health_check_interval_minutes),
        now=clock.now(runtime.database),
    )


def troubleshoot_stored(runtime: Runtime, integration: Integration) -> Outcome:
    """Test a stored config by an exchange. Records nothing, but keeps a replaced token."""
    import asyncio

    from intctl.probes.run import Network, run_probe

    found = _opened_with_tokens(runtime, integration.id)
    if isinstance(found, Outcome):
        return found
    opened, tokens, rotates = found

    async def asking() -> Outcome:
        with database_thread() as call:
            async with right_to_ask(runtime, integration.id, call, needed=rotates) as given:
                if not given:
                    return Outcome("self.busy")
                kept = vault.PersistentTokenStore(tokens, call, fresh=True)
                outcome = await run_probe(
                    opened.probe, Network(runtime.policy), deadline_s=runtime.deadline_s, tokens=kept
                )
                return with_hints(outcome, opened.provider, opened.config)

    return asyncio.run(asking()) if rotates else test_stored(runtime, integration)


def _opened_with_tokens(runtime: Runtime, id: str) -> tuple[vault.OpenedIntegration, SealedTokens, bool] | Outcome:
    """A stored integration, opened, its tokens, and whether a use of its refresh token replaces it."""
    sealed = configs.sealed(runtime.database, runtime.org_id, id=id)[0]
    opened = vault.open_integration(runtime.keyring, sealed)
    if not isinstance(opened, vault.OpenedIntegration):
        return opened
    tokens = vault.tokens(runtime.database, runtime.keyring, sealed, opened.provider, opened.config)
    auth = getattr(opened.probe, "auth", None)
    if not isinstance(auth, RefreshToken):
        return opened, tokens, False
    known = tokens.load()
    seen = known is not None and known.refresh_token != known.origin
    return opened, tokens, auth.single_use or seen


def ask_status_page(url: str, *, policy: AddressPolicy | None, deadline_s: float) -> Outcome:
    """Read a vendor's public status page (Statuspage's format), without any credential."""
    probe = HttpProbe(
        url,
        None,
        require=("/status/indicator",),
        facts={"indicator": "/status/indicator", "description": "/status/description"},
        max_body_bytes=1024 * 1024,
    )
    return _probe_all([(probe, {}, None)], policy, deadline_s, None)[0]


test_manifests.__test__ = test_stored.__test__ = False  # type: ignore[attr-defined]


def _probe_all(
    probes: Sequence[tuple[Probe, Mapping[str, object], MemoryTokenStore | None]],
    policy: AddressPolicy | None,
    deadline_s: float,
    send_to: str | None,
    concurrency: int = CONCURRENCY,
) -> list[Outcome]:
    import asyncio

    from intctl.probes.run import Network, run_probe
    from intctl.probes.smtp import send_test_mail

    async def asking() -> list[Outcome]:
        network = Network(policy)
        slots = asyncio.Semaphore(concurrency)

        async def one(probe: Probe, settings: Mapping[str, object], tokens: MemoryTokenStore | None) -> Outcome:
            async with slots:
                if send_to is None:
                    return await run_probe(probe, network, deadline_s=deadline_s, tokens=tokens)
                assert isinstance(probe, SmtpProbe)
                mail = test_mail(settings, send_to)
                return await send_test_mail(probe, mail, network, deadline_s=deadline_s, tokens=tokens)

        return list(await asyncio.gather(*(one(*probe) for probe in probes)))

    if send_to is not None and not all(isinstance(probe, SmtpProbe) for probe, _, _ in probes):
        raise UsageError("--send-to requires a mail integration.")
    return asyncio.run(asking())


def test_mail(settings: Mapping[str, object], recipient: str) -> TestMail:
    """The mail that `--send-to` sends, from the sender in the config."""
    if not re.fullmatch(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+", recipient):
        raise UsageError("--send-to requires one address, such as you@company.com")
    sender = settings.get("from_email")
    if not isinstance(sender, str):
        raise UsageError("--send-to requires a sender: set from_email in the config.")
    name = settings.get("from_name")
    return TestMail(
        sender=sender,
        sender_name=name if isinstance(name, str) else "",
        recipient=recipient,
        subject="Test mail from intctl",
        body="This mail was sent with: intctl test --send-to\nIf you can read it, the integration can send.\n",
    )


test_mail.__test__ = False  # type: ignore[attr-defined]
