"""Real servers on loopback for the tests: SMTP and HTTP, plaintext and TLS, each in a thread of its own.

    with authority() as ca, smtp_server(ca, "starttls", users={"apikey": "pw"}) as server:
        ...  # server.host, server.port, server.logins, server.mails

`ca.file` is a value for `ca_file`. A server keeps everything that it received.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import trustme

logging.getLogger("mail.log").setLevel(logging.ERROR)

HOST = "127.0.0.1"
#: The default names of certificates.
NAMES = ("localhost", "127.0.0.1", "::1")

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Authority:
    """A certificate authority for one test. `file` is its certificate, as PEM."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA(organization_name="Test Authority")
        self.file = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def server_context(
        self,
        *names: str,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        client_authority: Authority | None = None,
    ) -> ssl.SSLContext:
        """A server's context with a certificate for `names`; `client_authority` requires a client certificate."""
        issued = self._ca.issue_cert(*(names or NAMES), not_before=not_before, not_after=not_after)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        if client_authority is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            client_authority._ca.configure_trust(context)
        return context

    def client_certificate(self, name: str = "client.example") -> tuple[str, str]:
        """Certificate chain and private key for a client, both PEM text."""
        issued = self._ca.issue_cert(name, common_name=name)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return chain.decode(), issued.private_key_pem.bytes().decode()


@contextmanager
def authority() -> Iterator[Authority]:
    """A new authority, whose file is deleted at the end."""
    with tempfile.TemporaryDirectory() as folder:
        yield Authority(Path(folder))


def in_days(days: float) -> datetime:
    """The time `days` from now."""
    return datetime.now(UTC) + timedelta(days=days)


class Serving:
    """A listening server in its own thread and loop."""

    def __init__(self) -> None:
        self.host = HOST
        self.port = 0
        self._loop = asyncio.new_event_loop()
        #: Every connection, to be closed at the end.
        self.transports: list[asyncio.BaseTransport | None] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self, make: Callable[[asyncio.AbstractEventLoop, socket.socket], Awaitable[asyncio.Server]]) -> None:
        """Listen on a free port, with the server that `make` builds on the socket."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio leaves Nagle on
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, 0))
        sock.listen(512)
        self.port = sock.getsockname()[1]
        self._thread.start()
        self._server = self._call(make(self._loop, sock))

    def _call(self, work: Awaitable[Any]) -> Any:
        async def run() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def stop(self) -> None:
        """Close the socket and every connection, and wait for the thread."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for transport in self.transports:
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):  # transports close on the loop's next turns
            await asyncio.sleep(0)


# --- SMTP


@dataclass
class Mail:
    """A mail that arrived."""

    sender: str
    recipients: list[str]
    content: bytes


