"""Database errors during a pass: transient ones are retried, persistent ones are exit 5 and one line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from intctl.db.connect import connect
from intctl.db.postgresql import CUT_S
from intctl.db.url import SQLITE, Target
from intctl.errors import StoreError

from ..agent_rig import Fleet, Host, each_once, finished, until
from ..conftest import database_url
from .invariants import broken, runner
from .own_server import OwnServer, Proxy, own_server

NAMES = [f"n{number:02}" for number in range(12)]


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    with own_server(max_connections="20") as made:
        yield made


@contextmanager
def a_fleet(target: Target, provider: Host, home: Path, *, hanging: bool = False) -> Iterator[Fleet]:
    """Twelve due integrations in an otherwise empty database."""
    with connect(target) as database:
        for table in ("integrations", "agent_passes", "history_progress"):
            database.run(f"DELETE FROM {table}")
    fleet = Fleet(target, home)
    if hanging:
        for name in NAMES:
            provider.behaviour[f"/{name}"] = ["hang:200", "200"]
    fleet.add({name: f"{provider.url}/{name}" for name in NAMES})
    try:
        yield fleet
    finally:
        fleet.end()


def all_recorded_once(fleet: Fleet) -> None:
    assert Counter(log["name"] for log in fleet.logs()) == each_once(NAMES)
    assert fleet.leases() == [(False, 0)] * len(NAMES)


def one_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


def superuser(server: OwnServer) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(**server.target.parameters, autocommit=True)  # type: ignore[arg-type]


def agents(server: OwnServer) -> list[int]:
    """The server's processes that work for an agent."""
    with superuser(server) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'intctl' ORDER BY backend_start"
        ).fetchall()
    return [int(pid) for (pid,) in found]  # type: ignore[call-overload]


# --- transient errors


def test_sessions_that_are_ended_again_and_again(server: OwnServer, provider: Host, tmp_path: Path) -> None:
    """After pg_terminate_backend the pass goes on over new connections, and records each result once."""
    with a_fleet(server.target, provider, tmp_path) as fleet:
        provider.delay_s = 0.3
        agent = fleet.start("agent", "--once", "--concurrency", "2")
        ended, most = 0, 0
        while agent.poll() is None:
            found = agents(server)
            most = max(most, len(found))
            with superuser(server) as connection:
                for pid in found:
                    connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
                    ended += 1
            time.sleep(0.4)
        assert finished(agent) == (0, "checked 12: 12 healthy\n", "")
        assert ended > 1
        assert most == 1
        all_recorded_once(fleet)


def test_an_immediate_restart_during_the_probes(server: OwnServer, provider: Host, tmp_path: Path) -> None:
    """The server crashes and recovers during the probes: their leases are valid, the results are kept."""
    with a_fleet(server.target, provider, tmp_path, hanging=True) as fleet:
        agent = fleet.start("agent", "--once")
        until(lambda: len(provider.hits) == len(NAMES), "all under way")
        server.stop()
        provider.release()
        time.sleep(1)
        server.start()
        assert finished(agent) == (0, "checked 12: 12 healthy\n", "")
        all_recorded_once(fleet)


def test_a_frozen_session_is_cut_off(server: OwnServer, provider: Host, tmp_path: Path) -> None:
    """The session's process is frozen, so no timeout of the server works: the client disconnects after 8 seconds."""
    with a_fleet(server.target, provider, tmp_path, hanging=True) as fleet:
        agent = fleet.start("agent", "--once")
        until(lambda: len(provider.hits) == len(NAMES), "all under way")
        (frozen,) = agents(server)
        os.kill(frozen, signal.SIGSTOP)
        try:
            released = time.monotonic()
            provider.release()
            assert finished(agent) == (0, "checked 12: 12 healthy\n", "")
            assert time.monotonic() - released >= CUT_S
            all_recorded_once(fleet)
        finally:
            os.kill(frozen, signal.SIGCONT)


def test_read_only_for_a_while(server: OwnServer, provider: Host, tmp_path: Path) -> None:
    """A failover makes the server read-only: nothing is lost, and the pass goes on when it is writable again."""
    with a_fleet(server.target, provider, tmp_path, hanging=True) as fleet:
        agent = fleet.start("agent", "--once")
        until(lambda: len(provider.hits) == len(NAMES), "all under way")
        with read_only(server):
            provider.release()
            with pytest.raises(subprocess.TimeoutExpired):
                agent.wait(2)
        assert finished(agent) == (0, "checked 12: 12 healthy\n", "")
        all_recorded_once(fleet)


