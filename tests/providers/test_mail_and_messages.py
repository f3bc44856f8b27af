"""Mail and message vendors over HTTP: their URLs, and the meaning of their replies."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from intctl.health.outcome import Outcome
from intctl.probes.spec import Auth, Basic, Bearer, Header, HttpProbe
from intctl.providers import catalogue
from intctl.text import Secret
from tests.probes import check
from tests.servers import Answer, http_server

S = Secret("secret-1")
T = Secret("secret-2")
AUTH_ID = "MA" + "0" * 18
CONFIGS: dict[str, dict[str, object]] = {
    "mailgun": {"api_key": S},
    "postmark": {"server_token": S},
    "mailjet": {"api_key": S, "secret_key": T},
    "brevo": {"api_key": S},
    "resend": {"api_key": S},
    "vonage": {"api_key": "abcd", "api_secret": S},
    "messagebird": {"access_key": S},
    "plivo": {"auth_id": AUTH_ID, "auth_token": S},
    "telnyx": {"api_key": S},
    "slack": {"token": S},
}


def asked(name: str, **more: object) -> HttpProbe:
    provider = catalogue.get(name)
    assert provider is not None
    config = {**CONFIGS[name], **more}
    assert provider.check(config) == []
    probe = provider.probe(config)
    assert isinstance(probe, HttpProbe)
    return probe


def answered(name: str, status: int, body: object) -> Outcome:
    """Return the provider's outcome for this answer."""
    path = urlsplit(asked(name).url).path
    with http_server({path: Answer(status, body)}) as server:
        return check(asked(name, base_url=server.url))


@pytest.mark.parametrize(
    ("name", "url", "auth"),
    [
        ("mailgun", "https://api.mailgun.net/v4/domains?limit=1", Basic("api", S)),
        ("postmark", "https://api.postmarkapp.com/deliverystats", Header("X-Postmark-Server-Token", S)),
        ("mailjet", "https://api.mailjet.com/v3/REST/myprofile", Basic(S, T)),
        ("brevo", "https://api.brevo.com/v3/account", Header("api-key", S)),
        ("resend", "https://api.resend.com/domains?limit=1", Bearer(S)),
        ("vonage", "https://api.nexmo.com/accounts/abcd/secrets", Basic("abcd", S)),
        ("messagebird", "https://rest.messagebird.com/balance", Header("Authorization", S, prefix="AccessKey ")),
        ("plivo", f"https://api.plivo.com/v1/Account/{AUTH_ID}/", Basic(AUTH_ID, S)),
        ("telnyx", "https://api.telnyx.com/v2/balance", Bearer(S)),
        ("slack", "https://slack.com/api/auth.test", Bearer(S)),
    ],
)
def test_asks(name: str, url: str, auth: Auth) -> None:
    """Each vendor has its own URL and way to send the credential."""
    assert (asked(name).url, asked(name).auth) == (url, auth)


def test_mailgun_in_europe() -> None:
    """The region decides the host, and so where the key goes."""
    assert asked("mailgun", region="eu").url.startswith("https://api.eu.mailgun.net/")


@pytest.mark.parametrize(
    ("name", "status", "body", "code"),
    [
        ("mailgun", 401, b"Forbidden", "http.auth.rejected"),
        (
            "brevo",
            401,
            {"message": "We have detected you are using an unrecognised IP address 1.2.3.4"},
            "http.forbidden",
        ),
        ("brevo", 401, {"code": "unauthorized", "message": "Key not found"}, "http.auth.rejected"),
        ("resend", 401, {"name": "restricted_api_key"}, "http.scope_missing"),
        ("resend", 403, {"name": "invalid_api_key"}, "http.auth.rejected"),
        ("resend", 401, {"name": "missing_api_key"}, "http.auth.rejected"),
        ("resend", 403, {"name": "something_else"}, "http.forbidden"),
        ("slack", 200, {"ok": False, "error": "invalid_auth"}, "http.auth.rejected"),
        ("slack", 200, {"ok": False, "error": "token_revoked"}, "http.auth.rejected"),
        ("slack", 200, {"ok": False, "error": "account_inactive"}, "http.account_inactive"),
        ("slack", 200, {"ok": False, "error": "ratelimited"}, "http.rate_limited"),
        ("slack", 200, {"ok": False, "error": "request_timeout"}, "server.error"),
        ("slack", 200, {"ok": False, "error": "unheard_of"}, "unexpected.reply"),
        ("slack", 200, {"ok": True, "team_id": "T0"}, "ok"),
        ("plivo", 200, {"auth_id": "MA" + "1" * 18}, "unexpected.reply"),
        ("telnyx", 429, {"errors": []}, "http.rate_limited"),
    ],
)
def test_what_an_answer_means(name: str, status: int, body: object, code: str) -> None:
    """Each of the vendor's own refusals has its cause code."""
    assert answered(name, status, body).code == code


@pytest.mark.parametrize(
    ("name", "body", "facts"),
    [
        (
            "brevo",
            {"plan": [{"type": "free", "credits": 281, "creditsType": "sendLimit"}]},
            {"plan": "free", "credits": 281, "credits_type": "sendLimit"},
        ),
        ("messagebird", {"payment": "prepaid", "type": "euros", "amount": 103}, {"balance": 103, "currency": "euros"}),
        ("plivo", {"auth_id": AUTH_ID, "cash_credits": "98.13"}, {"balance": "98.13"}),
        (
            "telnyx",
            {"data": {"record_type": "balance", "balance": "300.00", "currency": "USD"}},
            {"balance": "300.00", "currency": "USD"},
        ),
        ("slack", {"ok": True, "team_id": "T0", "team": "Acme", "user": "bot"}, {"account": "Acme", "user": "bot"}),
    ],
)
def test_what_is_told_besides(name: str, body: object, facts: dict[str, object]) -> None:
    """Account and balance are recorded if the answer has them."""
    found = answered(name, 200, body)
    assert found.code == "ok"
    assert facts.items() <= found.facts.items()


@pytest.mark.parametrize("name", CONFIGS)
def test_an_echoed_key_is_masked(name: str) -> None:
    """A key that a vendor repeats without its prefix is masked."""
    with http_server({urlsplit(asked(name).url).path: Answer(302, None, {"Location": "/secret-1"})}) as server:
        found = check(asked(name, base_url=server.url))
    assert "secret-1" not in f"{found.message} {found.facts}"
