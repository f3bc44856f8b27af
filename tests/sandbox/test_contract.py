"""The contract of the whole catalogue: every provider, in every way to log in, has a valid declaration, is healthy
with the valid credential only, and reports each fault's own code. One sandbox per fault; all providers at once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from intctl import manifest
from intctl.health.codes import CODES
from intctl.health.outcome import Outcome
from intctl.manifest import Manifest
from intctl.probes.guard import AddressPolicy
from intctl.probes.network import Budgets, Network
from intctl.probes.run import run_probe
from intctl.probes.spec import HttpProbe, NoProbe, Probe, SmtpProbe, TcpProbe, TokenGrant, Tokens
from intctl.providers import catalogue
from intctl.sandbox import Sandbox
from intctl.sandbox.authority import private_key
from intctl.sandbox.faults import FAULTS, applicable
from intctl.sandbox.manifests import manifests
from intctl.sandbox.vendors import MAIL, VENDORS
from intctl.text import Secret
from tests.manifest.test_examples import CANARY, EXAMPLES, example
from tests.manifest.test_template import filled_in, provider_of

#: The deadline for a silent or slow provider, in seconds: the handshakes of all come first.
PATIENCE_S = 8.0
#: The two faults that last until the deadline.
SLOW = ("reply.timeout", "deadline")

#: Providers without a request: no read-only call is known.
UNPROVEN = {"goodhire", "hireright", "monster", "glassdoor", "ziprecruiter"}

#: The code for a wrong secret, if it is not a rejected credential.
WRONG = {
    **dict.fromkeys(("smtp: password", "sendgrid: password", "ses: password", "gmail: password"), "smtp.auth.rejected"),
    **dict.fromkeys(
        (
            f"{name}: refresh_token"
            for name in (
                "gmail-oauth",
                "microsoft365",
                "google",
                "microsoft",
                "calendly-oauth",
                "workday",
                "gusto",
                "quickbooks",
                "xero",
            )
        ),
        "reauthorise",
    ),
    "adp: client_private_key": "tls.client_certificate",  # it does not match the certificate
}

#: The code for an empty secret, if it is not a rejected credential.
NONE = {
    **dict.fromkeys(("smtp", "sendgrid", "ses", "gmail"), "smtp.auth.rejected"),
    **dict.fromkeys(
        (  # a header cannot end in a blank
            "sendgrid-api",
            "resend",
            "messagebird",
            "telnyx",
            "slack",
            "google-service-account",
            "calendly",
            "caldav-bearer",
            "rippling",
            "linkedin",
            "workable",
            "hubspot",
            "http",
        ),
        "credential.malformed",
    ),
    "adp": "tls.client_certificate",
}

#: Providers without a row in the sandbox's tables: tests/sandbox/test_derived.py has the rules for them.
_UNTOLD = tuple(name for name in catalogue.names() if name not in VENDORS and name not in MAIL)

_BY_MAIL = ("sendgrid", "gmail")
#: The code for a fault, if it is not the fault's own code, by the way to log in.
EXPECTED: dict[str, dict[str, str]] = {
    # The other way uses the API, which has no STARTTLS and no mail login.
    **{fault: {"sendgrid-api": "ok"} for fault in ("starttls.missing", "smtp.auth.rejected", "temporary")},
    # A password at the mail server causes no HTTP request.
    **{
        fault: dict.fromkeys(_BY_MAIL, "ok")
        for fault in ("http.auth.rejected", "http.rate_limited", "server.error", "unexpected.reply")
    },
    "http.scope_missing": {
        # The proof is the token exchange, or a mail login: neither requires a permission.
        **dict.fromkeys(("sendgrid", "adp", "microsoft-application", "ukg", "ukg-pro", "ukg-wfm"), "ok"),
        # Only the quota request uses the token, and an unknown quota is not a failure.
        "salesforce": "ok",
        # The vendor's reply does not differ from any other 403.
        **dict.fromkeys(
            (
                "mailgun",
                "postmark",
                "mailjet",
                "brevo",
                "twilio",
                "twilio-api-key",
                "vonage",
                "messagebird",
                "plivo",
                "telnyx",
                "slack",
                "checkr",
                "caldav",
                "caldav-bearer",
                "gusto",
                "xero",
                "xero-custom-connection",
                "workable",
                "hubspot",
                "http",
                "http-basic",
                "http-header",
            ),
            "http.forbidden",
        ),
    },
    # An API key may not read the balance, so there is no request for it.
    "balance.empty": {"twilio-api-key": "ok"},
    # No refresh token is used.
    "reauthorise": dict.fromkeys(
        (
            "gmail",
            "microsoft365-application",
            "google-service-account",
            "microsoft-application",
            "calendly",
            "workday-client",
            "xero-custom-connection",
        ),
        "ok",
    ),
}


class Store:
    """A token store for one integration, in memory."""

    def __init__(self) -> None:
        self.tokens: Tokens | None = None

    async def load(self) -> Tokens | None:
        return self.tokens

    async def reserve(self) -> bool:
        return True

    async def save(self, tokens: Tokens) -> Tokens:
        self.tokens = tokens
        return tokens


def items(box: Sandbox, names: Collection[str] = ()) -> dict[str, Manifest]:
    """The integrations of all providers that get requests, in every way; or of `names`."""
    found = {}
    environ = box.environ()
    for name, text in manifests(box, every_way=True).items():
        if name in names if names else name not in UNPROVEN and not name.startswith(_UNTOLD):
            [found[name]] = manifest.load(
                text.encode(), file=f"{name}.yaml", sources=manifest.ValueSources(environ)
            ).items
    return found


def asked(probes: Mapping[str, Probe], stores: Mapping[str, Store] | None = None) -> dict[str, Outcome]:
    """Probe all of them at once, on one loop, and return the outcomes."""
    kept = stores or {name: Store() for name in probes}

    async def run() -> dict[str, Outcome]:
        network = Network(AddressPolicy.parse(), budgets=Budgets(30, 30, 30))
        found = await asyncio.gather(
            *(run_probe(ask, network, deadline_s=PATIENCE_S, tokens=kept[name]) for name, ask in probes.items())
        )
        return dict(zip(probes, found, strict=True))

    return asyncio.run(run())


def codes(found: Mapping[str, Outcome]) -> dict[str, str]:
    return {name: outcome.code for name, outcome in found.items()}


def asks(loaded: Mapping[str, Manifest], **changed: object) -> dict[str, Probe]:
    return {name: item.provider.probe({**item.config, **changed}) for name, item in loaded.items()}


# --- declarations


@cache
def declared(name: str) -> Manifest:
    """The provider's example, loaded with canaries for its secrets."""
    [path] = [path for path in EXAMPLES if path.stem == name]
    return example(path)