@contextmanager
def read_only(server: OwnServer) -> Iterator[None]:
    """Make the server reject writes, in old sessions and new ones."""

    def say(value: str) -> None:
        with superuser(server) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            connection.execute("SELECT pg_reload_conf()")

        def took() -> bool:
            with superuser(server) as connection:
                (now,) = connection.execute("SHOW default_transaction_read_only").fetchone() or ("",)
                return now == value

        until(took, f"read-only {value}")

    say("on")
    try:
        yield
    finally:
        say("off")


def test_no_connection_is_free_for_a_while(server: OwnServer, provider: Host, tmp_path: Path) -> None:
    """With all connections in use, the agent waits for one, and completes its pass."""
    with a_fleet(server.target, provider, tmp_path) as fleet:
        taken = []
        with pytest.raises(psycopg.OperationalError):
            while True:
                taken.append(superuser(server))
        agent = fleet.start("agent", "--once")
        with pytest.raises(subprocess.TimeoutExpired):
            agent.wait(2)
        for connection in taken:
            connection.close()
        assert finished(agent) == (0, "checked 12: 12 healthy\n", "")
        all_recorded_once(fleet)


@pytest.mark.parametrize(
    "message",
    [
        b"COMMIT",
        b"jsonb_to_recordset",
        b"SKIP LOCKED",
        b"UPDATE history_progress",
        b"INSERT INTO agent_passes",
        b"RETURNING passes",
    ],
)
def test_a_reply_that_is_lost(server: OwnServer, provider: Host, tmp_path: Path, message: bytes) -> None:
    """The connection fails after the statement was executed: it is sent again, and takes effect once.

    The first COMMIT is that of the claim: its leases are given back and claimed again. The steps after the results,
    history maintenance and the note of the pass, complete without a message, too.
    """
    proxy = Proxy(server.target)
    try:
        with a_fleet(server.target, provider, tmp_path) as fleet:
            proxy.lose_reply_to = message
            agent = fleet.start("agent", "--once", INTCTL_DATABASE_URL=database_url(proxy.target) + "&sslmode=disable")
            assert finished(agent) == (0, "checked 12: 12 healthy\n", "")
            assert proxy.lost == 1
            all_recorded_once(fleet)
            assert fleet.rows("SELECT passes, checks FROM agent_passes") == [{"passes": 1, "checks": len(NAMES)}]
            # Not still claimed for a turn (300 s), but completed, with the next turn in 900 s.
            assert fleet.rows("SELECT 1 FROM history_progress WHERE next_at > now() + interval '600 seconds'")
    finally:
        proxy.close()


def test_a_commit_of_results_whose_reply_is_lost(server: OwnServer, provider: Host, tmp_path: Path) -> None:
    """The results are committed but the reply is lost: they are found, counted, and not written twice."""
    proxy = Proxy(server.target)
    try:
        with a_fleet(server.target, provider, tmp_path, hanging=True) as fleet:
            agent = fleet.start("agent", "--once", INTCTL_DATABASE_URL=database_url(proxy.target) + "&sslmode=disable")
            until(lambda: len(provider.hits) == len(NAMES), "all under way")
            proxy.lose_reply_to = b"COMMIT"
            provider.release()
            assert finished(agent) == (0, "checked 12: 12 healthy\n", "")
            assert proxy.lost == 1
            all_recorded_once(fleet)
    finally:
        proxy.close()


def test_a_slow_database(server: OwnServer, provider: Host, tmp_path: Path) -> None:
    """Late replies of the database do not count against the probes, and no lease is lost."""
    proxy = Proxy(server.target)
    try:
        with a_fleet(server.target, provider, tmp_path) as fleet:
            proxy.delay_s = 0.3
            agent = fleet.start("agent", "--once", INTCTL_DATABASE_URL=database_url(proxy.target) + "&sslmode=disable")
            assert finished(agent) == (0, "checked 12: 12 healthy\n", "")
            times = [log["metadata"]["phases_ms"] for log in fleet.logs()]
            assert max(sum(phases.values()) for phases in times) < 10_000
    finally:
        proxy.close()


# --- persistent errors


def test_a_database_that_is_not_there(provider: Host, tmp_path: Path) -> None:
    """An unreachable database is retried until the deadline, then exit 5 and one line."""
    fleet = Fleet(Target(SQLITE, path=tmp_path / "unused.db"), tmp_path / "home")
    url = "postgresql://intctl@127.0.0.1:1/none"
    code, out, err = finished(fleet.start("agent", "--once", "--budget", "5", INTCTL_DATABASE_URL=url))
    assert (code, out) == (5, "")
    assert "was refused" in one_line(err)


