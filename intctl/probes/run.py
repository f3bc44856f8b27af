"""The entry point of the probes: runs one probe and returns its outcome within a deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intctl.health.outcome import Outcome
from intctl.probes.network import Budgets, Network
from intctl.probes.spec import HttpProbe, NoProbe, Probe, SmtpProbe, TcpProbe
from intctl.probes.trace import Trace, bounded

if TYPE_CHECKING:
    from intctl.probes.auth import TokenStore

__all__ = ("Budgets", "Network", "run_probe")


async def run_probe(
    probe: Probe, network: Network, *, deadline_s: float = 20.0, tokens: TokenStore | None = None
) -> Outcome:
    """Run a probe and return its outcome within `deadline_s` seconds.

    A timeout or a reset is retried once within the same deadline (`facts["attempts"]`). Raises
    only CancelledError: a bug in a probe becomes the outcome `self.crash`. `tokens` stores the
    tokens of an OAuth exchange; without it a rotated refresh token is lost.
    """
    if isinstance(probe, NoProbe):
        return Outcome("self.no_probe")
    # Protocol libraries are imported by the first probe that needs them.
    if isinstance(probe, SmtpProbe):
        from intctl.probes.smtp import probe_smtp

        smtp = probe

        async def attempt(trace: Trace) -> Outcome:
            return await probe_smtp(smtp, network, trace, tokens)

        return await bounded(attempt, deadline_s, retry=True)
    if isinstance(probe, TcpProbe):
        from intctl.probes.tcp import probe_tcp

        tcp = probe

        async def connect(trace: Trace) -> Outcome:
            return await probe_tcp(tcp, network, trace)

        return await bounded(connect, deadline_s, retry=True)
    return await _http(probe, network, deadline_s, tokens)


async def _http(probe: HttpProbe, network: Network, deadline_s: float, tokens: TokenStore | None) -> Outcome:
    from intctl.probes.http import probe_http

    async def attempt(trace: Trace) -> Outcome:
        return await probe_http(probe, network, trace, tokens)

    return await bounded(attempt, deadline_s, retry=True)
