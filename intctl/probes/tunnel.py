"""A connection through a proxy: CONNECT (RFC 9110 §9.3.6), and what may be asked of it."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

from intctl.probes.http1 import Reader
from intctl.probes.network import Network
from intctl.probes.proxies import Proxy
from intctl.probes.request import Place, Request
from intctl.probes.trace import ProbeFailed, Trace
from intctl.probes.wire import Stream

#: Names of metadata services, which a proxy would look up.
_METADATA = ("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal")


async def tunnel(stream: Stream, proxy: Proxy, host: str, port: int, network: Network, trace: Trace) -> None:
    """Ask the proxy for a connection to the server. Raises ProbeFailed (`proxy.auth`, `proxy.refused`)."""
    trace.enter("proxy")
    authority = f"[{host}]:{port}".encode() if ":" in host else f"{host}:{port}".encode()
    asked = Request("CONNECT", Place(False, host, port, authority, authority), proxy.headers)
    reader = Reader(0, lambda _status: False)
    try:
        async with asyncio.timeout(network.budgets.connect_s):
            await stream.send(asked.encoded())
            while not reader.feed(await stream.receive()):
                pass
    except (ProbeFailed, TimeoutError) as found:
        why = found.code if isinstance(found, ProbeFailed) else "no answer to CONNECT"
        raise ProbeFailed("proxy.refused", f"{proxy.name}: {why}") from None
    if reader.status == 407:
        raise ProbeFailed("proxy.auth", proxy.name)
    if not 200 <= reader.status < 300 or reader.rest:
        raise ProbeFailed("proxy.refused", f"{proxy.name}: HTTP {reader.status} to CONNECT")


def judge_target(host: str, network: Network) -> None:
    """Judge a server that a proxy would look up. Raises ProbeFailed.

    An address is judged as on a direct way. With INTCTL_DENY_NETWORKS a name could lead to a denied network.
    """
    try:
        address = str(ip_address(host.strip("[]")))
    except ValueError:
        address = ""
    if address:
        if why := network.policy.refusal(address):
            code = "self.denied_address" if network.policy.is_own_rule(address) else "blocked.address"
            raise ProbeFailed(code, f"{address} ({why})")
    elif host.lower().rstrip(".") in _METADATA:
        raise ProbeFailed("blocked.address", f"{host} (cloud metadata)")
    elif network.policy.deny:
        raise ProbeFailed("self.proxy_policy")