@pytest.mark.parametrize("name", catalogue.names())
def test_example_and_template_load(name: str) -> None:
    """The example loads; the template, filled in with what the example says, makes the same config."""
    text, environ = filled_in(provider_of(name))
    [item] = manifest.load(text.encode(), file="filled.yaml", sources=manifest.ValueSources(environ)).items
    assert item.config == declared(name).config


@pytest.mark.parametrize("name", catalogue.names())
def test_secrets_are_typed_and_absent(name: str) -> None:
    """Each secret is a Secret; none is in the repr or the JSON of the config, nor in the probe's."""
    item = declared(name)
    secrets = {field: item.config[field] for field in item.provider.secrets & item.config.keys()}
    assert secrets or name == "tcp"
    assert all(isinstance(value, Secret) and value.reveal() for value in secrets.values())
    asked_for = item.provider.probe(item.config)
    for shown in (
        repr(item),
        repr(item.config),
        json.dumps(manifest.masked(item.provider, item.config)),
        repr(asked_for),
        str(asked_for),
        f"{asked_for}",
        json.dumps(item.config, default=str),
    ):
        assert CANARY not in shown and CANARY.replace("-", "+") not in shown


@pytest.mark.parametrize("name", catalogue.names())
def test_probe_is_pure_and_names_its_host(name: str) -> None:
    """The same config gives the same probe and stays unchanged; it contacts an https URL, or a mail server by name."""
    item = declared(name)
    before = dict(item.config)
    found = item.provider.probe(item.config)
    assert (found, item.config) == (item.provider.probe(dict(item.config)), before)
    if isinstance(found, NoProbe):
        assert name in UNPROVEN and item.provider.proof.startswith("None: ")
        return
    if isinstance(found, TcpProbe):
        assert name == "tcp" and found.host
        return
    if isinstance(found, SmtpProbe):
        assert found.host and found.security in ("starttls", "tls")
    urls = [found.url] if isinstance(found, HttpProbe) and found.url else []
    if not isinstance(found, TcpProbe) and isinstance(found.auth, TokenGrant):
        urls.append(found.auth.token_url)
    assert urls or isinstance(found, SmtpProbe)
    assert all(urlsplit(url).scheme == "https" and urlsplit(url).hostname for url in urls)


# --- outcomes


