"""A local problem during a pass (database, key, resolver, descriptors) marks no provider as failing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from intctl import keyring
from intctl.db.url import POSTGRESQL, SQLITE, sqlite_target

from .agent_rig import Fleet, Host, finished, until
from .hostile.alone import run_alone, why_not

#: The integrations of each pass.
NAMES = [f"n{number:02}" for number in range(20)]


def _state(fleet: Fleet) -> list[dict[str, Any]]:
    """Everything that a verdict could change."""
    return fleet.rows("SELECT name, status, error_count, error_message FROM integrations ORDER BY name")


def _verdicts(fleet: Fleet) -> dict[str, str]:
    return {log["name"]: log["metadata"]["verdict"] for log in fleet.logs()}


def _one_line(text: str) -> str:
    """The one line of text."""
    (line,) = text.splitlines()
    return line


def _take_postgresql_away(fleet: Fleet, maintenance: psycopg.Connection) -> Callable[[], None]:
    name = fleet.target.parameters["dbname"]
    maintenance.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    maintenance.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))

    def back() -> None:
        maintenance.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

    return back


def _take_sqlite_away(fleet: Fleet) -> Callable[[], None]:
    """Move the folder of the database."""
    folder = fleet.target.path.parent
    away = folder.rename(folder.with_name("away"))

    def back() -> None:
        away.rename(folder)

    return back


@pytest.fixture
def take_away(request: pytest.FixtureRequest, fleet: Fleet) -> Callable[[], Callable[[], None]]:
    """A function that takes the database away from all processes, and returns a function that restores it."""
    if fleet.target.dialect == POSTGRESQL:
        maintenance = request.getfixturevalue("_maintenance")
        return lambda: _take_postgresql_away(fleet, maintenance)
    return lambda: _take_sqlite_away(fleet)


def test_the_database_goes_during_a_pass(
    fleet: Fleet, provider: Host, take_away: Callable[[], Callable[[], None]]
) -> None:
    """If results can't be written: exit 5, one line, no integration down; later all are checked."""
    fleet.add({name: f"{provider.url}/{name}" for name in NAMES})
    for name in NAMES:
        provider.behaviour[f"/{name}"] = ["hang:200", "200"]
    before = _state(fleet)
    process = fleet.start("agent", "--once")
    until(lambda: len(provider.hits) == len(NAMES), "all under way")
    back = take_away()
    provider.release()
    code, out, err = finished(process)
    back()
    assert (code, out) == (5, "")
    assert _one_line(err).startswith("intctl: ")
    assert (_state(fleet), fleet.logs()) == (before, [])
    fleet.pass_time("lease_expires_at", 7200)
    assert fleet.once().verdicts == {"healthy": len(NAMES)}


def test_the_database_is_away_before_a_pass(
    fleet: Fleet, provider: Host, take_away: Callable[[], Callable[[], None]]
) -> None:
    """Without the database no provider is requested: exit 5 and one line."""
    fleet.add({name: f"{provider.url}/{name}" for name in NAMES})
    before = _state(fleet)
    back = take_away()
    code, out, err = finished(fleet.start("agent", "--once"))
    back()
    assert (code, out, len(err.splitlines())) == (5, "", 1)
    assert _state(fleet) == before
    assert not provider.hits


def test_the_key_is_gone(fleet: Fleet, provider: Host) -> None:
    """Without a keyring nothing is claimed: exit 6 and one line."""
    fleet.add({name: f"{provider.url}/{name}" for name in NAMES})
    before = _state(fleet)
    (fleet.home / "keyring.json").unlink()
    code, out, err = finished(fleet.start("agent", "--once"))
    assert (code, out, len(err.splitlines())) == (6, "", 1)
    assert (_state(fleet), fleet.logs()) == (before, [])
    assert fleet.leases() == [(False, 0)] * len(NAMES)


def test_the_key_is_another_one(fleet: Fleet, provider: Host) -> None:
    """With a keyring that opens no config all are unknown, reported once; the exit code is that of the key."""
    fleet.add({name: f"{provider.url}/{name}" for name in NAMES})
    before = _state(fleet)
    os.remove(fleet.home / "keyring.json")
    keyring.write_file(fleet.home / "keyring.json", [keyring.new_key()])
    code, out, err = finished(fleet.start("agent", "--once"))
    assert (code, out) == (6, "checked 20: 20 unknown\n")
    assert "not in the keyring (20 of 20 checks)" in _one_line(err)
    assert _state(fleet) == before
    assert set(_verdicts(fleet).values()) == {"unknown"}
    assert not provider.hits


def test_the_key_goes_during_a_pass(fleet: Fleet, provider: Host) -> None:
    """A pass that has read its key completes: its results are recorded."""
    fleet.add({name: f"{provider.url}/{name}" for name in NAMES})
    for name in NAMES:
        provider.behaviour[f"/{name}"] = ["hang:200"]
    process = fleet.start("agent", "--once")
    until(lambda: len(provider.hits) == len(NAMES), "all under way")
    (fleet.home / "keyring.json").unlink()
    provider.release()
    assert finished(process) == (0, "checked 20: 20 healthy\n", "")


