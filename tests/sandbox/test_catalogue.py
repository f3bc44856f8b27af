"""The whole catalogue against the sandbox: examples, providers, probes and vendors agree."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from intctl import manifest
from intctl.health.codes import CODES
from intctl.health.outcome import Outcome
from intctl.probes.guard import AddressPolicy
from intctl.probes.network import Network
from intctl.probes.run import run_probe
from intctl.probes.spec import NoProbe, Tokens
from intctl.providers import catalogue
from intctl.sandbox import Sandbox
from intctl.sandbox.authority import Authority
from intctl.sandbox.vendors import MAIL, VENDORS, served

EXAMPLES = Path(__file__).parents[2] / "examples"


#: Vendors that get no requests.
UNASKED = {name for name, vendor in VENDORS.items() if not vendor.routes} - {"tcp"}
VARIABLES = [
    (provider, variable)
    for table in (VENDORS, MAIL)
    for provider, row in table.items()
    if provider not in UNASKED
    for variable in row.variables
    if not variable.startswith("ADP_CLIENT_") or variable == "ADP_CLIENT_SECRET"
]


class Kept:
    """A token store in memory, so that single-use refresh tokens may be used."""

    async def load(self) -> Tokens | None:
        return None

    async def reserve(self) -> bool:
        return True

    async def save(self, tokens: Tokens) -> Tokens:
        return tokens


def outcome_of(box: Sandbox, provider: str, environ: Mapping[str, str]) -> Outcome:
    """Return the outcome of the provider's example in this sandbox, with these variables."""
    file = EXAMPLES / f"{provider}.yaml"
    overrides = manifest.Overrides(tuple(box.settings(provider)))
    loaded = manifest.load(
        file.read_bytes(), file=str(file), sources=manifest.ValueSources(environ), overrides=overrides
    )
    [item] = loaded.items
    return asyncio.run(run_probe(item.provider.probe(item.config), Network(AddressPolicy.parse()), tokens=Kept()))


@pytest.mark.parametrize("provider", catalogue.names())
def test_right_credential_is_healthy(box: Sandbox, provider: str) -> None:
    """With the sandbox's variables and settings, every example is healthy, or has no probe."""
    found = outcome_of(box, provider, box.environ())
    expected = ("self.no_probe", "unknown") if provider in UNASKED else ("ok", "healthy")
    assert (found.code, found.verdict) == expected


@pytest.mark.parametrize(("provider", "variable"), VARIABLES)
def test_wrong_credential_is_a_rejection(box: Sandbox, provider: str, variable: str) -> None:
    """With one variable wrong, every example fails by a definite rejection."""
    found = outcome_of(box, provider, {**box.environ(), variable: "wrong-credential"})
    assert CODES[found.code].rejection or CODES[found.code].slows, found


def test_certificate_of_another_authority_is_a_rejection(box: Sandbox) -> None:
    """ADP: a client certificate that the vendor did not register differs from a wrong client."""
    certificate, key = Authority().client("stranger.invalid")
    environ = {**box.environ(), "ADP_CLIENT_CERTIFICATE": certificate, "ADP_CLIENT_PRIVATE_KEY": key}
    assert outcome_of(box, "adp", environ).code == "tls.client_certificate"


@pytest.mark.parametrize("provider", sorted(UNASKED))
def test_what_nothing_is_asked_of_says_so(provider: str) -> None:
    """A vendor without routes is a provider without a probe, whose proof says that there is none."""
    known = catalogue.get(provider)
    assert known is not None
    assert isinstance(known.probe({}), NoProbe)
    assert known.proof.startswith("None: ")


def test_every_provider_has_its_vendor_here() -> None:
    """The sandbox serves the whole catalogue: by a row of its tables, or as the provider's own probe expects."""
    assert set(VENDORS) | set(MAIL) <= set(catalogue.names())
    assert set(served()) | set(MAIL) == set(catalogue.names())
    both = set(VENDORS) & set(MAIL)
    assert both == {"sendgrid", "gmail", "microsoft365"}
