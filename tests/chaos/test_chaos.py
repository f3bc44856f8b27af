"""Four agents, one PostgreSQL, and random faults; the invariants must hold afterwards. The seed is printed.

Time passes by moving the stored times of leases back: a stopped agent's lease expires while it is stopped.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from intctl.db.connect import Database, connect
from intctl.errors import StoreError

from ..agent_rig import Fleet, Host, host
from .invariants import CANARY, broken, count, runner
from .own_server import OwnServer, own_server

AGENTS = 4


class Chaos:
    """The agents, and their faults."""

    def __init__(self, server: OwnServer, fleet: Fleet, seed: int) -> None:
        self._server = server
        self._fleet = fleet
        self._random = random.Random(seed)
        self._running: list[subprocess.Popen[str]] = []
        self.done: dict[str, int] = {}
        self.said: list[tuple[int, str]] = []

    def run(self, seconds: float) -> None:
        """Inject faults for `seconds`; at the end every agent stops on request."""
        deeds = [self._kill] * 5 + [self._stop] * 3 + [self._cut] * 4 + [self._restart]
        self._running = [self._start() for _ in range(AGENTS)]
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            time.sleep(self._random.uniform(0.1, 0.6))
            self._some_are_due()
            deed = self._random.choice(deeds)
            name = deed.__name__.strip("_")
            if name != "restart" or self.done.get(name, 0) < 1 + seconds / 20:
                deed()
                self.done[name] = self.done.get(name, 0) + 1
        for agent in self._running:
            agent.send_signal(signal.SIGTERM)
        for agent in self._running:
            self._ended(agent)

    def _start(self) -> subprocess.Popen[str]:
        return self._fleet.start("agent", "--every", "1", "--timeout", "5", "--concurrency", "25")

    def _ended(self, agent: subprocess.Popen[str]) -> None:
        _, err = agent.communicate(timeout=30)
        self.said.append((agent.returncode, err))

    def _in_database(self, work: Callable[[Database], object]) -> None:
        with suppress(StoreError), connect(self._fleet.target) as database:
            work(database)

    def _time_passes_for(self, agent: subprocess.Popen[str]) -> None:
        """Expire the agent's leases."""
        self._in_database(
            lambda database: database.run(
                "UPDATE integration_schedules SET lease_expires_at = lease_expires_at - interval '2 minutes'"
                " WHERE lease_owner LIKE :owner",
                {"owner": f"%:{agent.pid}:%"},
            )
        )

    def _some_are_due(self) -> None:
        self._in_database(
            lambda database: database.run(
                "UPDATE integration_schedules SET next_check_at = clock_timestamp() WHERE random() < 0.1"
            )
        )

    def _kill(self) -> None:
        agent = self._random.choice(self._running)
        agent.kill()
        self._ended(agent)
        self._time_passes_for(agent)
        self._running[self._running.index(agent)] = self._start()

    def _stop(self) -> None:
        agent = self._random.choice(self._running)
        agent.send_signal(signal.SIGSTOP)
        time.sleep(self._random.uniform(0.0, 0.3))
        self._time_passes_for(agent)
        time.sleep(self._random.uniform(0.3, 1.5))
        agent.send_signal(signal.SIGCONT)

    def _cut(self) -> None:
        with (
            suppress(psycopg.Error),
            psycopg.connect(make_conninfo(**self._server.target.parameters), autocommit=True) as connection,
        ):
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'intctl'"
                " AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2"
            )

    def _restart(self) -> None:
        self._server.restart()


def _chaos(tmp_path: Path, seconds: float, integrations: int) -> None:
    seed = int(os.environ.get("INTCTL_TEST_SEED", time.time_ns() % 1_000_000))
    print(f"INTCTL_TEST_SEED={seed}")
    with own_server() as server, host() as provider:
        fleet = Fleet(server.target, tmp_path)
        try:
            _behave(provider, integrations, seed)
            runner(server.target)
            urls = {f"n{number:04}": f"{provider.url}/{number}" for number in range(integrations)}
            fleet.add(urls, minutes=1, auth="bearer", token=CANARY)
            chaos = Chaos(server, fleet, seed)
            chaos.run(seconds)
            _judge(fleet, chaos, integrations)
        finally:
            fleet.end()


def _behave(provider: Host, integrations: int, seed: int) -> None:
    """Most replies succeed, some reject, some reset, all with a delay, so that many are under way at any time."""
    provider.delay_s = 0.05
    choose = random.Random(seed)
    for number in range(integrations):
        answers = ["200"] * 8 + ["500", "reset"]
        provider.behaviour[f"/{number}"] = [choose.choice(answers) for _ in range(5)] + ["200"]


def _judge(fleet: Fleet, chaos: Chaos, integrations: int) -> None:
    claimed = count(fleet.target, "SELECT count(*) AS n FROM seen_claims")
    recorded = count(fleet.target, "SELECT count(*) AS n FROM seen_logs")
    print(f"{chaos.done}, {claimed} claims, {recorded} results")
    # SIGTERM ends an agent that has just started and has nothing to give back.
    assert {code for code, _ in chaos.said} <= {0, -signal.SIGKILL, -signal.SIGTERM}
    assert not any("bug" in err or "Traceback" in err or CANARY in err for _, err in chaos.said)
    # Nothing is left: when the killed agents' leases have expired, one undisturbed agent checks all integrations.
    fleet.pass_time("lease_expires_at", 120)
    fleet.once()
    fleet.all_due()
    assert fleet.once(concurrency=100).recorded == integrations
    found = broken(fleet.target)
    assert not found, "\n".join(found)
    assert recorded > integrations / 4


def test_chaos(tmp_path: Path) -> None:
    """Ten seconds of it, with 200 integrations."""
    _chaos(tmp_path, 10, 200)


@pytest.mark.slow
def test_a_minute_of_chaos(tmp_path: Path) -> None:
    """Sixty seconds of it, with 2,000 integrations."""
    _chaos(tmp_path, 60, 2000)
