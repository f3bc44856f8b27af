"""The cost of a pass of the agent: claim, open, probe, record, on PostgreSQL and on SQLite.

    python bench/agent.py [--rounds 3] [--due 10000]

The agent is the command itself, in a process of its own; CPU is that process's, start-up included.
The providers (bench/servers.py) are processes of their own, and so is PostgreSQL, from the wheel that the
tests use, with fsync on. Bytes written are those of WAL records on PostgreSQL, and what the agent's process
wrote to the disk on SQLite, which always writes whole pages. Everything is due again before each round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from probes import serving  # noqa: E402
from servers import TOKEN  # noqa: E402
from startup import replace_section  # noqa: E402

SERVERS = 2
FEW_DUE = 1000
PRESENT = (10_000, 100_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default 3)")
    parser.add_argument("--due", type=int, default=10_000, help="integrations that are due (default 10000)")
    parser.add_argument("--concurrency", type=int, default=50, help="checks at the same time (default 50)")
    parser.add_argument("--only", choices=("postgresql", "sqlite"), help="one of the two databases")
    parser.add_argument("--skip-large", action="store_true", help="without the 100,000 integrations")
    parser.add_argument("--profile", metavar="FILE", help="where to put a cProfile of one pass (and nothing else)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(json.loads(options.worker))
        return
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="intctl-bench-") as folder, ExitStack() as stack:
        ports = [stack.enter_context(serving(certificate(Path(folder))))["HTTP"] for _ in range(SERVERS)]
        for kind in (options.only,) if options.only else ("postgresql", "sqlite"):
            with database(kind, Path(folder)) as bench:
                bench.ports = ports
                if options.profile:
                    bench.fill(options.due)
                    bench.run(options.concurrency, profile=options.profile)
                    return
                rows += measured(bench, options)
    report = written(rows, options)
    sys.stdout.write(report)
    replace_section(report)


Row = tuple[str, str, str, str, str]


def certificate(folder: Path) -> str:
    """A certificate, which the servers require although nothing here uses TLS."""
    import trustme

    path = folder / "server.pem"
    if not path.exists():
        trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(path))
    return str(path)


# --- databases


class Bench:
    """A prepared database, its keyring, and its agents."""

    def __init__(self, target: Any, url: str, home: Path) -> None:
        from intctl import keyring

        self.target = target
        self.home = home
        self.ports: list[int] = []
        self.waldump = ""
        home.mkdir(mode=0o700)
        keyring.write_file(home / "keyring.json", [keyring.new_key()])
        self.keyring = keyring.load({}, home)
        self.environ = {
            "PATH": os.environ["PATH"],
            "INTCTL_HOME": str(home),
            "INTCTL_DATABASE_URL": url,
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(HERE.parent),
        }

    @property
    def kind(self) -> str:
        return {"postgresql": "PostgreSQL", "sqlite": "SQLite"}[self.target.dialect]

    def patient(self) -> Any:
        """A connection without a time limit for statements."""
        from intctl.db.connect import Database, open_driver

        made = Database(self.target, open_driver(self.target, patient=True))
        made._begin = "BEGIN"
        return made

    def fill(self, count: int) -> None:
        """Fill the database with `count` integrations of the provider http, due now."""
        from intctl import vault
        from intctl.db.ids import new_id
        from intctl.providers import catalogue

        provider = catalogue.get("http")
        assert provider is not None
        with self.patient() as database:
            org = database.row("SELECT id FROM organizations")
            assert org is not None
            integrations = []
            for number in range(count):
                id = new_id()
                config = {
                    "url": f"http://127.0.0.1:{self.ports[number % len(self.ports)]}/{number}",
                    "method": "GET",
                    "auth": "bearer",
                    "token": TOKEN,
                    "expect_status": 200,
                    "expect_json": {"/ok": True},
                    "security": "tls",
                }
                sealed = vault.seal(self.keyring, str(org["id"]), id, provider, config)
                integrations.append({"id": id, "org_id": str(org["id"]), "name": f"api-{number:06}", "config": sealed})
            with database.transaction():
                postgresql = self.target.dialect == "postgresql"
                database.run("TRUNCATE integrations CASCADE" if postgresql else "DELETE FROM integrations")
                database.run_many(
                    "INSERT INTO integrations (id, org_id, type, provider, name, config, status) "
                    "VALUES (:id, :org_id, 'custom', 'http', :name, :config, 'active')",
                    integrations,
                )
                database.run_many(
                    "INSERT INTO integration_schedules (integration_id, next_check_at) VALUES (:id, {now})",
                    [{"id": one["id"]} for one in integrations],
                )
            self.settle(database)

    def due(self, count: int | None = None) -> None:
        """Make all due, or only `count`, and the others in an hour."""
        with self.patient() as database:
            with database.transaction():
                database.run("UPDATE integration_schedules SET next_check_at = {after -5}")
                if count is not None:
                    database.run(
                        "UPDATE integration_schedules SET next_check_at = {after 3600} WHERE integration_id NOT IN "
                        f"(SELECT integration_id FROM integration_schedules ORDER BY integration_id LIMIT {count})"
                    )
            self.settle(database)

    def settle(self, database: Any) -> None:
        """Do the maintenance now that the server would do later."""
        if database.dialect == "postgresql":
            for table in ("integration_schedules", "integrations", "integration_health_logs"):
                database.run(f"VACUUM (ANALYZE) {table}")
            database.run("CHECKPOINT")
        else:
            database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
            database.run("ANALYZE")

    def wal(self) -> str:
        """The position in the server's log; "" on SQLite."""
        from intctl.db.connect import connect

        if self.target.dialect != "postgresql":
            return ""
        with connect(self.target) as database:
            found = database.row("SELECT pg_current_wal_flush_lsn()::text AS place")
            assert found is not None
            return str(found["place"])

    def written(self, since: str) -> tuple[int, int]:
        """Bytes in the server's log since a position: in records, and in whole pages, which follow each checkpoint."""
        argv = [self.waldump, "--stats", "-p", f"{self.target.parameters['host']}/data/pg_wal", "-s", since]
        said = subprocess.run([*argv, "-e", self.wal()], stdout=subprocess.PIPE, text=True, check=True).stdout
        (total,) = [line.split() for line in said.splitlines() if line.startswith("Total")]
        numbers = [int(word) for word in total if word.isdecimal()]
        return numbers[1], numbers[2]

    def run(self, concurrency: int, agents: int = 1, profile: str = "") -> dict[str, float]:
        """Run one pass of several agents at once: checks, seconds, CPU and bytes."""
        ask = {"concurrency": concurrency, "profile": profile}
        before, started, busy = self.wal(), time.perf_counter(), busy_seconds()
        argv = [sys.executable, __file__, "--worker", json.dumps(ask)]
        running = [subprocess.Popen(argv, env=self.environ, stdout=subprocess.PIPE, text=True) for _ in range(agents)]
        answers = [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]
        wall, busy = time.perf_counter() - started, busy_seconds() - busy
        written, pages = self.written(before) if before else (sum(answer["written"] for answer in answers), 0)
        return {
            "checks": sum(answer["checks"] for answer in answers),
            "wall_s": wall,
            "cpu_s": sum(answer["cpu_s"] for answer in answers),
            "memory": max(answer["memory"] for answer in answers),
            "written": written,
            "pages": pages,
            "cores": busy / wall,
        }


