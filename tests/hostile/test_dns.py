"""Names, looked up at the test's own name server through the C library's real lookups."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.hostile.alone import run_alone, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "it can")

#: Probes the hosts of each pass in argv[1] (a list of lists) at once, and prints the outcomes.
PROGRAM = """
import asyncio, json, sys, time
from intctl.probes.spec import HttpProbe
from intctl.probes.run import Network, run_probe

async def run(hosts):
    network = Network()
    asks = [HttpProbe(f"http://{host}/", None) for host in hosts]
    return await asyncio.gather(*(run_probe(ask, network) for ask in asks))

found = []
for hosts in json.loads(sys.argv[1]):
    started = time.monotonic()
    for host, one in zip(hosts, asyncio.run(run(hosts))):
        found.append([host, one.verdict, one.code, one.phase, one.phases_ms["dns"] / 1000, "tcp" in one.phases_ms])
    took = time.monotonic() - started
print(json.dumps({"found": found, "took": took, "last": time.monotonic()}))
"""


def _asked(*passes: list[str]) -> tuple[list[list[Any]], dict[str, Any]]:
    report = run_alone([sys.executable, "-c", PROGRAM, json.dumps(passes)])
    assert (report["code"], report["err"]) == (0, "")
    told = json.loads(report["out"])
    assert report["ended"] - told["last"] < 2.0  # no lookup delays the exit
    return told["found"], {**report, **told}


ONE: list[tuple[str, str, str, str]] = [
    ("D1 NXDOMAIN", "nx.example", "down", "dns.nxdomain"),
    ("D2 SERVFAIL", "servfail.example", "unknown", "dns.failure"),
    ("D5 a name of the metadata service", "metadata.example", "misconfigured", "blocked.address"),
]


@pytest.mark.parametrize(("host", "verdict", "code"), [case[1:] for case in ONE], ids=[case[0] for case in ONE])
def test_a_bad_answer(host: str, verdict: str, code: str) -> None:
    """Each answer of the name server has its verdict and code, in the dns phase, and nothing is connected to."""
    (found,), report = _asked([host])
    assert found[:4] == [host, verdict, code, "dns"]
    assert not found[5] and report["metadata"] == 0
    assert report["queries"][host] >= 1


def test_d3_a_silent_name_server_is_our_fault() -> None:
    """D3: without an answer the lookup ends at 3 s as unknown, and so does the process."""
    (found,), report = _asked(["silent.example"])
    assert found[:4] == ["silent.example", "unknown", "dns.timeout", "dns"]
    assert found[4] > 2.9 and report["took"] < 8.0
    assert report["queries"]["silent.example"] >= 1


def test_d4_fifty_silent_names_delay_no_good_one() -> None:
    """D4: of fifty silent names and five valid ones in one pass, the five are healthy before the others time out."""
    silent, good = [f"silent{n}.example" for n in range(50)], [f"good{n}.example" for n in range(5)]
    found, report = _asked([*silent, *good])
    assert [one[1:4] for one in found] == [["unknown", "dns.timeout", "dns"]] * 50 + [["healthy", "ok", "api"]] * 5
    assert all(one[4] < 2.9 for one in found[50:])
    assert report["took"] < 8.0


def test_d8_a_rebinding_name_is_looked_up_once_a_pass() -> None:
    """D8: the address that was checked is the one connected to; the next answer, a metadata address, gets no packet."""
    found, report = _asked(["rebind.example"] * 2, ["rebind.example"])
    assert [one[1:3] for one in found] == [["healthy", "ok"], ["healthy", "ok"], ["misconfigured", "blocked.address"]]
    assert report["queries"]["rebind.example"] == 2
    assert report["metadata"] == 0


def test_the_metadata_address_would_have_been_seen() -> None:
    """The test counts connections to the metadata address correctly."""
    program = "import socket; socket.create_connection(('169.254.169.254', 80), 5).recv(1)"
    assert run_alone([sys.executable, "-c", program])["metadata"] == 1