@contextmanager
def everything_logged() -> Iterator[list[str]]:
    """Collect all log records of all libraries, at every level."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    root, handler = logging.getLogger(), Keep(logging.DEBUG)
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def test_right_credential_is_healthy(box: Sandbox) -> None:
    """Every provider that can be proven is healthy in every way, and no secret of it is logged or in its outcome."""
    loaded = items(box)
    with everything_logged() as lines:
        found = asked(asks(loaded))
    assert {name: outcome.verdict for name, outcome in found.items()} == dict.fromkeys(loaded, "healthy")
    assert {item.provider.name for item in loaded.values()} == set(catalogue.names()) - UNPROVEN - set(_UNTOLD)
    said = "\n".join([*lines, *(f"{outcome!r} {json.dumps(outcome.facts)}" for outcome in found.values())])
    secrets = {
        value.reveal() for item in loaded.values() for value in item.config.values() if isinstance(value, Secret)
    }
    assert lines and len(secrets) > 60
    assert [secret for secret in secrets if secret in said] == []


def test_wrong_credential_is_a_definite_rejection(box: Sandbox) -> None:
    """With any one secret wrong, every provider has the code stated for it, a rejection each time."""
    probes = {
        f"{name}: {field}": item.provider.probe({**item.config, field: Secret(wrong)})
        for name, item in items(box).items()
        for field in item.provider.secrets & set(item.config)
        for wrong in [private_key() if field.endswith("private_key") else "wrong-credential"]
    }
    assert len(probes) > len(items(box))
    found = codes(asked(probes))
    right = {name: WRONG.get(name, "http.auth.rejected") for name in probes}
    assert {name: code for name, code in found.items() if code != right[name]} == {}
    assert all(CODES[code].rejection or CODES[code].slows for code in found.values())


def test_no_credential_is_not_healthy(box: Sandbox) -> None:
    """With every secret empty, every provider has the code stated for it, down or misconfigured."""
    probes = {
        name: item.provider.probe(item.config | dict.fromkeys(item.provider.secrets & set(item.config), Secret("")))
        for name, item in items(box).items()
        if item.provider.secrets
    }
    found = codes(asked(probes))
    right = {name: NONE.get(name, "http.auth.rejected") for name in probes}
    assert {name: code for name, code in found.items() if code != right[name]} == {}
    assert {CODES[code].verdict for code in found.values()} <= {"down", "misconfigured"}


def misfound(fault: str, loaded: Mapping[str, Manifest], found: Mapping[str, str]) -> dict[str, str]:
    """Inject this fault into every provider that it fits; return the codes that differ from the stated ones."""
    stated = EXPECTED.get(fault, {})
    assert set(stated) <= {name for name, item in loaded.items() if fault in applicable(item.provider.name)}
    right = {
        name: stated.get(name, fault) if fault in applicable(item.provider.name) else "ok"
        for name, item in loaded.items()
    }
    return {name: code for name, code in found.items() if code != right[name]}


def whom(fault: str) -> dict[str, str]:
    """Return the fault for every provider that it fits."""
    return {name: fault for name in catalogue.names() if fault in applicable(name)}


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {*SLOW, "rotated.token.lost"}))
def test_fault_is_found_for_what_it_is(fault: str, folder: Path) -> None:
    """With the fault in every provider that it fits, each has the code stated for it; the others are healthy."""
    with Sandbox(folder, faults=whom(fault)) as box:
        loaded = items(box)
        found = asked(asks(loaded))
    assert misfound(fault, loaded, codes(found)) == {}
    if fault == "http.rate_limited":
        assert {found[name].retry_after_s for name in found if found[name].code == fault} == {30}


def test_silence_and_drips_are_found_for_what_they_are(tmp_path: Path) -> None:
    """A silent provider and an endless one have their codes at the deadline; both at once, to save time."""
    for fault in SLOW:
        (tmp_path / fault).mkdir()
    with (
        Sandbox(tmp_path / SLOW[0], faults=whom(SLOW[0])) as silent,
        Sandbox(tmp_path / SLOW[1], faults=whom(SLOW[1])) as dripping,
    ):
        loaded = dict(zip(SLOW, map(items, (silent, dripping)), strict=True))
        found = codes(asked({f"{fault} {name}": ask for fault in SLOW for name, ask in asks(loaded[fault]).items()}))
    for fault in SLOW:
        of_it = {name.partition(" ")[2]: code for name, code in found.items() if name.startswith(f"{fault} ")}
        assert len(of_it) > 60
        assert misfound(fault, loaded[fault], of_it) == {}


def test_lost_successor_is_found(folder: Path) -> None:
    """A client that saves the new token stays healthy; one that loses it must log in again."""
    fault = "rotated.token.lost"
    with Sandbox(folder, faults=whom(fault)) as box:
        loaded = items(box)
        stores = {name: Store() for name in loaded}
        first, second, saved = (
            codes(asked(asks(loaded), kept)) for kept in (stores, {name: Store() for name in loaded}, stores)
        )
    assert set(first.values()) == set(saved.values()) == {"ok"}
    refreshing = {
        name for name, item in loaded.items() if "refresh_token" in item.config and item.provider.name in whom(fault)
    }
    assert {name for name, code in second.items() if code == "reauthorise"} == refreshing
    assert len(refreshing) == 9
