"""XOAUTH2: a login at a mail server with an access token from an exchange."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult

from intctl.health import judge
from intctl.probes.spec import ClientCredentials, SmtpProbe, Tokens
from intctl.text import Secret
from tests.probes import check
from tests.servers import Answer, Authority, HttpServer, http_server, smtp_server

USER = "robot@company.example"
REASON = base64.b64encode(b'{"status":"400","schemes":"Bearer","scope":"mail"}').decode()


class Store:
    """A token store in memory."""

    def __init__(self, tokens: Tokens | None = None) -> None:
        self.tokens = tokens

    async def load(self) -> Tokens | None:
        return self.tokens

    async def reserve(self) -> bool:
        return True

    async def save(self, tokens: Tokens) -> Tokens:
        self.tokens = tokens
        return tokens


@contextmanager
def servers(ca: Authority, good: str = "access-2", token: Answer | None = None) -> Iterator[tuple[Any, HttpServer]]:
    """A mail server that accepts the token `good`, a token endpoint, and the tokens that the server received."""
    granted = token or Answer(200, {"access_token": "access-2", "expires_in": 3600})
    shown: list[bytes] = []
    after: list[bytes] = []

    async def auth_XOAUTH2(server: Any, args: list[str]) -> AuthResult:
        blob = base64.b64decode(args[1])
        shown.append(blob)
        if blob == f"user={USER}\x01auth=Bearer {good}\x01\x01".encode():
            return AuthResult(success=True, auth_data=USER)
        await server.push(f"334 {REASON}")
        after.append(await server._reader.readline())
        return AuthResult(success=False, handled=False, message="535 5.7.3 Authentication unsuccessful")

    with smtp_server(ca, users={USER: "unused"}) as mail, http_server({"/token": granted}, ca) as web:
        mail.auth_XOAUTH2 = auth_XOAUTH2  # type: ignore[attr-defined]
        mail.shown, mail.after = shown, after  # type: ignore[attr-defined]
        yield mail, web


def _probe(mail: Any, web: HttpServer, ca: Authority, **more: Any) -> SmtpProbe:
    grant = ClientCredentials(web.url + "/token", "client-1", Secret("geheim"), scope="mail")
    return SmtpProbe("localhost", mail.port, more.pop("security", "starttls"), USER, None, ca.file, grant)


def test_a_token_is_exchanged_for_and_shown(ca: Authority) -> None:
    """One exchange, one login with its token; the facts and phases are those of the mail server."""
    store = Store()
    with servers(ca) as (mail, web):
        found = check(_probe(mail, web, ca), tokens=store)
        assert len(web.requests) == len(mail.shown) == 1
    assert (found.code, found.phase) == ("ok", "api")
    assert found.facts["auth_method"] == "XOAUTH2"
    assert found.facts["token_exchanged"] is True
    assert "http_status" not in found.facts
    assert store.tokens is not None and store.tokens.access_token == Secret("access-2")


def test_a_stored_token_is_used(ca: Authority) -> None:
    """While the stored token is valid nothing is exchanged."""
    with servers(ca) as (mail, web):
        found = check(_probe(mail, web, ca), tokens=Store(Tokens(Secret("access-2"), time.time() + 1500)))
        assert web.requests == []
    assert (found.code, found.facts["token_exchanged"]) == ("ok", False)


def test_a_stored_token_that_is_refused_is_exchanged_once(ca: Authority) -> None:
    """A token that was revoked early is no wrong credential: it is exchanged for a new one."""
    with servers(ca) as (mail, web):
        found = check(_probe(mail, web, ca), tokens=Store(Tokens(Secret("access-old"), time.time() + 1500)))
        assert (len(web.requests), len(mail.shown), mail.after) == (1, 2, [b"\r\n"])
    assert found.code == "ok"


def test_a_refused_token_is_told_in_the_servers_words(ca: Authority) -> None:
    """334 has the reason, an empty line follows, then the refusal; there is no third attempt."""
    with servers(ca, good="another") as (mail, web):
        found = check(_probe(mail, web, ca))
        assert (len(web.requests), len(mail.shown), mail.after) == (1, 1, [b"\r\n"])
    assert (found.code, found.phase) == ("smtp.auth.rejected", "auth")
    assert found.detail == "535 5.7.3 Authentication unsuccessful"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(401, {"error": "invalid_client"}), "http.auth.rejected"),
        (Answer(503, {}), "server.error"),
        (Answer(200, {}), "unexpected.reply"),
    ],
)
def test_a_token_endpoint_that_refuses(ca: Authority, answer: Answer, code: str) -> None:
    """Without a token the mail server receives nothing; the outcome names the token endpoint."""
    with servers(ca, token=answer) as (mail, web):
        found = check(_probe(mail, web, ca))
        assert mail.shown == []
    assert (found.code, found.phase) == (code, "auth")
    assert found.detail.startswith("token endpoint: ")


def test_a_server_without_xoauth2(ca: Authority) -> None:
    """The outcome names the offered methods; no token is exchanged without need."""
    with smtp_server(ca, users={USER: "pw"}) as mail, http_server({}, ca) as web:
        found = check(_probe(mail, web, ca))
        assert web.requests == []
    assert found.code == "auth.method"
    assert "XOAUTH2 is not offered" in found.detail


def test_no_token_goes_in_clear(ca: Authority) -> None:
    """Without TLS no token is sent, in any configuration."""
    with smtp_server(ca, "none", users={USER: "pw"}) as mail, http_server({}, ca) as web:
        found = check(_probe(mail, web, ca, security="none"))
        assert web.requests == []
    assert found.code == "tls.required"


@pytest.mark.case("real F3")
@pytest.mark.parametrize("reply", ["454 4.7.0 Temporary authentication failure", "421 4.7.0 try again later"])
def test_a_token_proves_no_login(ca: Authority, reply: str) -> None:
    """The token endpoint is another party than the mail server: only 235 proves the login."""

    async def later(server: Any, args: list[str]) -> AuthResult:
        return AuthResult(success=False, handled=False, message=reply)

    with servers(ca) as (mail, web):
        mail.auth_XOAUTH2 = later
        found = check(_probe(mail, web, ca), tokens=Store())
    assert (found.code, found.facts["token_exchanged"]) == ("temporary", True)
    assert judge.as_unverified(found).code == "provider.busy"


@pytest.mark.case("real F14")
@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://127.0.0.1:1/token", "connect.refused"),
        ("https://no.such.host.invalid/token", "dns.nxdomain"),
        ("https://169.254.169.254/token", "blocked.address"),
    ],
)
def test_a_fault_of_the_token_endpoint_names_it(ca: Authority, url: str, code: str) -> None:
    """The mail server answered; the other host is named."""
    with servers(ca) as (mail, web):
        grant = ClientCredentials(url, "client-1", Secret("geheim"))
        found = check(replace(_probe(mail, web, ca), auth=grant), tokens=Store())
    host = url.split("/")[2].partition(":")[0]
    if code == "dns.nxdomain" and found.code == "dns.failure":
        code = "dns.failure"  # a machine without a name server
    assert (found.code, found.phase) == (code, "auth")
    assert f"token endpoint {host}" in found.message
