"""The rows of the network matrix without their own hostile server, and a check that every row has a test."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest

from intctl.probes.guard import AddressPolicy
from intctl.probes.run import Network
from intctl.probes.smtp import send_test_mail
from intctl.probes.spec import Bearer, ClientCredentials, Header, HttpProbe, RefreshToken, SmtpProbe, TestMail, Tokens
from intctl.text import Secret
from tests.hostile.servers import mail
from tests.probes import check
from tests.servers import Answer, Authority, RawServer, http_server, raw_server

TOKEN = Secret("tok-geheim-123")
DEADLINE_S = 5.0
#: The limit of every wait in the tests; a probe that reaches it hung.
GENEROUS_S = 12.0

#: The rows of the matrix: names, connections, TLS, HTTP, mail, OAuth.
ROWS = {
    "D": (1, 2, 3, 4, 5, 6, 8), "T": (1, 2), "L": (1, 2, 3, 5, 6), "H": (1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14),
    "S": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13), "O": (1, 2, 3),
}  # fmt: skip


def test_every_row_has_a_test() -> None:
    """Each row of the matrix is in an id or a docstring of this folder's tests."""
    texts = [path.read_text() for path in sorted(Path(__file__).parent.glob("test_*.py"))]
    named = {row for text in texts for row in re.findall(r"""(?:["/ ,])([DTLHSO]\d{1,2})(?=[ :,])""", text)}
    assert [row for kind, numbers in ROWS.items() for n in numbers if (row := f"{kind}{n}") not in named] == []


def _timed(probe: Any, **more: Any) -> Any:
    started = time.monotonic()
    outcome = check(probe, deadline_s=DEADLINE_S, **more)
    assert time.monotonic() - started < GENEROUS_S
    assert "geheim" not in repr(outcome)
    return outcome


REFUSED = [
    ("D5 169.254.0.0/16", "169.254.169.254"), ("D5 fe80::/10", "fe80::1"), ("D5 168.63.129.16", "168.63.129.16"),
    ("D5 fd00:ec2::254", "fd00:ec2::254"), ("D6 v4-mapped", "::ffff:169.254.169.254"),
    ("D6 NAT64", "64:ff9b::a9fe:a9fe"), ("D6 6to4", "2002:a9fe:a9fe::"), ("D6 hexadecimal", "0xa9.0xfe.43518"),
    ("D6 one number", "2852039166"), ("D6 zero", "0"),
]  # fmt: skip
CLOSED = [
    ("D5 127/8", "127.0.0.1"), ("D5 ::1", "::1"), ("D6 v4-mapped loopback", "::ffff:127.0.0.1"),
    ("D6 NAT64 loopback", "64:ff9b::7f00:1"), ("D6 6to4 loopback", "2002:7f00:1::"), ("D6 0x7f.1", "0x7f.1"),
    ("D6 2130706433", "2130706433"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "deny"),
    [(host, "") for _, host in REFUSED] + [(host, "loopback") for _, host in CLOSED],
    ids=[name for name, _ in REFUSED + CLOSED],
)
def test_an_address_that_must_not_be_contacted(host: str, deny: str) -> None:
    """A refused address ends in the dns phase, without a connection; so does a denied loopback."""
    policy = AddressPolicy.parse(deny, "")
    url = f"http://[{host}]/" if ":" in host else f"http://{host}/"
    for probe in (SmtpProbe(host, 25, "none"), HttpProbe(url, None)):
        outcome = _timed(probe, network={"policy": policy})
        # What this machine denies is no fault of the config that all machines share.
        expected = ("unknown", "self.denied_address") if deny else ("misconfigured", "blocked.address")
        assert (outcome.verdict, outcome.code, outcome.phase) == (*expected, "dns")
        assert "tcp" not in outcome.phases_ms


ANSWERS: list[tuple[str, Answer, str, str]] = [
    ("H8 redirect loop", Answer(302, None, {"Location": "/?again"}), "down", "redirect.refused"),
    ("H9 redirect to http", Answer(301, None, {"Location": "http://192.0.2.1/"}), "down", "redirect.refused"),
    ("H9 redirect to file", Answer(307, None, {"Location": "file:///etc/passwd"}), "down", "redirect.refused"),
    ("H12 401", Answer(401, {}), "misconfigured", "http.auth.rejected"),
    ("H12 403", Answer(403, {}), "down", "http.forbidden"),
    ("H12 404", Answer(404, {}), "misconfigured", "not.found"),
    ("H12 410", Answer(410, {}), "misconfigured", "not.found"),
    ("H13 429", Answer(429, {}), "degraded", "http.rate_limited"),
    ("H14 500", Answer(500, {}), "down", "server.error"),
    ("H14 503", Answer(503, {}), "down", "server.error"),
    ("H14 login page", Answer(200, b"<html>Log in", {"Content-Type": "text/html"}), "down", "unexpected.reply"),
    ("H14 empty body", Answer(200, b""), "down", "unexpected.reply"),
    ("H14 wrong shape", Answer(200, {"account": None}), "down", "unexpected.reply"),
]


