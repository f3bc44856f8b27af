"""HTTPS against servers with a wrong certificate, an old protocol or none: nothing is sent, the cause is reported."""

from __future__ import annotations

import asyncio
import ssl
import time
import warnings
from typing import Any

import pytest

from intctl.probes.run import Network, run_probe
from intctl.probes.spec import Bearer, HttpProbe
from intctl.text import Secret
from tests.hostile.servers import Handler, drips, hangs_up, resets, says, silent
from tests.probes import brief, check
from tests.servers import Answer, Authority, authority, blocking_tls_server, http_server, in_days, raw_server

TOKEN = Bearer(Secret("tok-geheim-123"))
ROUTES = {"/": Answer(200, {})}

CERTIFICATES: list[tuple[str, tuple[str, ...], tuple[float, float], str, str]] = [
    ("L1 expired", (), (-30, -2), "tls.expired", f"it expired on {in_days(-2):%Y-%m-%d}"),
    ("L1 not yet valid", (), (2, 30), "tls.not_yet_valid", f"it is valid from {in_days(2):%Y-%m-%d}"),
    ("L2 other name", ("a.example", "b.example"), (-1, 30), "tls.wrong_host", "it is valid for a.example, b.example"),
    ("L2 other address", ("127.0.0.9",), (-1, 30), "tls.wrong_host", "it is valid for 127.0.0.9"),
]


@pytest.mark.parametrize(
    ("names", "days", "code", "words"), [case[1:] for case in CERTIFICATES], ids=[case[0] for case in CERTIFICATES]
)
def test_a_wrong_certificate(ca: Authority, names: Any, days: tuple[float, float], code: str, words: str) -> None:
    """The request is not sent, and the outcome describes the certificate."""
    context = ca.server_context(*names, not_before=in_days(days[0]), not_after=in_days(days[1]))
    with http_server(ROUTES, context=context) as server:
        outcome = check(HttpProbe(server.url + "/", TOKEN, ca_file=ca.file))
        assert server.requests == []
    assert (outcome.verdict, outcome.code, outcome.phase) == ("down", code, "tls")
    assert outcome.detail == words
    assert "attempts" not in outcome.facts


def test_an_authority_that_is_not_trusted(ca: Authority) -> None:
    """L2: a certificate of another authority is refused; its issuer is named."""
    with authority() as other, http_server(ROUTES, other) as server:
        for ca_file in (None, ca.file):
            outcome = check(HttpProbe(server.url + "/", TOKEN, ca_file=ca_file))
            assert (outcome.verdict, outcome.code, outcome.phase) == ("down", "tls.untrusted", "tls")
            assert outcome.detail.endswith("issued by Test Authority")
        assert server.requests == []


def test_a_certificate_that_ends_soon(ca: Authority) -> None:
    """L3: less than 14 days left is a warning with the days, on the clock that the pass was given."""
    context = ca.server_context(not_after=in_days(40))
    with http_server(ROUTES, context=context) as server:
        probe = HttpProbe(server.url + "/", TOKEN, ca_file=ca.file)
        assert check(probe).code == "ok"
        later = check(probe, network={"clock": lambda: time.time() + 30.5 * 86400})
    assert (later.verdict, later.code, later.phase) == ("degraded", "tls.expires_soon", "api")
    assert later.detail == f"in 9 days, on {in_days(40):%Y-%m-%d}"


def test_a_protocol_that_is_too_old(ca: Authority) -> None:
    """A server with nothing newer than TLS 1.1 is reported as too old."""
    context = ca.server_context()
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # else OpenSSL offers no old protocol, and ends in another alert
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with blocking_tls_server(context) as port:
        outcome = check(HttpProbe(f"https://127.0.0.1:{port}/", TOKEN, ca_file=ca.file))
    assert (outcome.verdict, outcome.code, outcome.phase) == ("down", "tls.too_old", "tls")


@pytest.mark.parametrize(
    ("handler", "verdict", "code"),
    [
        (silent(), "down", "tls.timeout"),
        (drips(b"\x16\x03\x03\x40\x00", listen=False), "down", "tls.timeout"),
        (says(b"HTTP/1.1 400 Bad Request\r\n\r\n", listen=False, hold=True), "misconfigured", "tls.not_spoken"),
        (says(b"220 mail.example ESMTP\r\n", listen=False, hold=True), "misconfigured", "tls.not_spoken"),
        (says(b"\x00\xff" * 99, listen=False, hold=True), "misconfigured", "tls.not_spoken"),
        (says(b"\x15\x03\x03\x00\x02\x02\x28", listen=False, hold=True), "down", "tls.handshake_failed"),
        (hangs_up(), "down", "connection.closed"),
        (resets(), "down", "connection.reset"),
    ],
    ids=["silent", "dripping", "HTTP", "SMTP", "noise", "alert", "hangs up", "resets"],
)
def test_what_speaks_no_tls(handler: Handler, verdict: str, code: str) -> None:
    """L5, L6: plaintext, noise, silence or a closed connection on a TLS port end in the tls phase, without a secret."""
    with raw_server(handler) as server:
        outcome = check(HttpProbe(f"https://127.0.0.1:{server.port}/", TOKEN), network=brief(0.3))
        assert b"geheim" not in bytes(server.got)
    assert (outcome.verdict, outcome.code, outcome.phase) == (verdict, code, "tls")


def test_a_handshake_under_way_is_cancelled_cleanly() -> None:
    """Cancelling in the middle of a handshake passes through and leaves no task behind."""

    async def run(port: int) -> None:
        task = asyncio.create_task(run_probe(HttpProbe(f"https://127.0.0.1:{port}/", TOKEN), Network()))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) == 1

    with raw_server(silent()) as server:
        asyncio.run(run(server.port))