def test_read_only_for_good(server: OwnServer, provider: Host, tmp_path: Path) -> None:
    """A permanent standby is exit 5 and one line within the budget; no provider is requested."""
    with a_fleet(server.target, provider, tmp_path) as fleet:
        with read_only(server):
            code, out, err = finished(fleet.start("agent", "--once", "--budget", "5"))
        assert (code, out) == (5, "")
        assert "read-only" in one_line(err)
        assert not provider.hits


def test_a_lock_that_is_held(server: OwnServer, provider: Host, tmp_path: Path) -> None:
    """A table that is locked for a minute is exit 5 and one line within the budget; the next pass works."""
    with a_fleet(server.target, provider, tmp_path) as fleet:
        with superuser(server) as holder, holder.transaction():
            holder.execute("LOCK TABLE integration_schedules IN ACCESS EXCLUSIVE MODE")
            code, out, err = finished(fleet.start("agent", "--once", "--budget", "6"))
        assert (code, out) == (5, "")
        assert "lock" in one_line(err)
        assert finished(fleet.start("agent", "--once"))[:2] == (0, "checked 12: 12 healthy\n")


def test_a_server_that_is_frozen_altogether(server: OwnServer, provider: Host, tmp_path: Path) -> None:
    """If neither sessions nor new connections reply, the pass still ends within its budget."""
    with a_fleet(server.target, provider, tmp_path, hanging=True) as fleet:
        agent = fleet.start("agent", "--once", "--budget", "12")
        until(lambda: len(provider.hits) == len(NAMES), "all under way")
        (session,) = agents(server)
        assert server._process is not None
        frozen = [server._process.pid, session]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            provider.release()
            code, out, err = finished(agent)
            assert (code, out) == (5, "")
            assert one_line(err).startswith("intctl: ")
        finally:
            for pid in reversed(frozen):
                os.kill(pid, signal.SIGCONT)


def test_a_pass_that_the_database_holds_for_ever(sqlite_target: Target, provider: Host, tmp_path: Path) -> None:
    """An endless statement that nothing can interrupt: the process ends itself when its budget is spent."""
    with a_fleet(sqlite_target, provider, tmp_path) as fleet:
        with connect(sqlite_target) as database:
            database.run(
                "CREATE TRIGGER endless BEFORE INSERT ON integration_health_logs BEGIN SELECT RAISE(IGNORE) WHERE"
                " (WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n) = 1; END"
            )
        code, out, err = finished(fleet.start("agent", "--once", "--budget", "5"))
        assert (code, out) == (5, "")
        assert "past its" in one_line(err)
        with connect(sqlite_target) as database:
            database.run("DROP TRIGGER endless")
        fleet.pass_time("lease_expires_at", 120)
        assert fleet.once().recorded == len(NAMES)


# --- a disk that is full


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], Path]]:
    """A folder on a file system of `size` MiB. Only root can mount one."""
    mounted = []

    def mount(size: int) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="intctl-disk-"))
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", folder], capture_output=True)
        if done.returncode != 0:
            pytest.skip("a file system of its own can't be mounted here (not root?)")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


