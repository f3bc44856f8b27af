"""Each provider's probe, compared with the known facts about the vendor."""

from typing import Any

import pytest

from intctl.probes.spec import (
    Basic,
    Bearer,
    ClientCertificate,
    ClientCredentials,
    Header,
    HttpProbe,
    RefreshToken,
    SmtpProbe,
)
from intctl.providers import catalogue
from intctl.providers.base import Provider
from intctl.text import Secret

S = Secret("s")
SID = "AC" + "0" * 32
KEY_SID = "SK" + "0" * 32


def provider(name: str) -> Provider:
    found = catalogue.get(name)
    assert found is not None
    return found


def http(name: str, **config: object) -> HttpProbe:
    known = provider(name)
    assert known.check(config) == []
    probe = known.probe(known.complete(config))
    assert isinstance(probe, HttpProbe)
    return probe


def codes(probe: HttpProbe, status: int) -> set[str]:
    return {answer.code for answer in probe.answers if answer.status == status}


def test_twilio_asks_for_the_account() -> None:
    """Suspended and closed come with HTTP 200; the auth token in the body is no fact."""
    probe = http("twilio", account_sid=SID, auth_token=S)
    assert probe.url == f"https://api.twilio.com/2010-04-01/Accounts/{SID}.json"
    assert probe.auth == Basic(SID, S)
    assert codes(probe, 200) == {"http.account_inactive"}
    assert {answer.equals for answer in probe.answers} == {"suspended", "closed", 20403}
    assert probe.expect_json == {"/status": "active"}
    assert "/auth_token" not in probe.facts.values()


def test_twilio_with_an_api_key() -> None:
    """A standard key can't read the account: one message is listed."""
    probe = http("twilio", account_sid=SID, api_key_sid=KEY_SID, api_key_secret=S)
    assert probe.url.endswith(f"/Accounts/{SID}/Messages.json?PageSize=1")
    assert probe.auth == Basic(KEY_SID, S)


def test_bamboohr() -> None:
    """The key is the user; 403 is a key that works without that permission."""
    probe = http("bamboohr", subdomain="acme", api_key=S)
    assert probe.url == "https://acme.bamboohr.com/api/v1/company_information"
    assert isinstance(probe.auth, Basic)
    assert probe.auth.username == S
    assert probe.headers["Accept"] == "application/json"
    assert codes(probe, 403) == {"http.scope_missing"}


def test_adp_exchanges_over_mutual_tls() -> None:
    """Certificate and key go with the token call, and the exchange is the proof."""
    probe = http("adp", client_id="c", client_secret=S, client_certificate="PEM", client_private_key=S)
    assert probe.url == ""
    assert probe.auth == ClientCredentials("https://accounts.adp.com/auth/oauth/v2/token", "c", S)
    assert probe.client_certificate == ClientCertificate("PEM", S)


def test_checkr() -> None:
    """The key is the user, the password is empty."""
    probe = http("checkr", api_key=S)
    assert (probe.url, probe.auth) == ("https://api.checkr.com/v1/account", Basic(S, ""))


def test_google() -> None:
    """A refresh and one calendar list entry; a 403 may be a missing scope (`refusals` knows its rate limits)."""
    probe = http("google", client_id="c", client_secret=S, refresh_token=S)
    assert probe.url == "https://www.googleapis.com/calendar/v3/users/me/calendarList?maxResults=1"
    assert probe.auth == RefreshToken("https://oauth2.googleapis.com/token", "c", S, S)
    assert codes(probe, 403) == {"http.scope_missing"}


def test_microsoft_as_a_user_and_as_an_application() -> None:
    """With a refresh token the probe reads the calendar, without it the exchange is the proof."""
    base: dict[str, object] = {"tenant_id": "t", "client_id": "c", "client_secret": S}
    url = "https://login.microsoftonline.com/t/oauth2/v2.0/token"
    probe = http("microsoft", **base)
    assert probe.url == ""
    assert probe.auth == ClientCredentials(url, "c", S, scope="https://graph.microsoft.com/.default")
    probe = http("microsoft", **base, refresh_token=S)
    assert probe.url == "https://graph.microsoft.com/v1.0/me/calendar?$select=id"
    assert isinstance(probe.auth, RefreshToken)
    assert not probe.auth.single_use
    assert http("microsoft", **{**base, "tenant_id": "common"}, refresh_token=S).url


def test_indeed() -> None:
    """The exchange is the proof."""
    probe = http("indeed", client_id="c", client_secret=S, scope="employer_access")
    assert probe.url == ""
    assert probe.auth == ClientCredentials("https://apis.indeed.com/oauth/v2/tokens", "c", S, scope="employer_access")


@pytest.mark.parametrize(
    ("config", "auth"),
    [
        ({}, None),
        ({"auth": "bearer", "token": S}, Bearer(S)),
        ({"auth": "basic", "username": "u", "password": S}, Basic("u", S)),
        ({"auth": "header", "header_name": "X-Key", "header_value": S}, Header("X-Key", S)),
    ],
)
def test_http_auth(config: dict[str, object], auth: object) -> None:
    """The credential is sent in each of the three ways."""
    assert http("http", url="https://example.com/", **config).auth == auth


def test_http_expectations() -> None:
    """JSON is read only when something in it is expected."""
    assert not http("http", url="https://example.com/", method="HEAD").json
    probe = http("http", url="https://example.com/", expect_json={"/a": 1}, expect_status=204)
    assert (probe.json, probe.expect_json, probe.expect_status, probe.method) == (True, {"/a": 1}, 204, "GET")


@pytest.mark.parametrize(
    ("base_url", "place"),
    [
        (None, ("m.example.com", 587, "starttls")),
        ("smtp://localhost:2525", ("localhost", 2525, "starttls")),
        ("smtps://localhost:2465", ("localhost", 2465, "tls")),
        ("smtps://localhost", ("localhost", 465, "tls")),
        ("smtp://[::1]:25", ("::1", 25, "starttls")),
    ],
)
def test_mail_base_url(base_url: str | None, place: tuple[str, int, str]) -> None:
    """base_url moves the connection, and never disables TLS."""
    known = provider("smtp")
    config: dict[str, Any] = {"host": "m.example.com", "username": "u", "password": S}
    if base_url:
        config["base_url"] = base_url
    probe = known.probe(known.complete(config))
    assert isinstance(probe, SmtpProbe)
    assert (probe.host, probe.port, probe.security) == place
    assert (probe.username, probe.password) == ("u", S)


def test_mail_relay_without_a_login() -> None:
    """A relay that trusts this host needs no password."""
    known = provider("smtp")
    probe = known.probe(known.complete({"host": "relay.example.com", "port": 25}))
    assert isinstance(probe, SmtpProbe)
    assert (probe.security, probe.username, probe.password) == ("none", None, None)


#: Providers without a credential, or with their own setting for plaintext.
_OTHER = {"smtp", "sendgrid", "ses", "gmail", "microsoft365", "http", "tcp"}


@pytest.mark.parametrize("name", sorted(set(catalogue.names()) - _OTHER))
def test_credential_stays_off_plain_http(name: str) -> None:
    """A base_url over http:// is for loopback only."""
    known = provider(name)
    far = [problem.field for problem in known.check({"base_url": "http://example.com"})]
    near = [problem.field for problem in known.check({"base_url": "http://127.0.0.1:8080"})]
    assert "base_url" in far
    assert "base_url" not in near