def busy_seconds() -> float:
    """The total busy time of the machine's cores, with any work."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()
    user, nice, system, _idle, _iowait, irq, softirq = (int(word) for word in words[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


@contextmanager
def database(kind: str, folder: Path) -> Iterator[Bench]:
    """A prepared database of this kind."""
    from intctl.db.url import sqlite_target
    from intctl.schema.setup import prepare
    from intctl.store.organization_changes import first_organization
    from tests.chaos.own_server import own_server

    home = folder / f"home-{kind}"
    if kind == "sqlite":
        target = sqlite_target(folder / "bench.db")
        prepare(target, first_organization("Bench", "bench"))
        yield Bench(target, f"sqlite:///{quote(str(target.path))}", home)
        return
    settings: dict[str, Any] = {
        "fsync": "on",
        "full_page_writes": "on",
        "shared_buffers": "256MB",
        "autovacuum": "on",
        "max_wal_size": "2GB",
    }
    with own_server(**settings) as server:
        host = quote(server.target.parameters["host"], safe="")
        bench = Bench(server.target, f"postgresql://postgres@/postgres?host={host}", home)
        bench.waldump = str(server._programs / "pg_waldump")
        yield bench


def work(ask: dict[str, Any]) -> None:
    """Run the command as a worker, and print its cost from the first line of this process on."""
    import resource

    from intctl import cli

    sys.argv = ["intctl", "agent", "--once", "--concurrency", str(ask["concurrency"]), "--budget", "3600"]
    told: list[str] = []
    sys.stdout.write = told.append  # type: ignore[method-assign]
    try:
        if ask["profile"]:
            import cProfile

            profile = cProfile.Profile()
            try:
                profile.runcall(cli.main)
            finally:
                profile.dump_stats(ask["profile"])
        cli.main()
    except SystemExit as ended:
        assert ended.code == 0, ended
    del sys.stdout.write
    io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    used = resource.getrusage(resource.RUSAGE_SELF)
    line = "".join(told)
    assert "healthy" in line or "checked 0" in line, line
    checks = int(line.split()[1].rstrip(":;"))
    assert f"checked {checks}: {checks} healthy" in line or checks == 0, line
    print(
        json.dumps(
            {
                "checks": checks,
                "cpu_s": used.ru_utime + used.ru_stime,
                "memory": int(status["VmHWM"].split()[0]) * 1024,
                "written": int(io["write_bytes"]),
            }
        )
    )


# --- measuring


def measured(bench: Bench, options: argparse.Namespace) -> list[Row]:
    """The rows of one database."""
    bench.fill(options.due)
    bench.run(options.concurrency)  # the first pass has an empty history: not typical
    one, two = [], []
    for _ in range(options.rounds):  # interleaved, so that a slow minute affects all alike
        bench.due()
        one.append(bench.run(options.concurrency))
        bench.due()
        two.append(bench.run(options.concurrency, agents=2))
    assert all(found["checks"] == options.due for found in one + two)
    kind, of = bench.kind, f"{options.due:,} due"
    pages = []
    if bench.waldump:
        said = "and KiB of whole pages a check, when a checkpoint came just before"
        pages = [(kind, of, said, middle(one, lambda f: f["pages"] / f["checks"] / 1024), "")]
    rows = [
        (kind, of, "CPU ms a check", middle(one, lambda f: f["cpu_s"] * 1000 / f["checks"]), "≤ 0.7"),
        (kind, of, "checks a second", middle(one, lambda f: f["checks"] / f["wall_s"], "{:,.0f}"), "≥ 1,300"),
        (kind, of, "KiB written a check", middle(one, lambda f: f["written"] / f["checks"] / 1024), "≤ 2"),
        *pages,
        (kind, of, "peak memory, MB", middle(one, lambda f: f["memory"] / 1e6, "{:.0f}"), "< 150"),
        (kind, of, "2 agents ÷ 1, checks a second", ratio(one, two), "≥ 1.7, where there are cores for them"),
        (kind, of, "cores busy by 1 agent, servers included", middle(one, lambda f: f["cores"]), ""),
        (kind, of, "cores busy by 2 agents, servers included", middle(two, lambda f: f["cores"]), ""),
    ]
    if bench.target.dialect == "sqlite":
        rows.append((kind, "nothing due", "idle pass ÷ `import click`", idle(bench, options.rounds * 5), "≤ 3.5"))
    if options.skip_large:
        return rows
    costs: dict[int, list[dict[str, float]]] = {}
    for present in PRESENT:
        bench.fill(present)
        for number in range(options.rounds + 1):
            bench.due(FEW_DUE)
            found = bench.run(options.concurrency)
            assert found["checks"] == FEW_DUE
            if number:
                costs.setdefault(present, []).append(found)
    few, many = (statistics.median(f["wall_s"] for f in costs[present]) for present in PRESENT)
    said = f"{PRESENT[1]:,} present ÷ {PRESENT[0]:,}, seconds of a pass"
    return [*rows, (kind, f"{FEW_DUE:,} due", said, f"{many / few:.2f} ({many:.2f} s ÷ {few:.2f} s)", "≤ 1.3")]


def middle(found: Sequence[dict[str, float]], what: Callable[[dict[str, float]], float], form: str = "{:.2f}") -> str:
    values = [what(one) for one in found]
    return f"{form} ({form}–{form})".format(statistics.median(values), min(values), max(values))


def ratio(one: Sequence[dict[str, float]], two: Sequence[dict[str, float]]) -> str:
    alone, both = (statistics.median(f["checks"] / f["wall_s"] for f in found) for found in (one, two))
    return f"{both / alone:.2f}"


def idle(bench: Bench, rounds: int) -> str:
    """The median of an idle pass, in medians of importing click."""
    argvs = {
        "click": [sys.executable, "-c", "import click"],
        "idle": [sys.executable, "-m", "intctl", "agent", "--once"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in argvs}
    for number in range(rounds + 1):
        for name, argv in argvs.items():
            start = time.perf_counter()
            subprocess.run(argv, env=bench.environ, check=True, stdout=subprocess.DEVNULL)
            if number:
                seconds[name].append(time.perf_counter() - start)
    return f"{statistics.median(seconds['idle']) / statistics.median(seconds['click']):.2f}"


def written(rows: Sequence[Row], options: argparse.Namespace) -> str:
    """The section for RESULTS.md."""
    lines = [
        "## Agent",
        "",
        f"`.venv/bin/python bench/agent.py --rounds {options.rounds}` on {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {platform.system()}; {options.concurrency} checks at a time, of HTTP "
        f"servers on loopback; medians (least–most). The machine's load average was {os.getloadavg()[1]:.1f}.",
        "",
        "| database | pass | what | measured | goal |",
        "|---|---|---|---:|---:|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
