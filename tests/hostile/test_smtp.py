"""SMTP against hostile servers: verdict, code, phase, an end by the deadline, and no login in plaintext."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import pytest

from intctl.probes.run import Network, run_probe
from intctl.probes.spec import SmtpProbe
from intctl.text import Secret
from tests.hostile.servers import Handler, drips, floods, hangs_up, mail, resets, says, silent
from tests.probes import brief, check
from tests.servers import Authority, RawServer, in_days, raw_server, smtp_server

# The length prevents that the PLAIN login's base64 contains the password's own.
USER = "user1"
PASSWORD = "geheim-pässwort"
DEADLINE_S = 0.6
GENEROUS_S = 8.0
#: Every form in which the password could cross the wire.
FORMS = [
    PASSWORD.encode(),
    base64.b64encode(PASSWORD.encode()),
    base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()),
    b"AUTH",
]


def _found(handler: Handler, security: Any = "starttls", **more: Any) -> tuple[Any, RawServer]:
    started = time.monotonic()
    with raw_server(handler) as server:
        probe = SmtpProbe("127.0.0.1", server.port, security, USER, Secret(PASSWORD), **more)
        outcome = check(probe, deadline_s=DEADLINE_S)
    assert time.monotonic() - started < GENEROUS_S
    assert "geheim" not in repr(outcome)
    return outcome, server


NO_TLS = b"250-mail.example\r\n250 AUTH PLAIN LOGIN CRAM-MD5\r\n"

#: Before TLS not one byte of a login may be sent, whatever the server does.
BEFORE_TLS: list[tuple[str, Handler, str, str, str]] = [
    ("S1 silent", silent(), "down", "reply.timeout", "greet"),
    ("S1 dripped banner", drips(b"220-a\r\n", listen=False), "down", "deadline", "greet"),
    ("S1 silent after EHLO", mail([(b"EHLO", b"")]), "down", "reply.timeout", "greet"),
    ("S2 endless banner lines", floods(b"220-hi\r\n" * 99, listen=False), "down", "protocol.error", "greet"),
    ("S2 endless line", floods(b"220" + b"a" * 9999, listen=False), "down", "protocol.error", "greet"),
    ("S2 endless EHLO", mail([(b"EHLO", b"250-X\r\n" * 9999)]), "down", "protocol.error", "greet"),
    ("S3 554 banner", mail(banner=b"554 go \x1b[31maway\x07\r\n"), "down", "rejected", "greet"),
    ("S3 421 banner", mail(banner=b"421 busy\r\n"), "degraded", "temporary", "greet"),
    (
        "S4 web server",
        says(b"HTTP/1.1 400 Bad Request\r\n\r\n", listen=False, hold=True),
        "misconfigured",
        "not.smtp",
        "greet",
    ),
    ("S4 binary", says(b"\x00\x01\x02\xff" * 9, listen=False, hold=True), "misconfigured", "not.smtp", "greet"),
    ("S4 SSH", says(b"SSH-2.0-OpenSSH_9\r\n", listen=False, hold=True), "misconfigured", "not.smtp", "greet"),
    ("S5 STARTTLS stripped", mail([(b"EHLO", NO_TLS)]), "down", "starttls.missing", "greet"),
    ("S5 only HELO", mail([(b"EHLO", b"502 no\r\n"), (b"HELO", b"250 hi\r\n")]), "down", "starttls.missing", "greet"),
    ("S6 STARTTLS answered 454", mail([(b"STARTTLS", b"454 not now\r\n")]), "down", "starttls.refused", "greet"),
    ("S6 STARTTLS answered 500", mail([(b"STARTTLS", b"500 what\r\n")]), "down", "starttls.refused", "greet"),
    (
        "S7 injection in one piece",
        mail([(b"STARTTLS", b"220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n")]),
        "down",
        "starttls.injection",
        "greet",
    ),
    ("S7 without an end", mail([(b"STARTTLS", b"220 go\r\n250-evil")]), "down", "starttls.injection", "greet"),
    (
        "S8 no TLS after STARTTLS",
        mail([(b"STARTTLS", b"220 go\r\n"), (b"\x16", b"500 what?\r\n" * 9)]),
        "misconfigured",
        "tls.not_spoken",
        "tls",
    ),
    ("S12 421 after EHLO", mail([(b"EHLO", b"421 busy\r\n")]), "degraded", "temporary", "greet"),
    ("S12 closes after EHLO", mail([(b"EHLO", None)]), "down", "connection.closed", "greet"),
    ("closes at once", hangs_up(), "down", "connection.closed", "greet"),
    ("closes at STARTTLS", mail([(b"STARTTLS", None)]), "down", "connection.closed", "greet"),
    ("resets", resets(listen=False), "down", "connection.reset", "greet"),
    ("resets after its banner", resets(b"220 hi\r\n", listen=False), "down", "connection.reset", "greet"),
]


@pytest.mark.parametrize(
    ("handler", "verdict", "code", "phase"), [case[1:] for case in BEFORE_TLS], ids=[case[0] for case in BEFORE_TLS]
)
def test_no_login_before_tls(handler: Handler, verdict: str, code: str, phase: str) -> None:
    """Each has its verdict, code and phase, and got no byte of a login in plaintext."""
    outcome, server = _found(handler)
    assert (outcome.verdict, outcome.code, outcome.phase) == (verdict, code, phase)
    assert not any(form in bytes(server.got) for form in FORMS)


def _auth(reply: bytes | None, offered: bytes = b"PLAIN") -> Handler:
    return mail([(b"EHLO", b"250-hi\r\n250 AUTH " + offered + b"\r\n"), (b"AUTH", reply)])


LOGINS: list[tuple[str, Handler, str, str]] = [
    ("S9 535", _auth(b"535 5.7.8 no\r\n"), "misconfigured", "smtp.auth.rejected"),
    ("S9 534", _auth(b"534 5.7.9 app password required\r\n"), "misconfigured", "auth.method"),
    ("S9 538", _auth(b"538 5.7.11 encryption required\r\n"), "misconfigured", "auth.method"),
    ("S9 530", _auth(b"530 5.7.0 STARTTLS first\r\n"), "misconfigured", "tls.required"),
    ("S9 454", _auth(b"454 4.7.0 later\r\n"), "degraded", "temporary"),
    ("S9 421", _auth(b"421 bye\r\n"), "degraded", "temporary"),
    ("S9 451", _auth(b"451 later\r\n"), "degraded", "temporary"),
    ("550", _auth(b"550 5.7.1 disabled\r\n"), "misconfigured", "smtp.auth.rejected"),
    ("503", _auth(b"503 no\r\n"), "misconfigured", "auth.method"),
    ("504 to every method", _auth(b"504 no\r\n", b"PLAIN LOGIN"), "misconfigured", "auth.method"),
    ("S10 unknown methods", _auth(b"235 ok\r\n", b"GSSAPI NTLM"), "misconfigured", "auth.method"),
    ("S12 closes in AUTH", _auth(None), "down", "connection.closed"),
    ("a reply that is none", _auth(b"yes\r\n"), "down", "protocol.error"),
    ("a question instead of an answer", _auth(b"334 \r\n"), "down", "protocol.error"),
    ("a challenge that is none", _auth(b"334 \xff!\r\n", b"CRAM-MD5"), "down", "protocol.error"),
    ("silent", _auth(b""), "down", "reply.timeout"),
]


@pytest.mark.parametrize(
    ("handler", "verdict", "code"), [case[1:] for case in LOGINS], ids=[case[0] for case in LOGINS]
)
def test_a_login_that_fails(handler: Handler, verdict: str, code: str) -> None:
    """Each refusal of a login has its own code, in the auth phase, after one connection."""
    outcome, server = _found(handler, "none")
    assert (outcome.verdict, outcome.code, outcome.phase) == (verdict, code, "auth")
    assert server.connections == 1


def test_a_method_that_turns_out_missing_gives_way_to_the_next() -> None:
    """A 504 to one method lets the next offered one be tried; a 535 does not."""
    script = [
        (b"EHLO", b"250-hi\r\n250 AUTH PLAIN LOGIN\r\n"),
        (b"AUTH PLAIN", b"504 no\r\n"),
        (b"AUTH LOGIN", b"334 x\r\n"),
        (base64.b64encode(PASSWORD.encode()).upper(), b"235 ok\r\n"),
    ]
    outcome, _ = _found(mail(script), "none")
    assert (outcome.code, outcome.facts["auth_method"]) == ("ok", "LOGIN")


@pytest.mark.parametrize(
    ("reply", "verdict", "code"),
    [
        (b"502 what?\r\n", "healthy", "ok"),
        (b"421 bye\r\n", "healthy", "ok"),
        (b"550 no\r\n", "healthy", "ok"),
        (b"530 STARTTLS first\r\n", "healthy", "ok"),
        (b"999 what\r\n", "down", "protocol.error"),
        (None, "down", "connection.closed"),
    ],
)
def test_after_the_login(reply: bytes | None, verdict: str, code: str) -> None:
    """A refused NOOP changes nothing; what is no reply, or none, does."""
    outcome, _ = _found(mail([(b"AUTH", b"235 ok\r\n"), (b"NOOP", reply)]), "none")
    assert (outcome.verdict, outcome.code, outcome.phase) == (verdict, code, "api")


@pytest.mark.parametrize("goodbye", [b"", None, b"500 no\r\n", b"221-" * 99999])
def test_a_goodbye_spoils_no_verdict(goodbye: bytes | None) -> None:
    """No reply to QUIT changes the result."""
    outcome, server = _found(mail([(b"AUTH", b"235 ok\r\n"), (b"QUIT", goodbye)]), "none")
    assert (outcome.code, outcome.phase) == ("ok", "api")
    assert server.connections == 1


def test_the_servers_words_are_shown_clean_and_short() -> None:
    """Escape codes, endless text and the password, plain or encoded, never reach the outcome."""
    plain, word = FORMS[2], FORMS[1]
    echo = (
        b"535-" + PASSWORD.encode() + b" \x1b]0;x\x07\x9b " + plain + b"\r\n535 " + word + b" " + b"z" * 900 + b"\r\n"
    )
    outcome, _ = _found(_auth(echo), "none")
    assert outcome.code == "smtp.auth.rejected"
    assert len(outcome.detail) <= 200
    assert outcome.detail.startswith("535 ********")
    assert outcome.detail.isprintable()
    for form in (PASSWORD.encode(), plain, word):
        assert form.decode() not in outcome.detail


def _bad(ca: Authority, how: str) -> Any:
    made = {
        "expired": {"not_before": in_days(-30), "not_after": in_days(-2)},
        "not yet": {"not_before": in_days(2), "not_after": in_days(30)},
    }
    return ca.server_context(*(["mail.other.example"] if how == "name" else []), **made.get(how, {}))  # type: ignore[arg-type]


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("expired", "tls.expired", f"it expired on {in_days(-2):%Y-%m-%d}"),
        ("not yet", "tls.not_yet_valid", f"it is valid from {in_days(2):%Y-%m-%d}"),
        ("name", "tls.wrong_host", "it is valid for mail.other.example"),
        ("issuer", "tls.untrusted", "issued by Test Authority"),
    ],
)
def test_a_wrong_certificate(ca: Authority, security: Any, how: str, code: str, words: str) -> None:
    """S8: the login is not sent, and the outcome says what is wrong with the certificate."""
    with smtp_server(security=security, users={USER: PASSWORD}, context=_bad(ca, how)) as server:
        ca_file = None if how == "issuer" else ca.file
        outcome = check(SmtpProbe("localhost", server.port, security, USER, Secret(PASSWORD), ca_file))
        assert server.logins == []
    assert (outcome.verdict, outcome.code, outcome.phase) == ("down", code, "tls")
    assert words in outcome.detail


@pytest.mark.parametrize(
    ("handler", "verdict", "code"),
    [
        (mail(), "misconfigured", "tls.not_spoken"),
        (silent(), "down", "tls.timeout"),
        (drips(b"\x16\x03\x03\x40\x00", listen=False), "down", "tls.timeout"),
        (resets(), "down", "connection.reset"),
    ],
)
def test_implicit_tls_where_there_is_none(handler: Handler, verdict: str, code: str) -> None:
    """S8, L5, L6: a plain, silent or broken server on a TLS port ends in the tls phase, by its budget."""
    with raw_server(handler) as server:
        probe = SmtpProbe("127.0.0.1", server.port, "tls", USER, Secret(PASSWORD))
        outcome = check(probe, network=brief(0.3))
        assert not any(form in bytes(server.got) for form in FORMS)
    assert (outcome.verdict, outcome.code, outcome.phase) == (verdict, code, "tls")


def test_all_of_them_at_once_leave_nothing_behind() -> None:
    """Every hostile mail server probed at the same time: each ends, no task stays."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        ports = [stack.enter_context(raw_server(case[1])).port for case in BEFORE_TLS]

        async def run() -> list[str]:
            network = Network()
            probes = [SmtpProbe("127.0.0.1", port, "starttls", USER, Secret(PASSWORD)) for port in ports]
            outcomes = await asyncio.gather(*(run_probe(probe, network, deadline_s=1.0) for probe in probes))
            assert len(asyncio.all_tasks()) == 1
            return [outcome.code for outcome in outcomes]

        assert asyncio.run(run()) == [case[3] for case in BEFORE_TLS]


