"""Zoom, Calendly, Google's service accounts and SendGrid's API: requests, and the meaning of replies."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from intctl.health.outcome import Outcome
from intctl.probes.spec import Bearer, ClientCredentials, HttpProbe, RefreshToken, SignedJwt, SmtpProbe
from intctl.providers import catalogue
from intctl.text import Secret
from tests.probes import check
from tests.servers import Answer, Request, http_server

S = Secret("secret-1")
GRANTED = Answer(200, {"access_token": "access-1", "expires_in": 3600})


def asked(name: str, **config: object) -> HttpProbe:
    provider = catalogue.get(name)
    assert provider is not None
    assert provider.check(config) == []
    probe = provider.probe(provider.complete(config))
    assert isinstance(probe, HttpProbe)
    return probe


def complaints(name: str, **config: object) -> list[str]:
    provider = catalogue.get(name)
    assert provider is not None
    return [problem.field for problem in provider.check(config)]


ZOOM: dict[str, object] = {"account_id": "a", "client_id": "c", "client_secret": S}


def test_zoom() -> None:
    """The account's own grant, then the app's user."""
    probe = asked("zoom", **ZOOM)
    assert probe.url == "https://api.zoom.us/v2/users/me"
    assert probe.auth == ClientCredentials(
        "https://zoom.us/oauth/token", "c", S, client_in="basic", grant="account_credentials", extra={"account_id": "a"}
    )


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"code": 4711}, "http.scope_missing"),
        (401, {"code": 4711}, "http.scope_missing"),
        (401, {"code": 124}, "http.auth.rejected"),
        (401, {"code": 4700}, "http.scope_missing"),
        (200, {"id": "u", "type": 2}, "ok"),
    ],
)
def test_zoom_without_the_scope(status: int, body: object, code: str) -> None:
    """4711 (and 4700) is a valid token, with every HTTP status."""
    with http_server({"/oauth/token": GRANTED, "/v2/users/me": Answer(status, body)}) as server:
        assert check(asked("zoom", **ZOOM, base_url=server.url)).code == code


def test_calendly() -> None:
    """A personal token is sent unchanged; a refresh token can be used once."""
    assert asked("calendly", token=S).auth == Bearer(S)
    oauth = {"client_id": "c", "client_secret": S, "refresh_token": S}
    assert asked("calendly", **oauth).auth == RefreshToken(
        "https://auth.calendly.com/oauth/token", "c", S, S, client_in="basic", single_use=True
    )
    assert complaints("calendly") == ["token"]
    assert complaints("calendly", client_id="c") == ["client_secret", "refresh_token"]
    assert complaints("calendly", token=S, **oauth) == ["client_id"]


def test_google_as_a_service_account() -> None:
    """A signed statement instead of a user's token; half of either way is not enough."""
    robot = {"service_account": "r@example.com", "private_key": S, "subject": "p@example.com"}
    auth = asked("google", **robot).auth
    scope = "https://www.googleapis.com/auth/calendar.readonly"
    url = "https://oauth2.googleapis.com/token"
    assert auth == SignedJwt(url, "r@example.com", S, url, scope, "p@example.com")
    assert complaints("google", service_account="r@example.com") == ["private_key"]
    assert complaints("google", client_id="c") == ["client_secret", "refresh_token"]
    assert complaints("google", **robot, refresh_token=S) == ["refresh_token"]


def test_google_exchanges_the_statement() -> None:
    """The statement is signed and exchanged, and its token reads the calendar list."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = Secret(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    )
    list_ = "/calendar/v3/users/me/calendarList"
    with http_server({"/token": GRANTED, list_: Answer(200, {"kind": "calendar#calendarList"})}) as server:
        found = check(asked("google", service_account="r@example.com", private_key=pem, base_url=server.url))
        token, api = server.requests
    assert found.code == "ok"
    assert parse_qs(token.body.decode())["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert api.headers["authorization"] == "Bearer access-1"


def sendgrid(status: int, body: object) -> Outcome:
    def scopes(request: Request) -> Answer:
        assert request.headers["authorization"] == "Bearer secret-1"
        return Answer(status, body)

    with http_server({"/v3/scopes": scopes}) as server:
        return check(asked("sendgrid", api_key=S, base_url=server.url))


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, {"scopes": ["alerts.read", "mail.send"]}, "ok"),
        (200, {"scopes": ["mail.send.later"]}, "http.scope_missing"),
        (200, {"scopes": []}, "http.scope_missing"),
        (200, {}, "unexpected.reply"),
        (403, {"errors": [{"message": "access forbidden"}]}, "http.scope_missing"),
        (401, {"errors": [{"field": None, "message": "…"}]}, "http.auth.rejected"),
    ],
)
def test_sendgrid_by_its_api(status: int, body: object, code: str) -> None:
    """A valid key without the permission to send mail differs from a refused one."""
    assert sendgrid(status, body).code == code


def test_sendgrid_is_one_or_the_other() -> None:
    """The API key brings its own host; it and the mail server's login exclude each other."""
    assert asked("sendgrid", api_key=S).url == "https://api.sendgrid.com/v3/scopes"
    assert asked("sendgrid", api_key=S, region="eu").url == "https://api.eu.sendgrid.com/v3/scopes"
    assert complaints("sendgrid", api_key=S, password=S, port=587) == ["api_key"]
    assert complaints("sendgrid", api_key=S, port=587) == ["port"]
    assert complaints("sendgrid", username="apikey") == ["password"]
    assert complaints("sendgrid", username="apikey", password=S, region="eu") == ["region"]
    assert complaints("sendgrid", username="apikey", password=S, base_url="https://example.com") == ["base_url"]
    assert complaints("sendgrid", api_key=S, base_url="smtp://localhost") == ["base_url"]
    provider = catalogue.get("sendgrid")
    assert provider is not None
    config = {"host": "smtp.sendgrid.net", "username": "apikey", "password": S}
    assert isinstance(provider.probe(provider.complete(config)), SmtpProbe)


