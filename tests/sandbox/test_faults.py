"""The faults that fit a provider."""

from __future__ import annotations

from pathlib import Path

import pytest

from intctl.errors import UsageError
from intctl.sandbox import Sandbox
from intctl.sandbox.faults import FAULTS, applicable, check, parse
from intctl.sandbox.vendors import MAIL, VENDORS


def test_parse() -> None:
    """NAME=CODE, one per provider; repeating it is allowed."""
    words = ["sendgrid=smtp.auth.rejected", "twilio=server.error", "twilio=server.error"]
    assert parse(words) == {"sendgrid": "smtp.auth.rejected", "twilio": "server.error"}
    assert parse([]) == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sendgrid"], "NAME=CODE"),
        (["sendgird=temporary"], 'did you mean "sendgrid"'),
        (["sendgrid=smtp.auth.reject"], 'did you mean "smtp.auth.rejected"'),
        (["ses=http.rate_limited"], "fits providers that are reached over HTTP, not ses. Faults that fit ses: "),
        (["twilio=reauthorise"], "fits providers with a refresh token"),
        (["indeed=http.scope_missing"], "more than a token exchange"),
        (["twilio=server.error", "twilio=tls.expired"], "one fault at a time"),
    ],
)
def test_what_is_refused(words: list[str], said: str) -> None:
    """Unknown providers, unknown faults and faults that do not fit are refused, with the valid ones."""
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        parse(words)


def test_sandbox_refuses_what_does_not_fit(folder: Path) -> None:
    """The sandbox itself refuses a fault that does not fit, before it writes anything."""
    with pytest.raises(UsageError, match=r"starttls\.missing fits providers that are reached by SMTP, not twilio"):
        Sandbox(folder, faults={"twilio": "starttls.missing"})
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("provider", [*MAIL, *(name for name, vendor in VENDORS.items() if vendor.routes)])
def test_every_provider_has_faults_that_fit(provider: str) -> None:
    """The offered faults are accepted; a broken connection fits every provider that gets requests."""
    fitting = applicable(provider)
    if provider in VENDORS and not VENDORS[provider].routes:
        assert fitting == ()
        return
    assert {"tls.expired", "connection.reset", "reply.timeout", "deadline"} <= set(fitting) <= set(FAULTS)
    for code in fitting:
        check({provider: code})
