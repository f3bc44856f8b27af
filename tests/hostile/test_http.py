"""HTTP against hostile servers: verdict, code, phase, and an end by the deadline."""

from __future__ import annotations

import asyncio
import gzip
import resource
import socket
import time
from contextlib import ExitStack
from typing import Any

import pytest

from intctl.probes.run import Network, run_probe
from intctl.probes.spec import Bearer, HttpProbe
from intctl.text import Secret
from tests.hostile.servers import Handler, drips, floods, hangs_up, resets, says, silent
from tests.probes import brief, check
from tests.servers import raw_server

TOKEN = Bearer(Secret("tok-geheim-123"))
DEADLINE_S = 1.5
#: The limit of every wait in the tests; a probe that reaches it hung.
GENEROUS_S = 8.0

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BOMB = gzip.compress(b'{"ok": "' + b"0" * 20_000_000 + b'"}')


def _found(handler: Handler, **changes: Any) -> Any:
    started = time.monotonic()
    with raw_server(handler) as server:
        outcome = check(HttpProbe(f"http://127.0.0.1:{server.port}/", TOKEN, **changes), deadline_s=DEADLINE_S)
    assert time.monotonic() - started < GENEROUS_S
    assert "geheim" not in repr(outcome)
    return outcome


CASES: list[tuple[str, Handler, str, str, str]] = [
    ("T2 silent", silent(), "down", "reply.timeout", "api"),
    ("H1 dripped headers", drips(b"X-A: b\r\n", first=b"HTTP/1.1 200 OK\r\n"), "down", "deadline", "api"),
    ("H1 dripped status", drips(b"HTTP/1.1 200 OK\r\n"), "down", "deadline", "api"),
    ("H1 dripped 100 Continue", drips(b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.001), "down", "deadline", "api"),
    ("H1 endless 100 Continue", floods(b"HTTP/1.1 100 Continue\r\n\r\n" * 99), "down", "protocol.error", "api"),
    ("H2 dripped body", drips(b" ", first=HEAD + b"Content-Length: 999\r\n\r\n{"), "down", "deadline", "api"),
    ("H3 endless headers", floods(b"X-A: b\r\n" * 99, first=b"HTTP/1.1 200 OK\r\n"), "down", "protocol.error", "api"),
    ("H3 endless header", floods(b"a" * 9999, first=b"HTTP/1.1 200 OK\r\nX: "), "down", "protocol.error", "api"),
    ("H4 endless body", floods(b'{"a": 1}' * 999, first=HEAD + b"\r\n"), "healthy", "ok", "api"),
    ("H4 endless web page", floods(b"<p>" * 999, first=HEAD + b"\r\n<html>"), "down", "unexpected.reply", "api"),
    ("H4 endless 500", floods(b"x" * 9999, first=b"HTTP/1.1 500 no\r\n\r\n"), "down", "server.error", "api"),
    (
        "H4 endless chunks",
        floods(b"1\r\n{\r\n" * 999, first=HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
        "healthy",
        "ok",
        "api",
    ),
    (
        "H4 endless chunk header",
        floods(b"0" * 9999, first=HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
        "down",
        "protocol.error",
        "api",
    ),
    ("H5 gzip bomb", says(HEAD + b"Content-Encoding: gzip\r\n\r\n" + BOMB), "healthy", "ok", "api"),
    ("H10 random bytes", says(bytes(range(128, 256)) * 4, b"\r\n\r\n"), "down", "protocol.error", "api"),
    ("H10 random bytes, held", says(b"\x00\xff" * 64, hold=True), "down", "protocol.error", "api"),
    ("H10 SMTP banner", says(b"220 mail.example\r\n", listen=False, hold=True), "down", "protocol.error", "api"),
    ("H10 status 2000", says(b"HTTP/1.1 2000 OK\r\n\r\n"), "down", "protocol.error", "api"),
    ("H10 TLS alert", hangs_up(b"\x15\x03\x03\x00\x02\x02\x46"), "down", "protocol.error", "api"),
    ("H11 odd reason", says(b"HTTP/1.1 500 \x1b[31m\x07\x9b\r\n\r\n"), "down", "server.error", "api"),
    ("H11 broken gzip", says(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"), "healthy", "ok", "api"),
    (
        "H11 bad charset",
        says(b"HTTP/1.1 401 no\r\nContent-Type: x/y;charset=\xff\r\n\r\n\xff\xfe"),
        "misconfigured",
        "http.auth.rejected",
        "api",
    ),
    ("lying length", says(HEAD + b"Content-Length: 999\r\n\r\n{}"), "down", "connection.closed", "api"),
    ("two lengths", says(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} "), "down", "protocol.error", "api"),
    ("negative length", says(HEAD + b"Content-Length: -2\r\n\r\n{}"), "down", "protocol.error", "api"),
    ("closes at once", hangs_up(), "down", "connection.closed", "api"),
    ("closes after the request", says(), "down", "connection.closed", "api"),
    ("closes in the headers", says(b"HTTP/1.1 200 OK\r\nX-"), "down", "connection.closed", "api"),
    ("resets", resets(), "down", "connection.reset", "api"),
    ("resets in the headers", resets(b"HTTP/1.1 200 OK\r\nX-"), "down", "connection.reset", "api"),
    ("only 1xx", says(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", hold=True), "down", "deadline", "api"),
    ("switches protocols", says(b"HTTP/1.1 101 no\r\nUpgrade: x\r\n\r\n", hold=True), "down", "protocol.error", "api"),
]


@pytest.mark.parametrize(
    ("handler", "verdict", "code", "phase"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_a_hostile_http_server(handler: Handler, verdict: str, code: str, phase: str) -> None:
    """Whatever the server does, the probe ends by its deadline with the right verdict, code and phase."""
    outcome = _found(handler)
    assert (outcome.verdict, outcome.code, outcome.phase) == (verdict, code, phase)


def test_a_body_that_nobody_needs_is_not_waited_for() -> None:
    """H2: if the status is enough, a slow body does not change the verdict."""
    outcome = _found(drips(b" ", first=HEAD + b"Content-Length: 999\r\n\r\n{"), json=False)
    assert (outcome.verdict, outcome.code) == ("healthy", "ok")
    outcome = _found(drips(b" ", first=b"HTTP/1.1 401 no\r\n\r\n"))
    assert (outcome.verdict, outcome.code) == ("misconfigured", "http.auth.rejected")


UNREADABLE = [
    floods(b'{"a": 1}' * 999, first=HEAD + b"\r\n"),
    says(HEAD + b"Content-Encoding: br\r\n\r\n" + gzip.compress(b'{"ok": 1}')),
    says(HEAD + b"Content-Encoding: gzip\r\n\r\n" + b'{"ok": 1}'),
    says(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b" " * 10**8 + b'{"ok": 1}')),
]


@pytest.mark.parametrize("handler", UNREADABLE)
def test_what_cannot_be_read_proves_nothing(handler: Handler) -> None:
    """H4, H5: if a value in the body is required, a cut or compressed body is not healthy."""
    assert _found(handler, expect_json={"/ok": 1}).code == "unexpected.reply"


def test_a_body_in_crumbs_is_cut() -> None:
    """After some thousands of one-byte chunks, which cost CPU, the body counts as too long."""
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    outcome = _found(says(head + b"1\r\n{\r\n" * 5000 + b"0\r\n\r\n"), require=("/x",))
    assert (outcome.code, outcome.detail) == ("unexpected.reply", "it is longer than 64 KiB")


def test_a_transient_failure_is_tried_once_more() -> None:
    """A reset is retried once within the deadline, and the outcome says so."""
    handlers = [resets(), says(HEAD + b"Content-Length: 2\r\n\r\n{}")]

    async def handler(reader: Any, writer: Any, server: Any) -> None:
        await handlers.pop(0)(reader, writer, server)

    outcome = _found(handler)
    assert (outcome.code, outcome.facts["attempts"]) == ("ok", 2)
    with raw_server(resets()) as server:
        outcome = check(HttpProbe(f"http://127.0.0.1:{server.port}/", TOKEN), deadline_s=DEADLINE_S)
        assert server.connections == 2
    with raw_server(says(b"HTTP/1.1 500 no\r\n\r\n")) as server:
        outcome = check(HttpProbe(f"http://127.0.0.1:{server.port}/", TOKEN), deadline_s=DEADLINE_S)
        assert (server.connections, "attempts" in outcome.facts) == (1, False)


def test_nothing_listens() -> None:
    """T1: a refused connection is reported at once, without a retry."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = check(HttpProbe(f"http://127.0.0.1:{port}/", TOKEN))
    assert (outcome.verdict, outcome.code, outcome.phase) == ("down", "connect.refused", "tcp")
    assert "attempts" not in outcome.facts


def test_a_connection_that_is_never_answered() -> None:
    """T1: a listener with a full queue drops connections; the connection's time budget ends the wait."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        held = []
        for _ in range(3):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            held.append(sock)
        outcome = check(HttpProbe(f"http://127.0.0.1:{port}/", TOKEN), network=brief(0.2))
        for sock in held:
            sock.close()
    assert (outcome.verdict, outcome.code, outcome.phase) == ("down", "connect.timeout", "tcp")
    assert outcome.facts["attempts"] == 2


def test_all_of_them_at_once() -> None:
    """Probing every hostile server at the same time uses little memory and leaves no connection open."""
    with ExitStack() as stack:
        ports = [stack.enter_context(raw_server(case[1])).port for case in CASES]

        async def run() -> tuple[list[str], int]:
            network = Network()
            probes = [HttpProbe(f"http://127.0.0.1:{port}/", TOKEN) for port in ports]
            await run_probe(probes[0], network, deadline_s=0.1)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            outcomes = await asyncio.gather(*(run_probe(probe, network, deadline_s=2.0) for probe in probes))
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for _ in range(5):
                await asyncio.sleep(0)
            assert [fd for port in ports for fd in _sockets_to(port)] == []
            assert len(asyncio.all_tasks()) == 1
            return [outcome.code for outcome in outcomes], after - before

        codes, grown_kib = asyncio.run(run())
    assert "self.crash" not in codes
    assert grown_kib < 64 * 1024


@pytest.mark.parametrize("handler", [silent(), drips(b"X-A: b\r\n", first=b"HTTP/1.1 200 OK\r\n")])
def test_a_cancelled_probe_closes_its_connection(handler: Handler) -> None:
    """Cancelling passes through, and the descriptors are as before."""

    async def run(port: int) -> None:
        before = len(_sockets_to(port))
        task = asyncio.create_task(run_probe(HttpProbe(f"http://127.0.0.1:{port}/", TOKEN), Network()))
        while len(_sockets_to(port)) == before:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(_sockets_to(port)) == before

    with raw_server(handler) as server:
        asyncio.run(run(server.port))


def _sockets_to(port: int) -> list[str]:
    """This process's own ends of connections to that port."""
    import psutil

    found = psutil.Process().net_connections("tcp")
    return [str(one.fd) for one in found if one.raddr and one.raddr.port == port and one.fd != -1]
