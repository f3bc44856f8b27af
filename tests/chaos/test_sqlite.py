"""SQLite: processes killed at any moment, and commands that write while an agent runs."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from intctl.db.connect import connect
from intctl.db.url import Target

from ..agent_rig import Fleet, Host, finished
from .invariants import broken, runner

#: Records a sync repeatedly, and prints a line after each commit.
WRITER = """
import itertools, sys
from pathlib import Path
from intctl.store import changes
from intctl.db.url import sqlite_target

target, id, org, first = sqlite_target(Path(sys.argv[1])), sys.argv[2], sys.argv[3], int(sys.argv[4])
for number in itertools.count(first):
    with changes.unit_of_work(target) as session:
        changes.record_sync(session, id=id, org_id=org, at=None, failed=str(number))
    print(number, flush=True)
"""


@pytest.fixture
def fleet(sqlite_target: Target, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(sqlite_target, tmp_path / "home")
    runner(sqlite_target)
    yield made
    made.end()


def _kills(fleet: Fleet, provider: Host, kills: int) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    choose = random.Random(seed)
    provider.delay_s = 0.02
    names = [f"n{number:03}" for number in range(60)]
    ids = fleet.add({name: f"{provider.url}/{name}" for name in names})
    first, (org,) = 1, fleet.rows("SELECT id FROM organizations")
    for _ in range(kills // 2):
        agent = fleet.start("agent", "--once", "--concurrency", "5")
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(fleet.target.path), ids["n000"], org["id"], str(first)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        fleet.processes.append(writer)
        assert writer.stdout is not None
        acknowledged = writer.stdout.readline()
        time.sleep(choose.uniform(0, 0.4))
        for process in choose.sample((agent, writer), 2):
            process.send_signal(signal.SIGKILL)
        acknowledged = (acknowledged + writer.communicate(timeout=30)[0]).split("\n")[-2]
        agent.communicate(timeout=30)
        (row,) = fleet.rows("SELECT last_sync_error FROM integrations WHERE name = 'n000'")
        assert int(row["last_sync_error"]) >= int(acknowledged)
        first = int(row["last_sync_error"]) + 1
        assert fleet.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
        fleet.pass_time("lease_expires_at", 120)
        with connect(fleet.target) as database:
            database.run("UPDATE integration_schedules SET attempts = 0")
        fleet.all_due()
    logged = len(fleet.logs())
    assert fleet.once().recorded == len(names)
    assert len(fleet.logs()) == logged + len(names)
    assert broken(fleet.target) == []


def test_killed_at_any_moment(fleet: Fleet, provider: Host) -> None:
    """After ten SIGKILLs of agents and writers the file is intact, and acknowledged writes are there."""
    _kills(fleet, provider, 10)


@pytest.mark.slow
def test_killed_two_hundred_times(fleet: Fleet, provider: Host) -> None:
    """The same, 200 times."""
    _kills(fleet, provider, 200)


def test_people_write_during_a_pass(fleet: Fleet, provider: Host) -> None:
    """Commands that write during a pass succeed, and never report a lock."""
    names = [f"n{number:03}" for number in range(400)]
    provider.delay_s = 0.05
    fleet.add({name: f"{provider.url}/{name}" for name in names})
    agent = fleet.start("agent", "--once", "--concurrency", "10")
    commands = [
        fleet.start(*words)
        for number in range(4)
        for words in (["interval", f"n39{number}", "30"], ["toggle", f"n38{number}"], ["synced", f"n37{number}"])
    ]
    for command in commands:
        code, _, err = finished(command)
        assert (code, err) == (0, "")
    code, out, err = finished(agent)
    assert (code, err) == (0, "")
    assert int(out.split()[1].rstrip(":")) >= len(names) - 4
    assert broken(fleet.target) == []
