"""A machine without a network blames itself."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

_PROGRAM = """
import asyncio
from intctl.probes.spec import HttpProbe, SmtpProbe
from intctl.probes.run import Network, run_probe

async def run():
    network = Network()
    asks = [HttpProbe("https://192.0.2.1/", None)]
    asks += [SmtpProbe(host, 25, "none") for host in ("2001:db8::1", "mail.example")]
    for ask in asks:
        outcome = await run_probe(ask, network, deadline_s=9)
        print(outcome.verdict, outcome.code, outcome.phase)

asyncio.run(run())
"""


def test_no_route_is_our_fault() -> None:
    """Without any network, addresses are `self.no_route` and names `dns.failure`: unknown, never down."""
    alone = ["unshare", "--net", sys.executable]
    if shutil.which("unshare") is None or subprocess.run([*alone, "-c", ""], capture_output=True).returncode:
        pytest.skip("needs unshare --net, and the right to use it")
    done = subprocess.run([*alone, "-c", _PROGRAM], capture_output=True, text=True, timeout=30)
    assert (done.stderr, done.stdout.splitlines()) == (
        "",
        ["unknown self.no_route tcp", "unknown self.no_route tcp", "unknown dns.failure dns"],
    )
