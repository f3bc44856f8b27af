"""SMTP: a relay without a login, the parties of a refusal, the name in EHLO, and the wrong TLS mode."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from intctl.health import judge
from intctl.health.log_entry import LogMetadata
from intctl.health.outcome import Outcome
from intctl.probes.run import Network
from intctl.probes.smtp import send_test_mail
from intctl.probes.smtp_session import Session
from intctl.probes.spec import SmtpProbe, TestMail
from intctl.probes.trace import Trace
from intctl.text import Secret
from tests.probes import check
from tests.servers import Authority, RawServer, raw_server, smtp_server

SENDER, RECIPIENT = "app@ours.example", "postmaster@else.example"


def relay(port: int, **more: Any) -> SmtpProbe:
    given: dict[str, Any] = {"sender": SENDER, "recipient": RECIPIENT, **more}
    return SmtpProbe("127.0.0.1", port, "none", **given)


def speaking(replies: Mapping[str, str], greeting: str = "220 mail.example ESMTP") -> Any:
    """A mail server that answers each command by its first word, else 250."""

    async def serve(reader: Any, writer: Any, server: RawServer) -> None:
        writer.write(f"{greeting}\r\n".encode())
        while line := await reader.readline():
            server.got += line
            word = line.split(maxsplit=1)[0].strip().decode().upper()
            writer.write(replies.get(word, "250 ok").encode() + b"\r\n")
            if word == "QUIT":
                return

    return serve


@pytest.mark.case("real F1")
def test_a_relay_is_asked_to_take_a_mail_and_given_none() -> None:
    """MAIL, RCPT and QUIT: what Postfix counts as junk, NOOP and RSET, is not sent, and neither is DATA."""
    with raw_server(speaking({})) as server:
        outcome = check(relay(server.port))
        assert bytes(server.got).split(b"\r\n")[1:] == [
            b"MAIL FROM:<app@ours.example>",
            b"RCPT TO:<postmaster@else.example>",
            b"QUIT",
            b"",
        ]
    assert (outcome.code, outcome.facts["relay_proven"]) == ("ok", True)


DENIED = [
    ("RCPT", "554 5.7.1 <postmaster@else.example>: Relay access denied", "relay.denied"),
    ("RCPT", "550 relay not permitted", "relay.denied"),
    ("RCPT", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", "relay.denied"),
    ("RCPT", "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", "relay.denied"),
    ("RCPT", "554 5.7.1 <vm[127.0.0.1]>: Client host rejected: Access denied", "relay.denied"),
    ("RCPT", "550 5.1.1 <postmaster@else.example>: Recipient address rejected: User unknown", "recipient.refused"),
    ("RCPT", "553 5.7.1 <app@ours.example>: Sender address rejected: not owned by user", "sender.refused"),
    ("RCPT", "550 Sender must be authenticated user", "sender.refused"),
    ("RCPT", "504 5.5.2 <vm>: Helo command rejected: need fully-qualified hostname", "helo.refused"),
    ("RCPT", "450 4.7.1 <vm.example>: Helo command rejected: Host not found", "helo.refused"),
    ("MAIL", "530 5.7.0 Must issue a STARTTLS command first", "tls.required"),
    ("MAIL", "550 5.7.1 Authentication required", "relay.denied"),
    ("MAIL", "553 5.1.8 <app@ours.example>: Sender address rejected: Domain not found", "sender.refused"),
    ("MAIL", "501 5.1.7 Bad sender address syntax", "sender.refused"),
]


@pytest.mark.case("real F1")
@pytest.mark.case("real F4")
@pytest.mark.parametrize(("command", "reply", "code"), DENIED)
def test_a_relay_that_refuses_is_never_healthy(command: str, reply: str, code: str) -> None:
    """The refusal is the finding, with the party that it names."""
    with raw_server(speaking({command: reply})) as server:
        outcome = check(relay(server.port))
        assert b"DATA" not in server.got
    assert (outcome.code, outcome.verdict) == (code, "misconfigured")
    assert reply[:14] in outcome.message


@pytest.mark.case("real F1")
@pytest.mark.parametrize(
    ("given", "replies", "code"),
    [
        ({"recipient": ""}, {}, "relay.unproven"),
        ({"recipient": ""}, {"RCPT": "554 5.7.1 Relay access denied"}, "relay.denied"),
        ({"recipient": "", "sender": ""}, {}, "relay.unproven"),
        ({}, {"RCPT": "450 4.2.0 <x>: Recipient address rejected: Greylisted"}, "relay.unproven"),
        ({}, {"RCPT": "452 4.5.3 Error: too many recipients"}, "relay.unproven"),
        ({}, {"MAIL": "451 4.3.0 try later"}, "temporary"),
    ],
)
def test_what_is_not_proven_is_not_healthy(given: dict[str, str], replies: dict[str, str], code: str) -> None:
    """Without a recipient of another domain, or with a 4xx, nothing is proven; of a 4xx at MAIL not even that."""
    with raw_server(speaking(replies)) as server:
        outcome = check(relay(server.port, **given))
        assert (b"RCPT TO:<app@ours.example>" in server.got) is (given == {"recipient": ""})
    assert outcome.code == code
    assert outcome.facts.get("relay_proven", False) is False
    verdict = {"temporary": "unknown", "relay.denied": "misconfigured"}.get(code, "degraded")
    assert judge.as_unverified(outcome).verdict == verdict


@pytest.mark.case("real F1")
def test_the_schedule_asks_a_relay_once_an_hour() -> None:
    """Between, EHLO is enough: it keeps what the relay said, for the same config, until it fails."""
    with raw_server(speaking({})) as server:
        quiet = check(relay(server.port, asks_relay=False, on_demand=False))
        assert b"MAIL" not in server.got
    assert (quiet.code, quiet.facts.get("relay_proven")) == ("relay.unproven", None)
    asked = {"relay_asked_at": "2026-12-01T10:00:00+00:00", "relay_proven": True}
    last = judge.LastSuccess(LogMetadata(config_version=3, code="ok", facts=asked))
    assert judge.compare_with_last_success(quiet, last, 3).code == "ok"
    assert judge.compare_with_last_success(quiet, last, 4).code == "relay.unproven"
    assert judge.compare_with_last_success(quiet, None, 3).code == "relay.unproven"
    kept = judge.compare_with_last_success(quiet, last, 3)
    again = judge.LastSuccess(LogMetadata(config_version=3, code="ok", facts=kept.facts))
    at = 1796119200.0  # 10:00:00
    assert judge.relay_was_asked(again, 3, "active", at + 3599)
    assert not judge.relay_was_asked(again, 3, "active", at + 3600)
    assert not judge.relay_was_asked(again, 3, "active", at - 1)
    assert not judge.relay_was_asked(again, 3, "error", at + 60)
    assert not judge.relay_was_asked(again, 2, "active", at + 60)
    assert not judge.relay_was_asked(None, 3, "active", at + 60)
    put_off = replace(quiet, facts={"relay_asked_at": "2026-12-01T11:00:00+00:00"}, detail="RCPT: 450 later")
    later = judge.compare_with_last_success(put_off, last, 3)
    assert (later.code, later.facts["relay_proven"]) == ("relay.unproven", True)
    after = judge.LastSuccess(LogMetadata(config_version=3, code=later.code, facts=later.facts, detail=later.detail))
    assert judge.compare_with_last_success(quiet, after, 3).code == "ok"
    unproven = {"relay_asked_at": asked["relay_asked_at"], "relay_proven": False}
    words = LogMetadata(config_version=3, code="relay.unproven", facts=unproven, detail="RCPT: 450 later")
    found = judge.compare_with_last_success(quiet, judge.LastSuccess(words), 3)
    assert (found.code, found.detail) == ("relay.unproven", "RCPT: 450 later")


@pytest.mark.case("real F6")
@pytest.mark.parametrize(
    ("host", "helo_name", "sent"),
    [
        ("vm", "", b"[127.0.0.1]"),
        ("localhost.localdomain", "", b"[127.0.0.1]"),
        ("agent-1.example.com", "", b"agent-1.example.com"),
        ("vm", "mail.example.org", b"mail.example.org"),
        ("a b.example", "", b"[127.0.0.1]"),
    ],
)
def test_the_name_in_ehlo(monkeypatch: pytest.MonkeyPatch, host: str, helo_name: str, sent: bytes) -> None:
    """The field, else the machine's full name, else its address: never a name that no server can resolve."""
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    with raw_server(speaking({})) as server:
        check(relay(server.port, helo_name=helo_name))
        assert bytes(server.got).split(b"\r\n")[0] == b"EHLO " + sent