def _multistatus(inside: str) -> Answer:
    text = f'<d:multistatus xmlns:d="DAV:"><d:response><d:prop>{inside}</d:prop></d:response></d:multistatus>'
    return Answer(207, text.encode(), {"Content-Type": "application/xml"})


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (
            _multistatus("<d:current-user-principal><d:href>/p/</d:href></d:current-user-principal>"),
            "credential.unproven",
        ),
        (
            _multistatus("<d:current-user-principal><d:unauthenticated/></d:current-user-principal>"),
            "http.auth.rejected",
        ),
        (_multistatus("<d:current-user-principal/>"), "unexpected.reply"),
        (Answer(200, b"<html>"), "unexpected.reply"),
        (Answer(401, b""), "http.auth.rejected"),
        (Answer(403, b""), "http.forbidden"),
        (Answer(405, b""), "not.found"),
        (Answer(301, b"", {"Location": "/dav/"}), "redirect.refused"),
    ],
)
def test_caldav_asks_whose_credential_it_is(answer: Answer, code: str) -> None:
    """PROPFIND has Depth 0 and the property in its body; a reply to an anonymous user is a refusal."""
    with http_server({"/dav": answer}) as server:
        config: dict[str, object] = {"url": "https://cloud.example.com/dav", "username": "u", "password": S}
        found = check(asked("caldav", **config, base_url=server.url))
        request = server.requests[0]
    assert found.code == code
    assert (request.method, request.headers["depth"]) == ("PROPFIND", "0")
    assert b"<current-user-principal/>" in request.body
    assert request.headers["content-type"].startswith("application/xml")


@pytest.mark.case("real F2")
def test_caldav_is_compared_without_the_credential() -> None:
    """Healthy only where the server refuses the same question without it."""

    def answer(request: Request) -> Answer:
        principal = _multistatus("<d:current-user-principal><d:href>/p/</d:href></d:current-user-principal>")
        return principal if "authorization" in request.headers else Answer(401, b"")

    with http_server({"/dav": answer}) as server:
        found = check(asked("caldav", url="https://x.example/dav", username="u", password=S, base_url=server.url))
        assert len(server.requests) == 2
    assert (found.code, found.facts["credential_proven"]) == ("ok", True)


def test_caldav_by_a_token() -> None:
    """A token replaces user name and password; neither is sent over http:// to another machine."""
    url = "https://cloud.example.com/dav"
    assert asked("caldav", url=url, token=S).auth == Bearer(S)
    assert complaints("caldav", url=url) == ["username"]
    assert complaints("caldav", url=url, token=S, username="u", password=S) == ["token"]
    assert complaints("caldav", url="http://cloud.example.com/dav", token=S) == ["url"]


M365: dict[str, object] = {
    "host": "smtp.office365.com", "username": "m@example.com", "tenant_id": "t", "client_id": "c",
}  # fmt: skip


def test_microsoft365_logs_in_by_token_alone() -> None:
    """As a user with SMTP.Send, as the application with the resource's default scope; never by a password."""
    provider = catalogue.get("microsoft365")
    assert provider is not None
    url = "https://login.microsoftonline.com/t/oauth2/v2.0/token"
    user = {**M365, "client_secret": S, "refresh_token": S}
    assert provider.check(provider.complete(user)) == []
    probe = provider.probe(provider.complete(user))
    assert isinstance(probe, SmtpProbe)
    assert (probe.host, probe.port, probe.security, probe.username) == (
        "smtp.office365.com",
        587,
        "starttls",
        "m@example.com",
    )
    assert probe.auth == RefreshToken(url, "c", S, S, scope="https://outlook.office.com/SMTP.Send offline_access")
    application = {**M365, "client_secret": S}
    found = provider.probe(provider.complete(application))
    assert isinstance(found, SmtpProbe)
    assert found.auth == ClientCredentials(url, "c", S, scope="https://outlook.office365.com/.default")
    assert "password" not in {field.name for field in provider.fields}
    assert [problem.field for problem in provider.check({**application, "tenant_id": "common"})] == ["tenant_id"]
    assert [problem.field for problem in provider.check({**user, "security": "none"})] == ["security"]
