"""From a host name to a connected socket, and from there to TLS: dns, guard, tcp, tls."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from ssl import MemoryBIO, SSLContext, SSLObject, SSLWantReadError, SSLZeroReturnError
from typing import TypeVar

from intctl.failpoint import hit
from intctl.probes import tls
from intctl.probes.guard import is_loopback
from intctl.probes.names import Target, ascii_name
from intctl.probes.network import Network
from intctl.probes.trace import ProbeFailed, Trace

MAX_ADDRESSES = 3

#: How many bytes one read from the network may return: more than a full TLS record.
_CHUNK = 32 * 1024

P = TypeVar("P", bound=asyncio.BaseProtocol)

_CODES = {
    errno.ECONNREFUSED: "connect.refused",
    errno.ETIMEDOUT: "connect.timeout",
    errno.ECONNRESET: "connection.reset",
    errno.EMFILE: "self.no_descriptors",
    errno.ENFILE: "self.no_descriptors",
    errno.EADDRNOTAVAIL: "self.no_route",
    errno.EAFNOSUPPORT: "self.no_route",
    errno.EACCES: "self.no_route",
    errno.EPERM: "self.no_route",
    errno.ENETDOWN: "self.no_route",
}


async def connect(
    host: str, port: int, network: Network, trace: Trace, *, loopback_only: bool = False
) -> socket.socket:
    """Return a connected, non-blocking socket. It is connected to the address that passed the guard.

    With `loopback_only` any other address is refused as `http.plain`. Raises ProbeFailed.
    """
    trace.enter("dns")
    try:
        targets = await network.names.look_up(host, port)
    except ProbeFailed:
        trace.facts["host"] = host
        raise
    for target in targets:  # one refused address is enough: whoever controls the name added it on purpose
        if why := network.policy.refusal(_ip(target)):
            code = "self.denied_address" if network.policy.is_own_rule(_ip(target)) else "blocked.address"
            raise ProbeFailed(code, f"{_ip(target)} ({why})")
    if loopback_only:
        targets = [target for target in targets if is_loopback(_ip(target))]
        if not targets:
            raise ProbeFailed("http.plain")
    trace.enter("tcp")
    return await _first_to_answer(targets[:MAX_ADDRESSES], network.budgets.connect_s, trace)


async def _first_to_answer(targets: list[Target], budget_s: float, trace: Trace) -> socket.socket:
    loop = asyncio.get_running_loop()
    ends = loop.time() + budget_s
    found: list[str] = []
    for tried, target in enumerate(targets):
        trace.facts["address"] = _ip(target)
        try:
            return await _connect(target, (ends - loop.time()) / (len(targets) - tried))
        except TimeoutError:
            found.append("connect.timeout")
        except OSError as error:
            found.append(_connect_code(error, target))
    # A failure of the server says more than one of this machine (for example no IPv6).
    code = next((code for code in found if not code.startswith("self.")), found[0])
    raise ProbeFailed(code)


async def _connect(target: Target, budget_s: float) -> socket.socket:
    family, address = target
    # Named as TCP, or asyncio leaves Nagle's algorithm on: 40 ms for each small write after the first.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        hit("in_connect")
        state = sock.connect_ex(address)
        if state == errno.EINPROGRESS:  # a nearby host has replied by now: a second call saves a turn of the loop
            state = sock.connect_ex(address)
        if state in (errno.EALREADY, errno.EINPROGRESS):
            async with asyncio.timeout(budget_s):
                await asyncio.get_running_loop().sock_connect(sock, address)
        elif state not in (0, errno.EISCONN):
            raise OSError(state, "")
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_code(error: OSError, target: Target) -> str:
    if isinstance(error, TimeoutError):
        return "connect.timeout"
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return "connect.unreachable" if _has_route(target) else "self.no_route"
    return _CODES.get(error.errno or 0, "connect.unreachable")


def _has_route(target: Target) -> bool:
    """Whether this machine has a route to the address. Connecting a UDP socket sends nothing."""
    family, address = target
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(address)
        except OSError:
            return False
    return True


def _ip(target: Target) -> str:
    return target[1][0]


class Stream:
    """Bytes to and from a server over a connected socket, in plaintext or TLS.

    It uses the socket directly: asyncio's transports and its TLS protocol would cost as much CPU
    as the handshake itself. It closes without waiting for the server.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._fd = sock.fileno()  # by its number: the loop formats a repr of a socket object, which costs time
        self._loop = asyncio.get_running_loop()
        self._watched = False
        self._waiter: asyncio.Future[bytes] | None = None
        self._in, self._out = MemoryBIO(), MemoryBIO()
        self.secured: SSLObject | None = None

    async def secure(self, context: SSLContext, host: str, network: Network, trace: Trace) -> None:
        """Perform the handshake with `host`. The last message waits for the first `send`. Raises ProbeFailed."""
        trace.enter("tls")
        hit("in_tls")
        secured = context.wrap_bio(self._in, self._out, server_hostname=ascii_name(host))
        try:
            async with asyncio.timeout(network.budgets.tls_s):
                while not _done(secured):
                    await self._flush()
                    if not await self._refill():
                        raise ProbeFailed("connection.closed")
        except TimeoutError:
            raise ProbeFailed("tls.timeout") from None
        except OSError as error:
            with suppress(OSError):
                self._sock.send(self._out.read())  # the alert with the reason, for the server
            raise tls.fault(error) from None
        self.secured = secured

    async def send(self, data: bytes = b"") -> None:
        """Send `data`, after any bytes held back before. Raises ProbeFailed."""
        try:
            if self.secured is None:
                await self._put(data)
            else:
                if data:
                    self.secured.write(data)
                await self._flush()
        except OSError as error:
            raise tls.lost(error) from None

    async def receive(self) -> bytes:
        """Return the next bytes; b"" at the end. Raises ProbeFailed."""
        try:
            if self.secured is None:
                return await self._next()
            while True:
                try:
                    return self.secured.read(_CHUNK)
                except SSLWantReadError:
                    await self._flush()  # a TLS 1.2 server that renegotiates waits for this
                    if not await self._refill():
                        return b""
                except SSLZeroReturnError:
                    return b""
        except OSError as error:
            raise tls.lost(error) from None

    async def _flush(self) -> None:
        if self._out.pending:
            await self._put(self._out.read())

    async def _put(self, data: bytes) -> None:
        """Send all bytes; one call is nearly always enough."""
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            await self._loop.sock_sendall(self._sock, data[sent:])

    async def _refill(self) -> bool:
        """Read the next TLS bytes from the server; False at the end."""
        data = await self._next()
        self._in.write(data)
        return bool(data)

    async def _next(self) -> bytes:
        """The socket's next bytes. Always waits a turn of the loop: an endless reply must not block other probes."""
        if not self._watched:
            self._loop.add_reader(self._fd, self._readable)
            self._watched = True
        self._waiter = self._loop.create_future()
        return await self._waiter

    def _readable(self) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():  # no reader waits: the bytes stay in the kernel
            self._unwatch()
            return
        try:
            waiter.set_result(self._sock.recv(_CHUNK))
        except BlockingIOError:
            pass
        except OSError as error:
            waiter.set_exception(error)

    def _unwatch(self) -> None:
        if self._watched:
            self._loop.remove_reader(self._fd)
            self._watched = False

    def close(self) -> None:
        """Close at once."""
        self._unwatch()
        self._sock.close()


