"""Before a whole pass accuses everybody: is it perhaps this machine that has no network?

A look-up or a connection that fails says little when nothing else gets through either. Such
findings are held back until something got through, or until the witness has been asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from intctl.errors import UsageError
from intctl.health.outcome import Outcome
from intctl.probes.network import Network
from intctl.probes.trace import ProbeFailed, Trace
from intctl.probes.wire import connect

Place = tuple[str, int]

#: Findings that a broken network of our own would show just as well.
SUSPECT = frozenset({"dns.nxdomain", "connect.timeout", "connect.unreachable"})
#: Without a witness, this many hosts that all fail at once are taken for a fault of this machine.
ENOUGH_HOSTS = 3

_BUDGET_S = 5.0


def parse(text: str) -> tuple[Place, ...]:
    """INTCTL_WITNESS: `host:port`, several with commas. Raises UsageError."""
    found = []
    for part in filter(None, (word.strip() for word in text.split(","))):
        host, _, port = part.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise UsageError("INTCTL_WITNESS takes host:port, several with commas, such as gateway.example:443")
        found.append((host.strip("[]"), int(port)))
    return tuple(found)


def got_through(outcome: Outcome) -> bool:
    """Whether this finding proves that the network works: somebody beyond this machine answered."""
    return outcome.code == "connect.refused" or outcome.phase not in ("", "dns", "tcp")


async def network_works(places: Sequence[Place], hosts: int, network: Network) -> bool:
    """Whether the network of this machine works, though nothing got through to `hosts` different hosts.

    With witnesses, one that can be connected to is enough. Without, few hosts prove nothing against us.
    """
    if not places:
        return hosts < ENOUGH_HOSTS
    answers = await asyncio.gather(*(_answers(place, network) for place in places))
    return any(answers)


async def _answers(place: Place, network: Network) -> bool:
    try:
        async with asyncio.timeout(_BUDGET_S):
            (await connect(*place, network, Trace())).close()
    except (ProbeFailed, TimeoutError):
        return False
    return True