PIPELINED = [
    ("with the banner", {"banner": b"220 hi\r\n250-hi\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n"}, (), "greet"),
    ("with EHLO's reply", {}, ((b"EHLO", b"250-hi\r\n250 AUTH PLAIN\r\n235 ok\r\n"),), "greet"),
    ("with AUTH's", {}, ((b"AUTH", b"235 ok\r\n250 ok\r\n"),), "auth"),
    ("after a method that is not there", {}, ((b"AUTH PLAIN", b"504 no\r\n235 ok\r\n"),), "auth"),
    ("two codes in one", {}, ((b"AUTH", b"535-no\r\n235 ok\r\n"),), "auth"),
    ("a code of four digits", {}, ((b"AUTH", b"2351 ok\r\n"),), "auth"),
    ("a code and no blank", {}, ((b"AUTH", b"235x\r\n"),), "auth"),
    ("with NOOP's", {}, ((b"AUTH", b"235 ok\r\n"), (b"NOOP", b"250 ok\r\n221 bye\r\n")), "api"),
]


@pytest.mark.parametrize(("more", "script", "phase"), [one[1:] for one in PIPELINED], ids=[one[0] for one in PIPELINED])
def test_replies_that_nobody_asked_for(more: Any, script: Any, phase: str) -> None:
    """After unsolicited data, which would be read as the next reply, the probe sends nothing."""
    replies = [(b"EHLO", b"250-hi\r\n250 AUTH PLAIN LOGIN\r\n"), *script]
    outcome, _ = _found(mail(replies, **more), "none")
    assert (outcome.verdict, outcome.code, outcome.phase) == ("down", "protocol.error", phase)
    assert "auth_method" not in outcome.facts or phase == "api"


@pytest.mark.parametrize("more", [b"421 too many errors\r\n", b"235 ok\r\n", b"\r\n"])
def test_a_refusal_stands_whatever_comes_behind_it(more: bytes) -> None:
    """A refused login is a rejected password, also if the server closes with the same packet."""
    outcome, _ = _found(_auth(b"535 5.7.8 bad\r\n" + more), "none")
    assert (outcome.verdict, outcome.code) == ("misconfigured", "smtp.auth.rejected")
