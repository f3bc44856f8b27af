"""Check whether this machine has a network before a pass marks providers as failing.

A failed lookup or connection proves little if all others fail as well. The pass withholds such
findings until another probe reached its provider, or until the witness has been contacted.
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

#: Findings that a broken network of this machine would cause as well.
SUSPECT = frozenset({"dns.nxdomain", "connect.timeout", "connect.unreachable"})
#: Without a witness, if this many hosts all fail at once, the network of this machine is considered broken.
ENOUGH_HOSTS = 3

_BUDGET_S = 5.0


def parse(text: str) -> tuple[Place, ...]:
    """Parse INTCTL_WITNESS: `host:port`, several with commas. Raises UsageError."""
    found = []
    for part in filter(None, (word.strip() for word in text.split(","))):
        host, _, port = part.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise UsageError("INTCTL_WITNESS must be host:port, several with commas, such as gateway.example:443")
        found.append((host.strip("[]"), int(port)))
    return tuple(found)


def got_through(outcome: Outcome) -> bool:
    """Whether this finding proves that the network works: another machine answered."""
    return outcome.code == "connect.refused" or outcome.phase not in ("", "dns", "tcp")


async def network_works(places: Sequence[Place], hosts: int, network: Network) -> bool:
    """Whether the network of this machine works although probes of `hosts` different hosts all failed.

    With witnesses, a connection to one of them is enough. Without, the failure of a few hosts does not
    prove that the network is broken.
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
