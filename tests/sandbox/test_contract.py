"""The contract of the whole catalogue: healthy with the right credential, never with another, and each
fault found for what it is. One sandbox a fault; all providers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from intctl import manifest
from intctl.codes import CODES
from intctl.manifest import Manifest
from intctl.probes.ask import HttpProbe, NoProbe, Probe, Tokens
from intctl.probes.guard import AddressPolicy
from intctl.probes.network import Budgets, Network
from intctl.probes.outcome import Outcome
from intctl.probes.run import probe
from intctl.providers import catalogue
from intctl.sandbox import Sandbox
from intctl.sandbox.faults import FAULTS, applicable
from intctl.sandbox.manifests import manifests
from intctl.text import Secret

#: How long a provider that is silent or drips is waited for, in seconds: the handshakes of all come first.
PATIENCE_S = 8.0

#: What a fault is found to be where it is not the fault's own code, and why.
EXPECTED: dict[tuple[str, str], str] = {}


def expected(name: str, ask: Probe, fault: str) -> str:
    """The code that a provider finds with this fault."""
    if fault == "http.scope_missing" and isinstance(ask, HttpProbe):
        if not ask.url:
            return "ok"  # the proof is the token exchange, which asks for no permission
        if all(answer.code != fault for answer in ask.answers):
            return "http.forbidden"  # the vendor has no words for it that could be told from any other 403
    return EXPECTED.get((name, fault), fault)


class Store:
    """Keeps the tokens of one integration in memory."""

    def __init__(self) -> None:
        self.tokens: Tokens | None = None

    async def load(self) -> Tokens | None:
        return self.tokens

    async def save(self, tokens: Tokens) -> Tokens:
        self.tokens = tokens
        return tokens


def items(box: Sandbox, environ: Mapping[str, str] | None = None) -> dict[str, Manifest]:
    """The integration of every provider here, without those that nothing is asked of."""
    found = {}
    for name, text in manifests(box).items():
        [item] = manifest.load(text.encode(), file=f"{name}.yaml", environ=environ or box.environ()).items
        if not isinstance(item.provider.probe(item.config), NoProbe):
            found[name] = item
    return found


def asked(probes: Mapping[str, Probe], stores: Mapping[str, Store] | None = None) -> dict[str, Outcome]:
    """What all of them find, at once, on one loop."""
    kept = stores or {name: Store() for name in probes}

    async def run() -> dict[str, Outcome]:
        network = Network(AddressPolicy.parse(), budgets=Budgets(30, 30, 30))
        found = await asyncio.gather(
            *(probe(ask, network, deadline_s=PATIENCE_S, tokens=kept[name]) for name, ask in probes.items())
        )
        return dict(zip(probes, found, strict=True))

    return asyncio.run(run())


def codes(found: Mapping[str, Outcome]) -> dict[str, str]:
    return {name: outcome.code for name, outcome in found.items()}


def test_right_credential_is_healthy(box: Sandbox) -> None:
    """Every provider that can be proven is healthy with the credential that the sandbox gave out."""
    probes = {name: item.provider.probe(item.config) for name, item in items(box).items()}
    assert {name: found.verdict for name, found in asked(probes).items()} == dict.fromkeys(probes, "healthy")


def test_wrong_credential_is_not(box: Sandbox) -> None:
    """Any one secret wrong: every provider is down or misconfigured, by a definite rejection."""
    probes = {
        f"{name}: {field}": item.provider.probe({**item.config, field: Secret("wrong-credential")})
        for name, item in items(box).items()
        for field in item.provider.secrets & set(item.config)
    }
    assert len(probes) >= len(items(box))
    found = asked(probes)
    assert {name: outcome.code for name, outcome in found.items() if not CODES[outcome.code].rejection} == {}


def test_no_credential_is_not(box: Sandbox) -> None:
    """Every secret empty: no provider is healthy, however it words that."""
    probes = {
        name: item.provider.probe(item.config | dict.fromkeys(item.provider.secrets & set(item.config), Secret("")))
        for name, item in items(box).items()
        if item.provider.secrets
    }
    found = {name: (outcome.code, outcome.verdict) for name, outcome in asked(probes).items()}
    assert {name: what for name, what in found.items() if what[1] not in ("down", "misconfigured")} == {}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found_for_what_it_is(fault: str, folder: Path) -> None:
    """With the fault done to every provider that it fits, each of them finds its code; the others are healthy."""
    faults = {name: fault for name in catalogue.names() if fault in applicable(name)}
    assert faults
    with Sandbox(folder, faults=faults) as box:
        probes = {name: item.provider.probe(item.config) for name, item in items(box).items()}
        stores = {name: Store() for name in probes}
        first = codes(asked(probes, stores))
        if fault == "rotated.token.lost":
            second, saved = codes(asked(probes, {name: Store() for name in probes})), codes(asked(probes, stores))
    if fault == "rotated.token.lost":
        assert set(first.values()) == set(saved.values()) == {"ok"}
        assert {name for name, code in second.items() if code == "reauthorise"} == set(faults)
        return
    right = {name: expected(name, ask, fault) if name in faults else "ok" for name, ask in probes.items()}
    assert {name: code for name, code in first.items() if code != right[name]} == {}