class SmtpServer(Serving):
    """An SMTP server with its `logins` as (method, user, password, accepted), and its `mails`."""

    def __init__(self, users: Mapping[str, str]) -> None:
        super().__init__()
        self.users = dict(users)
        self.logins: list[tuple[str, str, str, bool]] = []
        self.mails: list[Mail] = []
        #: Recipients and senders to reject, with the reply.
        self.refuse_recipients: dict[str, str] = {}
        self.refuse_senders: dict[str, str] = {}

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, mechanism: str, data: Any) -> Any:
        """Check a login for aiosmtpd."""
        from aiosmtpd.smtp import AuthResult

        user, password = data.login.decode(), data.password.decode()
        right = self.users.get(user) == password
        self.logins.append((mechanism, user, password, right))
        return AuthResult(success=right, handled=False)

    async def handle_MAIL(self, _server: Any, _session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refuse_senders:
            return self.refuse_senders[address]
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refuse_recipients:
            return self.refuse_recipients[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.mails.append(Mail(envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return "250 OK queued as 1"


@contextmanager
def smtp_server(
    ca: Authority | None = None,
    security: str = "starttls",
    *,
    users: Mapping[str, str] | None = None,
    context: ssl.SSLContext | None = None,
    only: str = "",
) -> Iterator[SmtpServer]:
    """A mail server: security is "starttls", "tls" or "none". `only` leaves one AUTH method, such as "LOGIN"."""
    from aiosmtpd.smtp import SMTP

    server = SmtpServer(users or {})
    if context is None and security != "none":
        assert ca is not None
        context = ca.server_context()
    excluded = [name for name in ("PLAIN", "LOGIN") if only and name != only.upper()]

    class Protocol(SMTP):
        def connection_made(self, transport: Any) -> None:
            server.transports.append(transport)
            super().connection_made(transport)

    def protocol() -> Any:
        return Protocol(
            server,
            hostname="mail.example",
            ident="ESMTP of the tests",  # aiosmtpd would send its version, which golden files must not contain
            tls_context=context if security == "starttls" else None,
            require_starttls=security == "starttls",
            auth_required=bool(server.users) and security == "starttls",
            auth_require_tls=security == "starttls",
            authenticator=server.authenticate,
            auth_exclude_mechanism=excluded,
            timeout=30,
            loop=server._loop,
        )

    async def listen(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> asyncio.Server:
        return await loop.create_server(protocol, sock=sock, ssl=context if security == "tls" else None)

    server.start(listen)
    try:
        yield server
    finally:
        server.stop()


# --- HTTP


@dataclass
class Request:
    """A request to an HTTP server."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass
class Answer:
    """A reply of an HTTP server: `body` is sent as JSON unless it is bytes."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def written(self, method: str) -> bytes:
        data = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {
            "Date": formatdate(usegmt=True),
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + (b"" if method == "HEAD" else data)


Route = Answer | Callable[[Request], Answer] | list[Answer]


class HttpServer(Serving):
    """`routes` maps a path to its reply, a function that makes it, or a list used in order (the last one repeats)."""

    def __init__(self, routes: Mapping[str, Route], secure: bool) -> None:
        super().__init__()
        self.routes = dict(routes)
        self.requests: list[Request] = []
        self._scheme = "https" if secure else "http"

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"{self._scheme}://{self.host}:{self.port}"

    def answer(self, request: Request) -> Answer:
        route = self.routes.get(request.path, Answer(404, {"error": "no such route"}))
        if isinstance(route, list):
            route = route.pop(0) if len(route) > 1 else route[0]
        return route if isinstance(route, Answer) else route(request)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.transports.append(writer.transport)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip().split("\r\n")
            method, target, _ = first.split(" ")
            pairs = (line.partition(":") for line in lines)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            request = Request(method, target, headers, body)
            self.requests.append(request)
            writer.write(self.answer(request).written(method))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@contextmanager
def http_server(
    routes: Mapping[str, Route], ca: Authority | None = None, *, context: ssl.SSLContext | None = None
) -> Iterator[HttpServer]:
    """An HTTP server, or an HTTPS server if an authority or a context is given."""
    if context is None and ca is not None:
        context = ca.server_context()
    server = HttpServer(routes, context is not None)

    async def listen(_loop: asyncio.AbstractEventLoop, sock: socket.socket) -> asyncio.Server:
        return await asyncio.start_server(server.serve, sock=sock, ssl=context)

    server.start(listen)
    try:
        yield server
    finally:
        server.stop()


# --- Anything else


class RawServer(Serving):
    """A server controlled by its handler; `got` has every byte that any client sent, through `tap`."""

    def __init__(self) -> None:
        super().__init__()
        self.got = bytearray()
        self.connections = 0


@contextmanager
def raw_server(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter, RawServer], Awaitable[None]],
    context: ssl.SSLContext | None = None,
) -> Iterator[RawServer]:
    """A server with the test's own handler. The connection is closed when the handler returns."""
    server = RawServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        server.transports.append(writer.transport)
        try:
            await handler(reader, writer, server)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def listen(_loop: asyncio.AbstractEventLoop, sock: socket.socket) -> asyncio.Server:
        return await asyncio.start_server(serve, sock=sock, ssl=context)

    server.start(listen)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def blocking_tls_server(context: ssl.SSLContext) -> Iterator[int]:
    """The port of a TLS server that sends no data but TLS alerts, which asyncio's servers swallow."""
    listening = socket.create_server((HOST, 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            sock.settimeout(5)
            with context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False) as secured:
                with suppress(OSError):
                    secured.do_handshake()
                    secured.recv(4096)
                with suppress(OSError):  # closing before reading the received data would lose the alert
                    secured.shutdown(socket.SHUT_WR)
                    while secured.recv(4096):
                        pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10)
