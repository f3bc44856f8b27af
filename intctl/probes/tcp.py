"""TCP: a connection, and TLS over it if configured. No data is sent."""

from __future__ import annotations

from intctl.health.outcome import Outcome
from intctl.probes import tls, wire
from intctl.probes.network import Network
from intctl.probes.spec import TcpProbe
from intctl.probes.trace import Trace


async def probe_tcp(probe: TcpProbe, network: Network, trace: Trace) -> Outcome:
    """Connect, and verify the certificate if TLS is configured. Raises ProbeFailed."""
    trace.facts["takes_credential"] = False
    context = tls.context(probe.ca_file) if probe.security == "tls" else None
    stream = wire.Stream(await wire.connect(probe.host, probe.port, network, trace))
    try:
        if context is not None:
            await stream.secure(context, probe.host, network, trace)
            assert stream.secured is not None
            tls.note(stream.secured, trace)
            await stream.send()
    finally:
        stream.close()
    left = tls.days_left(trace, network.clock())
    if left is not None:
        return trace.outcome("tls.expires_soon", tls.ends(trace, left))
    return trace.outcome("ok")