@pytest.mark.parametrize(
    ("answer", "verdict", "code"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS]
)
def test_an_answer_that_is_not_the_promised_one(answer: Answer, verdict: str, code: str) -> None:
    """Each has its verdict and code in the api phase, after one request."""
    with http_server({"/": answer}) as server:
        outcome = _timed(HttpProbe(server.url + "/", Bearer(TOKEN), require=("/account/name",)))
        assert len(server.requests) == 1
    assert (outcome.verdict, outcome.code, outcome.phase) == (verdict, code, "api")


def test_h9_a_redirect_takes_no_secret_along() -> None:
    """H9: the other host gets no request; Location is shown without its query, escapes and secret."""
    with http_server({"/": Answer(200, {})}) as elsewhere:
        location = f"{elsewhere.url}/\x1b[31mtok-geheim-123?tok-geheim-123"
        with http_server({"/": Answer(302, None, {"Location": location})}) as server:
            outcome = _timed(HttpProbe(server.url + "/", Header("X-API-Key", TOKEN)))
        assert elsewhere.requests == []
    assert (outcome.verdict, outcome.code, outcome.phase) == ("down", "redirect.refused", "api")
    assert outcome.detail.isprintable() and "?" not in outcome.detail


@pytest.mark.parametrize(
    ("header", "seconds"), [("30", 30), ("999999999", 3600), ("-1", None), ("soon", None), ("0", 0)]
)
def test_h13_retry_after(header: str, seconds: int | None) -> None:
    """H13: Retry-After is accepted from 0 to an hour, and ignored if invalid."""
    with http_server({"/": Answer(429, {}, {"Retry-After": header})}) as server:
        outcome = _timed(HttpProbe(server.url + "/", Bearer(TOKEN)))
    assert (outcome.verdict, outcome.code, outcome.retry_after_s) == ("degraded", "http.rate_limited", seconds)


MAILS: list[tuple[str, tuple[bytes, bytes], str, str]] = [
    ("S13 MAIL FROM 550", (b"MAIL", b"550 5.7.1 no\r\n"), "misconfigured", "sender.refused"),
    ("S13 RCPT 450", (b"RCPT", b"450 4.2.1 later\r\n"), "degraded", "temporary"),
]


@pytest.mark.parametrize(("reply", "verdict", "code"), [case[1:] for case in MAILS], ids=[case[0] for case in MAILS])
def test_a_refused_mail(reply: tuple[bytes, bytes], verdict: str, code: str) -> None:
    """A refusal ends the mail before DATA, in the api phase."""
    letter = TestMail("a@example.org", "A", "b@example.org", "Test", "Text")
    with raw_server(mail([(b"MAIL", b"250 ok\r\n"), (b"RCPT", b"250 ok\r\n"), reply])) as server:
        probe = SmtpProbe("127.0.0.1", server.port, "none")
        outcome = asyncio.run(send_test_mail(probe, letter, Network(), deadline_s=DEADLINE_S))
        assert b"DATA" not in bytes(server.got)
    assert (outcome.verdict, outcome.code, outcome.phase) == (verdict, code, "api")


def test_s13_a_check_sends_no_mail() -> None:
    """S13: without a sender, not even the start of one is asked for."""
    with raw_server(mail()) as server:
        assert _timed(SmtpProbe("127.0.0.1", server.port, "none")).code == "relay.unproven"
        assert re.fullmatch(rb"EHLO \S+\r\nQUIT\r\n", bytes(server.got))


class Store:
    """A token store in memory. `overtaken` are the tokens that another process saved in between."""

    def __init__(self, overtaken: Tokens | None = None) -> None:
        self.tokens: Tokens | None = None
        self.overtaken = overtaken

    async def load(self) -> Tokens | None:
        found, self.tokens = self.tokens, self.tokens or self.overtaken
        return found

    async def reserve(self) -> bool:
        return True

    async def save(self, tokens: Tokens) -> Tokens:
        self.tokens = self.overtaken or tokens
        return self.tokens


