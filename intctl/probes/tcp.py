"""TCP: a connection, TLS over it when asked for, and nothing said."""

from __future__ import annotations

import asyncio

from intctl.probes import tls, wire
from intctl.probes.ask import TcpProbe
from intctl.probes.network import Network
from intctl.probes.outcome import Outcome
from intctl.probes.trace import Trace


async def probe_tcp(ask: TcpProbe, network: Network, trace: Trace) -> Outcome:
    """Whether somebody takes the connection, behind a certificate that holds. Raises Fault."""
    context = tls.context(ask.ca_file) if ask.security == "tls" else None
    sock = await wire.connect(ask.host, ask.port, network, trace)
    open_ = await wire.stream(lambda: _Silent(trace), sock, ask.host, network, trace, context)
    open_.close()
    left = tls.days_left(trace, network.clock())
    if left is not None:
        return trace.outcome("tls.expires_soon", f"in {left} days, on {str(trace.facts['certificate_not_after'])[:10]}")
    return trace.outcome("ok")


class _Silent(asyncio.Protocol):
    """Notes the certificate, says nothing, and reads nothing."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        secured = transport.get_extra_info("ssl_object")
        if secured is not None:
            tls.note(secured, self._trace)

    def close(self) -> None:
        """Ends the connection without waiting for the other side."""
        if self._transport is not None:
            self._transport.abort()
