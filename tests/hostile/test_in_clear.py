"""Six attacks on a password before TLS: not one byte of a login is sent in plaintext.

Every byte that the probe sends goes through a tap in front of the server.
"""

from __future__ import annotations

import asyncio
import base64
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from intctl.probes.spec import SmtpProbe
from intctl.text import Secret
from tests.hostile.servers import mail
from tests.probes import brief, check
from tests.servers import Authority, RawServer, in_days, raw_server, smtp_server

USER, PASSWORD = "user1", "geheim-pässwort"
#: Every form in which a login could be read on the wire.
FORMS = {
    "password": PASSWORD.encode(),
    "password, base64": base64.b64encode(PASSWORD.encode()),
    "user, base64": base64.b64encode(USER.encode()),
    "AUTH PLAIN": base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()),
    "AUTH": b"AUTH ",
}
NO_TLS = b"250-mail.example\r\n250 AUTH PLAIN LOGIN CRAM-MD5\r\n"


@contextmanager
def tapped(port: int) -> Iterator[RawServer]:
    """A wire to this port; `got` has every byte that went there."""

    async def handler(reader: StreamReader, writer: StreamWriter, server: RawServer) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        server.transports.append(there_writer.transport)

        async def pump(source: StreamReader, sink: StreamWriter, tap: bytearray | None) -> None:
            with suppress(OSError):
                while data := await source.read(4096):
                    if tap is not None:
                        tap += data
                    sink.write(data)
                    await sink.drain()
            sink.close()

        try:
            await asyncio.gather(pump(reader, there_writer, server.got), pump(there_reader, writer, None))
        finally:
            there_writer.close()

    with raw_server(handler) as server:
        yield server


def _leaks(server: RawServer) -> list[str]:
    return [name for name, form in FORMS.items() if form.lower() in bytes(server.got).lower()]


def _bad_certificate(ca: Authority) -> Any:
    return smtp_server(
        users={USER: PASSWORD}, context=ca.server_context(not_before=in_days(-30), not_after=in_days(-2))
    )


def _raw(*replies: tuple[bytes, bytes | None]) -> Any:
    return lambda _ca: raw_server(mail(replies))


CASES: list[tuple[str, Any, str, str, str]] = [
    ("S5 STARTTLS stripped", _raw((b"EHLO", NO_TLS), (b"AUTH", b"235 ok\r\n")), "starttls", "down", "starttls.missing"),
    (
        "S6 STARTTLS refused",
        _raw((b"STARTTLS", b"454 not now\r\n"), (b"AUTH", b"235 ok\r\n")),
        "starttls",
        "down",
        "starttls.refused",
    ),
    (
        "S7 injected after 220",
        _raw((b"STARTTLS", b"220 go\r\n250-x\r\n250 AUTH PLAIN\r\n"), (b"AUTH", b"235 ok\r\n")),
        "starttls",
        "down",
        "starttls.injection",
    ),
    ("S8 bad certificate", _bad_certificate, "starttls", "down", "tls.expired"),
    ("S8 plain banner on 465", _raw((b"AUTH", b"235 ok\r\n")), "tls", "misconfigured", "tls.not_spoken"),
    (
        "S10 AUTH offered before TLS",
        _raw(
            (b"EHLO", b"250-hi\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n"),
            (b"STARTTLS", b"220 go\r\n"),
            (b"AUTH", b"235 ok\r\n"),
        ),
        "starttls",
        "misconfigured",
        "tls.not_spoken",
    ),
]


@pytest.mark.parametrize(
    ("make", "security", "verdict", "code"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_no_credential_in_clear(ca: Authority, make: Any, security: Any, verdict: str, code: str) -> None:
    """With TLS stripped, refused or injected, or plaintext offered, the login waits for verified TLS."""
    with ExitStack() as stack:
        server = stack.enter_context(tapped(stack.enter_context(make(ca)).port))
        probe = SmtpProbe("localhost", server.port, security, USER, Secret(PASSWORD), ca.file)
        outcome = check(probe, network=brief(1.0), deadline_s=5.0)
        assert server.got
        assert _leaks(server) == []
    assert (outcome.verdict, outcome.code) == (verdict, code)


def test_behind_tls_the_login_is_sent_and_hidden(ca: Authority) -> None:
    """A valid server gets the login, and the tap sees none of it."""
    with smtp_server(ca, users={USER: PASSWORD}) as mailserver, tapped(mailserver.port) as server:
        outcome = check(SmtpProbe("localhost", server.port, "starttls", USER, Secret(PASSWORD), ca.file))
        assert outcome.code == "ok" and len(mailserver.logins) == 1
        assert _leaks(server) == []


def test_the_tap_would_have_seen_it(ca: Authority) -> None:
    """With `security: none` the login is in plaintext, and the tap finds it."""
    with raw_server(mail([(b"AUTH", b"235 ok\r\n")])) as mailserver, tapped(mailserver.port) as server:
        assert check(SmtpProbe("localhost", server.port, "none", USER, Secret(PASSWORD))).code == "ok"
        assert _leaks(server) == ["AUTH PLAIN", "AUTH"]


@pytest.mark.case("security 26")
@pytest.mark.parametrize("code", [421, 432, 450, 454, 500, 501, 502, 503, 504, 530, 534, 535, 538, 550, 554])
@pytest.mark.parametrize("when", ["at once", "after the challenge"])
def test_a_refused_challenge_does_not_bring_out_the_password(code: int, when: str) -> None:
    """Whatever is the answer to CRAM-MD5 over plaintext, the password is not sent by PLAIN or LOGIN in that check."""
    refusal = b"%d not available\r\n" % code
    at_once = [(b"AUTH CRAM-MD5", refusal)]
    later = [(b"AUTH CRAM-MD5", b"334 " + base64.b64encode(b"<1@mail.example>") + b"\r\n"), (b"", refusal)]
    script = [(b"EHLO", NO_TLS), (b"AUTH PLAIN", b"235 ok\r\n"), (b"AUTH LOGIN", b"334 VXNlcm5hbWU6\r\n")]
    script += at_once if when == "at once" else later
    with raw_server(mail(script)) as mailserver, tapped(mailserver.port) as server:
        outcome = check(SmtpProbe("localhost", server.port, "none", USER, Secret(PASSWORD)))
        assert b"AUTH CRAM-MD5" in bytes(server.got)
        assert set(_leaks(server)) <= {"AUTH"}
    assert outcome.verdict != "healthy"