ORIGIN = Secret("refresh-geheim-1")
GRANT = {"access_token": "access-1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "refresh-2"}


def _refresh(url: str) -> HttpProbe:
    return HttpProbe(url + "/me", RefreshToken(url + "/token", "client", Secret("client-geheim"), ORIGIN))


def test_o1_a_dead_refresh_token_wants_a_person() -> None:
    """O1: invalid_grant on an unchanged token is down, reauthorise, in the auth phase, after one call."""
    with http_server({"/token": Answer(400, {"error": "invalid_grant"}), "/me": Answer(200, {})}) as server:
        outcome = _timed(_refresh(server.url), tokens=Store())
        assert [request.path for request in server.requests] == ["/token"]
    assert (outcome.verdict, outcome.code, outcome.phase) == ("down", "reauthorise", "auth")


def test_o1_a_token_that_another_runner_replaced_is_used() -> None:
    """O1: if another process has changed the stored token in between, its token is used."""

    def token(request: Any) -> Answer:
        return Answer(200, GRANT) if b"refresh-other" in request.body else Answer(400, {"error": "invalid_grant"})

    with http_server({"/token": token, "/me": Answer(200, {})}) as server:
        store = Store(Tokens(None, None, Secret("refresh-other"), ORIGIN))
        outcome = _timed(_refresh(server.url), tokens=store)
    assert (outcome.verdict, outcome.code, outcome.phase) == ("healthy", "ok", "api")


def test_o2_the_loser_of_two_refreshes_uses_the_winners_token() -> None:
    """O2: the store's tokens after a save count: the process that saved second deletes nothing."""
    with http_server({"/token": Answer(200, GRANT), "/me": Answer(200, {})}) as server:
        winner = Tokens(Secret("access-winner"), time.time() + 1500, Secret("refresh-3"), ORIGIN)
        store = Store()
        store.overtaken = winner
        store.tokens = Tokens(None, None, ORIGIN, ORIGIN)
        assert _timed(_refresh(server.url), tokens=store).code == "ok"
        assert server.requests[-1].headers["authorization"] == "Bearer access-winner"
    assert store.tokens == winner


@pytest.mark.parametrize(
    ("lifetime", "verdict", "code"),
    [
        (None, "degraded", "odd.token"),
        ("3600", "healthy", "ok"),
        (-1, "degraded", "odd.token"),
        (10**12, "degraded", "odd.token"),
    ],
    ids=["O3 missing", "O3 as text", "O3 negative", "O3 endless"],
)
def test_an_odd_lifetime(lifetime: object, verdict: str, code: str) -> None:
    """An invalid lifetime is a warning; one written as text is not."""
    body = {"access_token": "access-1"} if lifetime is None else {"access_token": "access-1", "expires_in": lifetime}
    with http_server({"/token": Answer(200, body), "/me": Answer(200, {})}) as server:
        auth = ClientCredentials(server.url + "/token", "client", Secret("client-geheim"))
        outcome = _timed(HttpProbe(server.url + "/me", auth), tokens=Store())
    assert (outcome.verdict, outcome.code, outcome.phase) == (verdict, code, "api")


def test_d8_the_name_is_still_verified(ca: Authority) -> None:
    """D8: at every address of a name, the certificate must be the name's."""
    with http_server({"/": Answer(200, {})}, context=ca.server_context("127.0.0.1")) as server:
        outcome = _timed(HttpProbe(f"https://localhost:{server.port}/", Bearer(TOKEN), ca_file=ca.file))
        assert server.requests == []
    assert (outcome.verdict, outcome.code, outcome.phase) == ("down", "tls.wrong_host", "tls")


def test_t2_takes_the_connection_and_says_nothing() -> None:
    """T2: silence after the request is reply.timeout at the deadline, for mail in the greet phase."""

    async def handler(reader: Any, writer: Any, server: RawServer) -> None:
        await reader.read()

    with raw_server(handler) as server:
        for probe, phase in (
            (HttpProbe(f"http://127.0.0.1:{server.port}/", Bearer(TOKEN)), "api"),
            (SmtpProbe("127.0.0.1", server.port, "starttls"), "greet"),
        ):
            outcome = check(probe, deadline_s=0.4)
            assert (outcome.verdict, outcome.code, outcome.phase) == ("down", "reply.timeout", phase)
