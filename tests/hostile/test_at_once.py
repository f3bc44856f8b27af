"""All hostile servers probed in one pass: memory, descriptors, and the exit."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.hostile import test_http, test_smtp
from tests.hostile.servers import drips, hangs_up, resets, says, silent
from tests.servers import Authority, in_days, raw_server, smtp_server

DEADLINE_S = 3.0
#: The most memory that the prober may add during all probes, in KiB.
MEMORY_KIB = 64 * 1024

PROGRAM = """
import asyncio, json, os, resource, sys, time
from intctl.probes.spec import Bearer, HttpProbe, SmtpProbe
from intctl.probes.run import Network, run_probe
from intctl.text import Secret

deadline_s, ca, targets = json.loads(sys.argv[1])

def ask(kind, port):
    if kind in ("http", "https"):
        return HttpProbe(f"{kind}://127.0.0.1:{port}/", Bearer(Secret("tok-geheim-123")), ca_file=ca)
    return SmtpProbe("127.0.0.1", port, kind, "user1", Secret("geheim-passwort"), ca)

def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

async def run():
    network = Network()
    for kind in ("https", "tls"):  # everything is imported
        await run_probe(ask(kind, 1), network)
    descriptors, memory = len(os.listdir("/proc/self/fd")), peak_kib()
    found = await asyncio.gather(*(run_probe(ask(*one), network, deadline_s=deadline_s) for one in targets))
    last = time.monotonic()
    for _ in range(5):
        await asyncio.sleep(0)
    return {
        "codes": [one.code for one in found], "last": last, "grown_kib": peak_kib() - memory,
        "descriptors": [descriptors, len(os.listdir("/proc/self/fd"))], "tasks": len(asyncio.all_tasks()),
    }

print(json.dumps(asyncio.run(run())))
"""

ON_A_TLS_PORT = [
    ("silent", silent(), "tls.timeout"),
    ("dripping", drips(b"\x16\x03\x03\x40\x00", listen=False), "tls.timeout"),
    ("noise", says(b"\x00\xff" * 99, listen=False, hold=True), "tls.not_spoken"),
    ("hangs up", hangs_up(), "connection.closed"),
    ("resets", resets(), "connection.reset"),
]


def test_all_hostile_servers_at_once(ca: Authority) -> None:
    """Each has its code; memory grows by less than 64 MiB, no descriptor is left, the exit follows the last result."""
    with ExitStack() as stack:
        targets, codes = [], []

        def add(kind: str, port: int, code: str) -> None:
            targets.append((kind, port))
            codes.append(code)

        for case in test_http.CASES:
            add("http", stack.enter_context(raw_server(case[1])).port, case[3])
        for case in test_smtp.BEFORE_TLS:
            add("starttls", stack.enter_context(raw_server(case[1])).port, case[3])
        for kind in ("https", "tls"):
            for _, handler, code in ON_A_TLS_PORT:
                add(kind, stack.enter_context(raw_server(handler)).port, code)
        old = ca.server_context(not_before=in_days(-30), not_after=in_days(-2))
        for security in ("starttls", "tls"):
            add(security, stack.enter_context(smtp_server(security=security, context=old)).port, "tls.expired")
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps([DEADLINE_S, ca.file, targets])],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=60,
        )
        ended = time.monotonic()
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["codes"] == codes
    assert len(codes) > 60
    assert report["grown_kib"] < MEMORY_KIB
    assert report["descriptors"][0] == report["descriptors"][1]
    assert report["tasks"] == 1
    assert ended - report["last"] < 2.0
    assert report["last"] - started < DEADLINE_S + 10