def _done(secured: SSLObject) -> bool:
    """Do a step of the handshake with the bytes received. Return whether it is complete."""
    try:
        secured.do_handshake()
    except SSLWantReadError:
        return False
    return True


async def stream(
    factory: Callable[[], P],
    sock: socket.socket,
    host: str,
    network: Network,
    trace: Trace,
    context: SSLContext | None = None,
) -> P:
    """Return a protocol on the connected socket, over TLS for `host` if a context is given. Raises ProbeFailed."""
    loop = asyncio.get_running_loop()
    if context is None:
        return (await loop.create_connection(factory, sock=sock))[1]
    trace.enter("tls")
    hit("in_tls")
    try:
        async with asyncio.timeout(network.budgets.tls_s):
            _, protocol = await loop.create_connection(
                factory,
                sock=sock,
                ssl=context,
                server_hostname=ascii_name(host),
                ssl_handshake_timeout=network.budgets.tls_s * 2,
            )
    except TimeoutError:
        raise ProbeFailed("tls.timeout") from None
    except OSError as error:
        raise tls.fault(error) from None
    return protocol


async def upgrade(
    transport: asyncio.WriteTransport,
    protocol: asyncio.BaseProtocol,
    host: str,
    network: Network,
    trace: Trace,
    context: SSLContext,
) -> asyncio.Transport:
    """Start TLS for `host` on a plaintext connection (STARTTLS). Raises ProbeFailed."""
    trace.enter("tls")
    try:
        async with asyncio.timeout(network.budgets.tls_s):
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                protocol,
                context,
                server_hostname=ascii_name(host),
                ssl_handshake_timeout=network.budgets.tls_s * 2,
            )
    except TimeoutError:
        raise ProbeFailed("tls.timeout") from None
    except OSError as error:
        raise tls.fault(error) from None
    if secured is None:  # the connection was lost during the handshake
        raise ProbeFailed("connection.closed")
    return secured