def test_a_connection_that_is_lost_at_the_greeting_is_no_crash() -> None:
    """The name in EHLO is asked of a transport that may be gone."""
    session = Session(SmtpProbe("127.0.0.1", 25, "none"), Network(), Trace())
    assert session._helo_name() in (b"[127.0.0.1]", socket.gethostname().encode())
    session._protocol = SimpleNamespace(transport=None)  # type: ignore[assignment]
    assert session._helo_name() in (b"[127.0.0.1]", socket.gethostname().encode())
    lost = SimpleNamespace(get_extra_info=lambda _name: None)
    session._protocol = SimpleNamespace(transport=lost)  # type: ignore[assignment]
    assert session._helo_name() in (b"[127.0.0.1]", socket.gethostname().encode())


@pytest.mark.case("real F6")
@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("550 5.7.1 <vm>: Helo command rejected: Host not found", "helo.refused"),
        ("450 4.7.1 <vm>: Helo command rejected: Host not found", "helo.refused"),
        ("501 Syntactically invalid EHLO argument(s)", "helo.refused"),
        ("550 5.7.1 Service unavailable; client [127.0.0.1] blocked", "rejected"),
        ("502 5.5.2 EHLO not implemented", "rejected"),
        ("421 4.7.0 too many connections", "temporary"),
    ],
)
def test_a_refused_name_names_the_field(reply: str, code: str) -> None:
    """A 4xx about the name never passes by itself; other refusals of EHLO are not about the name."""
    with raw_server(speaking({"EHLO": reply, "HELO": reply})) as server:
        assert check(relay(server.port)).code == code