def fill(folder: Path) -> Path:
    """Fill the rest of the disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"\0" * 4096)
    return ballast


def test_a_full_disk_under_sqlite(
    sqlite_target: Target, small_disk: Callable[[int], Path], provider: Host, tmp_path: Path
) -> None:
    """A full disk is exit 5 and one line, without partial writes; with free space the next pass completes."""
    folder = small_disk(2)
    target = replace(sqlite_target, path=folder / "intctl.db")
    shutil.copy(sqlite_target.path, target.path)
    with a_fleet(target, provider, tmp_path) as fleet:
        runner(target)
        ballast = fill(folder)
        code, out, err = finished(fleet.start("agent", "--once"))
        assert (code, out) == (5, "")
        assert "disk is full" in one_line(err)
        ballast.unlink()
        fleet.pass_time("lease_expires_at", 120)
        assert fleet.once().recorded == len(NAMES)
        assert broken(target) == []


def test_a_full_disk_under_postgresql(small_disk: Callable[[int], Path], provider: Host, tmp_path: Path) -> None:
    """The same on PostgreSQL; the server may stop because of it, and restarts."""
    folder = small_disk(160)
    with own_server(folder) as server, a_fleet(server.target, provider, tmp_path, hanging=True) as fleet:
        runner(server.target)
        with connect(server.target) as database:  # the next row needs a new page
            database.run("CREATE TABLE padding (text TEXT)")
            database.run("ALTER TABLE integration_health_logs ADD COLUMN padding TEXT DEFAULT repeat('x', 7000)")
        agent = fleet.start("agent", "--once", "--budget", "15")
        until(lambda: len(provider.hits) == len(NAMES), "all under way")
        ballast = fill(folder)
        provider.release()
        code, out, err = finished(agent)
        assert (code, out) == (5, "")
        assert one_line(err).startswith("intctl: ")
        ballast.unlink()
        server.restart()
        fleet.pass_time("lease_expires_at", 120)
        assert fleet.once().recorded == len(NAMES)
        assert broken(server.target) == []


# --- PgBouncer


@pytest.fixture(params=["", "options"], ids=["bare", "options-ignored"])
def bouncer(request: pytest.FixtureRequest, server: OwnServer) -> Iterator[Target]:
    """PgBouncer in transaction mode with one server connection, by default and with the usual line for libpq."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    folder = Path(tempfile.mkdtemp(prefix="b", dir=server.folder))
    (folder / "users.txt").write_text('"postgres" ""\n')
    ignore = f"ignore_startup_parameters = {request.param}" if request.param else ""
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\npostgres = host={server.folder} port=5432 user=postgres\n[pgbouncer]\npool_mode = transaction\n"
        f"default_pool_size = 1\nauth_type = trust\nauth_file = {folder}/users.txt\nunix_socket_dir = {folder}\n"
        f"listen_port = 6432\nlisten_addr =\n{ignore}\n"
    )
    identity: dict[str, object] = {}
    if os.geteuid() == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, 65534, 65534)
        identity = {"user": 65534, "group": 65534, "extra_groups": ()}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, folder / "pgbouncer.ini"], stdout=log, stderr=log, **identity)  # type: ignore[call-overload]
    try:
        until((folder / ".s.PGSQL.6432").exists, (folder / "log").read_text())
        yield replace(server.target, parameters={**server.target.parameters, "host": str(folder), "port": "6432"})
    finally:
        process.terminate()
        process.wait(10)


def test_behind_pgbouncer(server: OwnServer, bouncer: Target, provider: Host, tmp_path: Path) -> None:
    """With one server connection shared by transactions, two agents and the commands work as usual."""
    with a_fleet(server.target, provider, tmp_path) as fleet:
        fleet.environ["INTCTL_DATABASE_URL"] = database_url(bouncer)
        both = [finished(fleet.start("agent", "--once", "--concurrency", "3")) for _ in range(2)]
        assert [(code, err) for code, _, err in both] == [(0, "")] * 2
        all_recorded_once(fleet)
        for words in (["list"], ["check", "n00"], ["toggle", "n01"], ["logs", "-o", "json"]):
            code, out, err = finished(fleet.start(*words))
            assert (code, err) == (0, ""), words
            assert out


def test_limits_and_zone_behind_pgbouncer(server: OwnServer, bouncer: Target) -> None:
    """Times are UTC and transactions have limits, even if the startup options are ignored."""
    with superuser(server) as connection:
        connection.execute("ALTER DATABASE postgres SET timezone = 'Asia/Kathmandu'")
    try:
        with connect(bouncer) as database:
            found = database.row("SELECT TIMESTAMPTZ '2026-01-31T10:30:00Z' AS moment")
            assert found is not None and found["moment"].isoformat() == "2026-01-31T10:30:00+00:00"
            with database.transaction():
                limits = [
                    database.row(f"SHOW {name}")
                    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
                ]
            assert [list((limit or {}).values()) for limit in limits] == [["5s"], ["3s"], ["10s"]]
            with pytest.raises(StoreError, match="cancelled"), database.transaction():
                database.rows("SELECT pg_sleep(7)")
    finally:
        with superuser(server) as connection:
            connection.execute("ALTER DATABASE postgres RESET timezone")


def test_sqlite_is_not_cut(sqlite_target: Target) -> None:
    """Limits for the network change nothing on an SQLite file."""
    with connect(sqlite_target) as database:
        assert database.dialect == SQLITE
        database.limit(0.0)
        assert database.row("SELECT 1 AS one") == {"one": 1}
        database.reopen()
        assert database.row("SELECT 1 AS one") == {"one": 1}