def test_some_are_sealed_with_another_key(fleet: Fleet, provider: Host) -> None:
    """If only some configs open, those are checked: exit 0, one notice."""
    fleet.add({name: f"{provider.url}/{name}" for name in NAMES[:5]})
    other = keyring.new_key()
    os.remove(fleet.home / "keyring.json")
    keyring.write_file(fleet.home / "keyring.json", [other])
    fleet.keyring = keyring.load({}, fleet.home)
    fleet.add({name: f"{provider.url}/{name}" for name in NAMES[5:]})
    code, out, err = finished(fleet.start("agent", "--once"))
    assert (code, out) == (0, "checked 20: 15 healthy, 5 unknown\n")
    assert "not in the keyring (5 of 20 checks)" in _one_line(err)
    assert set(fleet.statuses().values()) == {"active"}


@pytest.mark.skipif(bool(why_not()), reason=why_not() or "it can")
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("servfail", "The look-up of the host name failed, which says nothing about the provider"),
        (
            "silent",
            "The host name could not be looked up in time (3 seconds at most), which says nothing about the provider",
        ),
    ],
)
def test_the_resolver_is_broken(fleet: Fleet, how: str, words: str) -> None:
    """With a name server that fails or never replies all are unknown, reported once; the pass completes: exit 0."""
    fleet.add({name: f"http://{how}{number}.example/" for number, name in enumerate(NAMES)})
    before = _state(fleet)
    report = run_alone([sys.executable, "-m", "intctl", "agent", "--once"], **fleet.environ, PATH=os.environ["PATH"])
    assert (report["code"], report["out"]) == (0, "checked 20: 20 unknown\n"), report["err"]
    assert f"{words} (20 of 20 checks)" in _one_line(report["err"])
    assert _state(fleet) == before
    assert set(_verdicts(fleet).values()) == {"unknown"}
    assert len(report["queries"]) == len(NAMES)


#: Uses up the descriptors except four, then runs the agent with too high a concurrency.
STARVED = """
import os, resource, sys
from intctl import cli
from intctl.cli import agent
import intctl.agent, intctl.probes.http, intctl.vault, asyncio, concurrent.futures.thread

real = intctl.agent.work.Pass._run

async def run(self, first, more):
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    for one in held[:4]:
        os.close(one)
    await real(self, first, more)

intctl.agent.work.Pass._run = run
sys.argv = ["intctl", "agent", "--once"]
cli.main()
"""


def test_no_descriptors_are_left(fleet: Fleet, provider: Host) -> None:
    """Checks without a descriptor are unknown, reported once; the others run: exit 0, no status changed."""
    for name in NAMES:
        provider.behaviour[f"/{name}"] = ["hang:200"]
    fleet.add({name: f"{provider.url}/{name}" for name in NAMES})
    before = _state(fleet)
    process = subprocess.Popen(
        [sys.executable, "-c", STARVED], env=fleet.environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    fleet.processes.append(process)
    until(lambda: len(provider.hits) >= 2, "some under way")
    provider.release()
    code, out, err = finished(process)
    assert code == 0, err
    verdicts = list(_verdicts(fleet).values())
    assert len(verdicts) == len(NAMES) and set(verdicts) == {"healthy", "unknown"}
    assert f"no file descriptors left ({verdicts.count('unknown')} of 20 checks)" in _one_line(err)
    assert out == f"checked 20: {verdicts.count('healthy')} healthy, {verdicts.count('unknown')} unknown\n"
    assert _state(fleet) == before


def test_a_low_limit_lowers_the_concurrency(fleet: Fleet, provider: Host) -> None:
    """Under a low limit the agent checks fewer at once, and all are checked."""
    fleet.add({name: f"{provider.url}/{name}" for name in NAMES})
    provider.delay_s = 0.05
    words = [sys.executable, "-m", "intctl", "agent", "--once"]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 48; exec "$@"', "sh", *words], env=fleet.environ, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "checked 20: 20 healthy\n", "")
    assert provider.most <= 8


def test_it_is_said_once_by_the_service_too(fleet: Fleet) -> None:
    """A database that is missing at the start of the service is one line and exit 5."""
    if fleet.target.dialect == SQLITE:
        fleet.environ["INTCTL_DATABASE_URL"] = f"sqlite://{sqlite_target(fleet.home / 'none.db').path}"
    else:
        fleet.environ["INTCTL_DATABASE_URL"] = "postgresql://127.0.0.1:1/none?sslmode=disable"
    code, out, err = finished(fleet.start("agent", "--every", "1", "--budget", "5"))
    assert (code, out, len(err.splitlines())) == (5, "", 1)
