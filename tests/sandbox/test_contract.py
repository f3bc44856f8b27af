"""The contract of the whole catalogue: every provider, in every way to log in, is declared soundly, healthy with the
right credential, never with another or none, and finds each fault for what it is. One sandbox a fault; all at once."""

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

#: How long a provider that is silent or drips is waited for, in seconds: the handshakes of all come first.
PATIENCE_S = 8.0
#: The two faults that take all of it.
SLOW = ("reply.timeout", "deadline")

#: Nothing is asked of them: no read-only call is known.
UNPROVEN = {"goodhire", "hireright", "monster", "glassdoor", "ziprecruiter"}

#: What a wrong secret is found to be where it is not a rejected credential.
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
    "adp: client_private_key": "tls.client_certificate",  # it does not fit the certificate
}

#: What no secret at all is found to be where it is not a rejected credential.
NONE = {
    **dict.fromkeys(("smtp", "sendgrid", "ses", "gmail"), "smtp.auth.rejected"),
    **dict.fromkeys(
        (  # a header that ends in nothing can't be sent
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
#: What a fault is found to be where it is not the fault's own code, by the way to log in.
EXPECTED: dict[str, dict[str, str]] = {
    # The other way leads elsewhere: the API has no STARTTLS and no mail login.
    **{fault: {"sendgrid-api": "ok"} for fault in ("starttls.missing", "smtp.auth.rejected", "temporary")},
    # A password at the mail server asks nothing over HTTP.
    **{
        fault: dict.fromkeys(_BY_MAIL, "ok")
        for fault in ("http.auth.rejected", "http.rate_limited", "server.error", "unexpected.reply")
    },
    "http.scope_missing": {
        # The proof is the token exchange, or a mail login: neither asks for a permission.
        **dict.fromkeys(("sendgrid", "adp", "microsoft-application", "ukg", "ukg-pro", "ukg-wfm"), "ok"),
        # Only the quota is asked with the token, and not to learn it is no fault.
        "salesforce": "ok",
        # The vendor has no words for it that could be told from any other 403.
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
                "calendly",
                "calendly-oauth",
                "caldav",
                "caldav-bearer",
                "rippling",
                "ukg-hcm",
                "gusto",
                "paychex",
                "quickbooks",
                "xero",
                "xero-custom-connection",
                "lever",
                "workable",
                "ashby",
                "smartrecruiters",
                "hubspot",
                "pipedrive",
                "http",
                "http-basic",
                "http-header",
            ),
            "http.forbidden",
        ),
    },
    # A key of its own may not see the balance, so it is not asked.
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
    """Keeps the tokens of one integration in memory."""

    def __init__(self) -> None:
        self.tokens: Tokens | None = None

    async def load(self) -> Tokens | None:
        return self.tokens

    async def save(self, tokens: Tokens) -> Tokens:
        self.tokens = tokens
        return tokens


def items(box: Sandbox, names: Collection[str] = ()) -> dict[str, Manifest]:
    """The integration of every provider here, in every way, without those that nothing is asked of; or of `names`."""
    found = {}
    environ = box.environ()
    for name, text in manifests(box, every_way=True).items():
        if name in names if names else name not in UNPROVEN and not name.startswith(_UNTOLD):
            [found[name]] = manifest.load(
                text.encode(), file=f"{name}.yaml", sources=manifest.ValueSources(environ)
            ).items
    return found


def asked(probes: Mapping[str, Probe], stores: Mapping[str, Store] | None = None) -> dict[str, Outcome]:
    """What all of them find, at once, on one loop."""
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


# --- what is declared


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
    """The same config gives the same probe and stays as it is; an https URL is asked, or a mail server by name."""
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


# --- what is found


@contextmanager
def everything_logged() -> Iterator[list[str]]:
    """All that any library logs meanwhile, however small."""
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
    """Any one secret wrong: every provider finds the code that is stated for it, a rejection each time."""
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
    assert all(CODES[code].rejection for code in found.values())


def test_no_credential_is_not_healthy(box: Sandbox) -> None:
    """Every secret empty: every provider finds the code that is stated for it, down or misconfigured."""
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
    """What was found to be something else than is stated, with this fault done to whom it fits."""
    stated = EXPECTED.get(fault, {})
    assert set(stated) <= {name for name, item in loaded.items() if fault in applicable(item.provider.name)}
    right = {
        name: stated.get(name, fault) if fault in applicable(item.provider.name) else "ok"
        for name, item in loaded.items()
    }
    return {name: code for name, code in found.items() if code != right[name]}


def whom(fault: str) -> dict[str, str]:
    """The fault, done to every provider that it fits."""
    return {name: fault for name in catalogue.names() if fault in applicable(name)}


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {*SLOW, "rotated.token.lost"}))
def test_fault_is_found_for_what_it_is(fault: str, folder: Path) -> None:
    """With the fault done to every provider that it fits, each finds the code stated for it; the others are healthy."""
    with Sandbox(folder, faults=whom(fault)) as box:
        loaded = items(box)
        found = asked(asks(loaded))
    assert misfound(fault, loaded, codes(found)) == {}
    if fault == "http.rate_limited":
        assert {found[name].retry_after_s for name in found if found[name].code == fault} == {30}


def test_silence_and_drips_are_found_for_what_they_are(tmp_path: Path) -> None:
    """A provider that says nothing, and one that never ends, at the deadline; both kinds at once, to save time."""
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
    """Who saves the new token stays healthy, who loses it finds that somebody must log in again."""
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
