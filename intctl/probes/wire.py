"""From a host name to a connected socket, and from there to TLS: dns, guard, tcp, tls."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from ssl import SSLContext
from typing import TypeVar

from intctl.failpoint import reach
from intctl.probes import tls
from intctl.probes.guard import is_loopback
from intctl.probes.names import Target, ascii_name
from intctl.probes.network import Network
from intctl.probes.trace import Fault, Trace

MAX_ADDRESSES = 3

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
    """A connected, non-blocking socket. The address that passed the guard is the one connected to.

    With `loopback_only` any other address is refused as `http.plain`. Raises Fault.
    """
    trace.enter("dns")
    targets = await network.names.look_up(host, port)
    allowed = [target for target in targets if not network.policy.refusal(_ip(target))]
    if not allowed:
        raise Fault("blocked.address", f"{_ip(targets[0])} ({network.policy.refusal(_ip(targets[0]))})")
    if loopback_only:
        allowed = [target for target in allowed if is_loopback(_ip(target))]
        if not allowed:
            raise Fault("http.plain")
    trace.enter("tcp")
    return await _first_to_answer(allowed[:MAX_ADDRESSES], network.budgets.connect_s, trace)


async def _first_to_answer(targets: list[Target], budget_s: float, trace: Trace) -> socket.socket:
    loop = asyncio.get_running_loop()
    ends = loop.time() + budget_s
    found: list[str] = []
    for tried, target in enumerate(targets):
        share = (ends - loop.time()) / (len(targets) - tried)
        trace.facts["address"] = _ip(target)
        try:
            async with asyncio.timeout(share):
                return await _connect(target)
        except TimeoutError:
            found.append("connect.timeout")
        except OSError as error:
            found.append(_connect_code(error, target))
    # What the other side said tells more than what this machine lacks (no IPv6, say).
    code = next((code for code in found if not code.startswith("self.")), found[0])
    raise Fault(code)


async def _connect(target: Target) -> socket.socket:
    family, address = target
    # Named as TCP, or asyncio leaves Nagle's algorithm on: 40 ms for each small write after the first.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setblocking(False)
    try:
        reach("in_connect")
        await asyncio.get_running_loop().sock_connect(sock, address)
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
    """Whether this machine knows a way there at all. Connecting a UDP socket sends nothing."""
    family, address = target
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(address)
        except OSError:
            return False
    return True


def _ip(target: Target) -> str:
    return target[1][0]


async def stream(
    factory: Callable[[], P],
    sock: socket.socket,
    host: str,
    network: Network,
    trace: Trace,
    context: SSLContext | None = None,
) -> P:
    """A protocol on the connected socket, behind TLS for `host` when a context is given. Raises Fault."""
    loop = asyncio.get_running_loop()
    if context is None:
        return (await loop.create_connection(factory, sock=sock))[1]
    trace.enter("tls")
    reach("in_tls")
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
        raise Fault("tls.timeout") from None
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
    """TLS for `host` on a connection that spoke in clear until now (STARTTLS). Raises Fault."""
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
        raise Fault("tls.timeout") from None
    except OSError as error:
        raise tls.fault(error) from None
    if secured is None:  # the connection was lost during the handshake
        raise Fault("connection.closed")
    return secured