@pytest.mark.case("F28")
@pytest.mark.parametrize("reply", ["503 bad sequence", "550 no", "421 closing", "502 no such command", "451 later"])
def test_a_refused_noop_changes_nothing(reply: str) -> None:
    """The login was accepted before."""
    replies = {"EHLO": "250-mail.example\r\n250 AUTH PLAIN", "AUTH": "235 ok", "NOOP": reply}
    with raw_server(speaking(replies)) as server:
        assert check(SmtpProbe("127.0.0.1", server.port, "none", "user", Secret("geheim"))).verdict == "healthy"


@pytest.mark.case("real F8")
@pytest.mark.parametrize("security", ["starttls", "none"])
def test_a_tls_port_is_found_in_three_seconds(ca: Authority, security: Any) -> None:
    """On demand only: a second connection makes a handshake, while the first goes on waiting."""
    with smtp_server(ca, "tls", users={"user": "geheim"}) as server:
        probe = SmtpProbe("localhost", server.port, security, "user", Secret("geheim"), ca.file)
        began = time.monotonic()
        outcome = check(probe)
        assert time.monotonic() - began < 6
        assert server.logins == []
        quiet = check(replace(probe, on_demand=False), deadline_s=3.5)
    assert (outcome.code, outcome.verdict) == ("tls.from_start", "misconfigured")
    assert quiet.code == "reply.timeout"


@pytest.mark.case("real F8")
@pytest.mark.parametrize("answers_second", [True, False])
def test_a_slow_greeting_wins(answers_second: bool) -> None:
    """A server that greets after three seconds is judged by its greeting, whatever the second connection met."""

    async def serve(reader: Any, writer: Any, server: RawServer) -> None:
        if server.connections > 1:
            if answers_second:
                writer.write(b"220 second\r\n")
            await asyncio.sleep(5)
            return
        await asyncio.sleep(3)
        await speaking({})(reader, writer, server)

    with raw_server(serve) as server:
        assert check(relay(server.port)).code == "ok"
        assert server.connections == 2


@pytest.mark.case("real F7")
@pytest.mark.parametrize("command", ["EHLO", "AUTH", "NOOP"])
@pytest.mark.parametrize("reply", ["421 4.7.1 mail Error: No client certificate presented", "530 No certificate"])
def test_a_wanted_client_certificate_is_named(ca: Authority, command: str, reply: str) -> None:
    """At any reply behind TLS, also a 4xx. After a login, NOOP decides nothing."""
    if command == "EHLO" and reply.startswith("530"):
        return
    replies = {"EHLO": "250-mail.example\r\n250 AUTH PLAIN", "AUTH": "235 ok", command: reply}
    with raw_server(speaking(replies), ca.server_context()) as server:
        outcome = check(SmtpProbe("localhost", server.port, "tls", "user", Secret("geheim"), ca.file))
    assert outcome.code == ("ok" if command == "NOOP" else "tls.client_certificate")


LETTER = TestMail("alice@ours.example", "A", "you@else.example", "Test", "Text")


@pytest.mark.case("real F4")
@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("553 5.7.1 <alice@ours.example>: Sender address rejected: not owned by user frank", "sender.refused"),
        ("550 Sender verify failed", "sender.refused"),
        ("554 5.7.1 <you@else.example>: Relay access denied", "relay.denied"),
        ("550 5.7.1 <vm>: Helo command rejected: Access denied", "helo.refused"),
        ("550 5.1.1 <you@else.example>: Recipient address rejected: User unknown", "recipient.refused"),
        ("550 5.7.1 rejected by policy", "recipient.refused"),
    ],
)
def test_a_refusal_at_rcpt_names_its_party(reply: str, code: str) -> None:
    """Postfix tells every refusal at RCPT."""
    with raw_server(speaking({"RCPT": reply})) as server:
        outcome = sent(server.port)
    assert (outcome.code, outcome.facts["smtp_step"]) == (code, "RCPT")


def sent(port: int) -> Outcome:
    return asyncio.run(send_test_mail(SmtpProbe("127.0.0.1", port, "none"), LETTER, Network(), deadline_s=5))


def test_the_address_of_this_machine_in_ipv6() -> None:
    """RFC 5321 §4.1.3 writes it with a tag."""
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with listening:
        port = listening.getsockname()[1]

        async def run() -> bytes:
            got = bytearray()

            async def serve(reader: Any, writer: Any) -> None:
                writer.write(b"220 hi\r\n")
                got.extend(await reader.readline())
                writer.write(b"421 bye\r\n")
                await writer.drain()
                writer.close()

            async with await asyncio.start_server(serve, sock=listening):
                from intctl.probes.run import run_probe

                await run_probe(SmtpProbe("::1", port, "none"), Network(), deadline_s=5)
            return bytes(got)

        assert asyncio.run(run()) == b"EHLO [IPv6:::1]\r\n"
