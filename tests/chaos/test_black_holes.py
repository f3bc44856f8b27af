"""Providers that accept connections but never reply: a pass ends in time, and every integration is checked."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ..agent_rig import Fleet, Host


def _black_holes(fleet: Fleet, provider: Host, every: int, silent: int, words: list[str], budget_s: int) -> None:
    names = [f"n{number:03}" for number in range(every)]
    for name in names[:: every // silent]:
        provider.behaviour[f"/{name}"] = ["hang:200"]
    fleet.add({name: f"{provider.url}/{name}" for name in names})
    started = time.monotonic()
    process = fleet.start("agent", "--once", "--budget", str(budget_s), *words)
    memory = _peak_memory(process)
    took = time.monotonic() - started
    assert process.stdout is not None and process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    assert (process.returncode, err) == (0, ""), out
    assert took <= budget_s + 5  # the start of a process on a busy machine
    assert memory < 150e6
    left = fleet.rows(
        "SELECT i.name FROM integrations i JOIN integration_schedules s ON s.integration_id = i.id"
        " WHERE s.lease_owner IS NULL AND s.attempts = 0 AND s.next_check_at <= {now}"
    )
    recorded = {log["name"] for log in fleet.logs()}
    assert recorded | {row["name"] for row in left} == set(names)
    healthy = {log["name"] for log in fleet.logs() if log["metadata"]["verdict"] == "healthy"}
    assert healthy == recorded - set(names[:: every // silent])
    print(out, f"{took:.1f} s, {memory / 1e6:.0f} MB, {len(recorded)} recorded, {len(left)} still due")


def _peak_memory(process: subprocess.Popen[str]) -> float:
    """Wait for the process. Returns its peak memory in bytes (that of wait4 includes the parent's before exec)."""
    most = 0
    while process.poll() is None:
        with suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            most = max(most, int((status.partition("VmHWM:")[2].split() or ["0"])[0]))
        time.sleep(0.05)
    return most * 1024


def test_some_black_holes(fleet: Fleet, provider: Host) -> None:
    """Sixty providers of which six never reply, four at a time, eight seconds."""
    _black_holes(fleet, provider, 60, 6, ["--concurrency", "4", "--timeout", "2"], 8)


@pytest.mark.slow
def test_many_black_holes(fleet: Fleet, provider: Host) -> None:
    """Five hundred providers of which fifty never reply, twenty at a time, a minute."""
    _black_holes(fleet, provider, 500, 50, ["--concurrency", "20"], 60)
