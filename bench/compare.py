"""Compare the CPU time of two commits: is any command of NEW slower than it was in OLD?

    python bench/compare.py OLD NEW [--rounds 24] [--only WORD]

Three arms run in turn: OLD, OLD again from a second checkout, and NEW. Each round runs each workload once in
each arm, and the order of the arms changes from round to round. Each arm has its own checkout, data folders and
PostgreSQL database; all use the packages of the environment that runs this script, and compiled bytecode. Both
commits are black boxes: they are used through `python -m intctl` and their tables only.

A time is user + system of the command's own process, start-up included; the providers (bench/servers.py) and
PostgreSQL are other processes. The first round warms the caches and does not count. The figure of an arm is the
mean of the lowest quarter of its rounds, because other processes can only make a round slower.

NEW ÷ OLD divides NEW's figure by the mean of the two figures of OLD. The spread says how far OLD ÷ OLD is from 1
by chance: in each of 2,000 draws a coin decides, for each round, which of its two OLD times belongs to the first
arm. The spread is the factor, up or down, that 95 % of the draws stay within, or the measured one if that is
larger. NEW is worse where NEW ÷ OLD is above both 1.05 and the spread, and better where OLD ÷ NEW is. The exit
code is 1 if anything is worse. If a command did not do its work, the run ends there with a message and no table.
"""

from __future__ import annotations

import argparse
import compileall
import itertools
import json
import math
import os
import platform
import py_compile
import random
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import psycopg

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from probes import certificates, serving  # noqa: E402
from servers import TOKEN, USER  # noqa: E402
from startup import replace_section  # noqa: E402

from tests.postgresql_server import running_server  # noqa: E402

MINIMUM_ROUNDS = 15
TOLERANCE, DRAWS, WITHIN = 1.05, 2000, 0.95
INTERVAL_MINUTES, REJECTED = 15, 10


@dataclass(frozen=True)
class Fleet:
    """Integrations of one kind in one database; `rejected` of them have a wrong token."""

    kind: str
    count: int
    enabled: bool = True
    rejected: int = 0
    postgresql: bool = False


@dataclass(frozen=True)
class Workload:
    """A command and the proof of its work: the `checks` that it records as healthy, the `names` that it prints."""

    title: str
    command: str
    fleet: Fleet
    is_due: bool = False
    checks: int = 0
    names: int = 0


IDLE = Fleet("HTTP", 200, enabled=False)
UNCHANGED = Fleet("HTTP", 100, enabled=False)
DUE_SQLITE = Fleet("HTTP", 1000)
DUE_POSTGRESQL = Fleet("HTTP", 1000, postgresql=True)
HISTORY = Fleet("HTTP", 100, rejected=REJECTED)
CHECKED = [Fleet(kind, 300) for kind in ("HTTP", "HTTPS", "SMTP+STARTTLS")]

WORKLOADS = (
    Workload("`--help`", "--help", IDLE),
    Workload("`list`, 200 integrations", "list", IDLE, names=200),
    Workload("`agent --once`, nothing due", "agent --once", IDLE),
    Workload("`agent --once`, 1,000 due, SQLite", "agent --once", DUE_SQLITE, is_due=True, checks=1000),
    Workload("`agent --once`, 1,000 due, PostgreSQL", "agent --once", DUE_POSTGRESQL, is_due=True, checks=1000),
    *(Workload(f"`check --all`, 300 {fleet.kind}", "check --all", fleet, checks=300) for fleet in CHECKED),
    Workload("`dashboard`, 7 days of history", "dashboard", HISTORY, names=100),
    Workload("`alerts`, 7 days of history", "alerts", HISTORY, names=REJECTED),
    Workload("`metrics --window 7d`, 7 days of history", "metrics --window 7d", HISTORY, names=100),
    Workload("`apply`, 100 unchanged", "apply -f manifests", UNCHANGED, names=100),
)

SQLITE_TIME = "strftime('%Y-%m-%dT%H:%M:%f000Z', {}, {})"
#: All checks, the healthy ones, and the last change of an integration.
STATE = """SELECT count(*), count(*) FILTER (WHERE metadata->>'verdict' = 'healthy'),
  (SELECT max(updated_at) FROM integrations) FROM integration_health_logs"""
#: Copies of the existing checks, back in time; every 50th is a copy of a rejected one.
COPY_BACK = f"""
WITH RECURSIVE step(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM step WHERE n < {7 * 24 * 60 // INTERVAL_MINUTES})
INSERT INTO integration_health_logs (id, integration_id, check_type, status, response_time_ms, error_message,
  metadata, checked_at)
SELECT new_id(), own.integration_id, own.check_type, result.status, result.response_time_ms, result.error_message,
  result.metadata, {SQLITE_TIME.format("own.checked_at", f"'-' || (n * {INTERVAL_MINUTES}) || ' minutes'")}
FROM integration_health_logs own CROSS JOIN step JOIN integration_health_logs result ON result.rowid =
  CASE WHEN (own.rowid * 7 + n) % 50 THEN own.rowid
  ELSE (SELECT max(rowid) FROM integration_health_logs WHERE status = 'failure') END"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", metavar="OLD", help="a commit, as git names it")
    parser.add_argument("new", metavar="NEW", help="the commit to compare with it")
    parser.add_argument("--rounds", type=int, default=24, help="how often each workload is measured (default 24)")
    parser.add_argument("--only", metavar="WORD", default="", help="only workloads with this word in their title")
    options = parser.parse_args()
    workloads = [workload for workload in WORKLOADS if options.only.lower() in workload.title.lower()]
    if not workloads or options.rounds < 1:
        parser.error("no workload has this word in its title" if not workloads else "at least one round")
    old, new = commit(options.old), commit(options.new)
    with tempfile.TemporaryDirectory(prefix="intctl-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        certificate, authority = certificates(folder)
        ports = stack.enter_context(serving(certificate))
        fleets = {workload.fleet for workload in workloads}
        # The server ends with this process.
        socket = running_server(folder, os.getpid()) if any(fleet.postgresql for fleet in fleets) else ""
        arms = []
        for number, revision in enumerate((old, old, new)):  # the three paths are equally long
            checkout = check_out(revision, folder / f"arm{number}")
            arms.append({fleet: Home(checkout, fleet, ports, authority, socket) for fleet in fleets})
        rows = [Row(title, *times) for title, times in measure(arms, workloads, options.rounds).items()]
    report = written(rows, old, new, options)
    sys.stdout.write(report)
    if options.rounds >= MINIMUM_ROUNDS and not options.only:
        replace_section(report)
    else:
        print(f"RESULTS.md is unchanged: that requires all workloads and {MINIMUM_ROUNDS} rounds.", file=sys.stderr)
    sys.exit(any(row.verdict == "worse" for row in rows))


# --- the arms


def commit(revision: str) -> str:
    """The short hash of a commit."""
    argv = ["git", "-C", str(HERE), "rev-parse", "--short", "--verify", f"{revision}^{{commit}}"]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def check_out(revision: str, folder: Path) -> Path:
    """The package as it is in this commit, compiled."""
    argv = ["git", "-C", str(HERE.parent), "archive", f"--output={folder}.tar", revision, "intctl"]
    subprocess.run(argv, check=True)
    shutil.unpack_archive(f"{folder}.tar", folder, filter="data")
    assert compileall.compile_dir(folder, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    return folder


class Home:
    """A data folder of one arm, prepared by that arm's own commands."""

    def __init__(self, checkout: Path, fleet: Fleet, ports: Mapping[str, int], authority: str, socket: str) -> None:
        self.folder, self.fleet = checkout / "-".join(map(str, astuple(fleet))), fleet
        (self.folder / "manifests").mkdir(parents=True)
        self.environ = {
            "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": str(checkout),
            "INTCTL_HOME": str(self.folder / "home"), "BENCH_SECRET": TOKEN, "BENCH_REJECTED": "r" * len(TOKEN),
        }  # fmt: skip
        if fleet.postgresql:
            with psycopg.connect(f"postgresql://postgres@/postgres?host={socket}", autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {checkout.name}")
            self.environ["INTCTL_DATABASE_URL"] = f"postgresql://postgres@/{checkout.name}?host={socket}"
        self._prepare(ports[fleet.kind], authority)

    def _prepare(self, port: int, authority: str) -> None:
        where = self.run("-c", "import intctl; print(intctl.__file__)")[1].strip()
        if Path(where).parent != Path(self.environ["PYTHONPATH"]) / "intctl":
            sys.exit(f"{where} would be measured, which is not the checkout")
        for number in range(self.fleet.count):
            manifest = json.dumps(self._manifest(number, port, authority))  # JSON is YAML
            (self.folder / "manifests" / f"{number:04}.yaml").write_text(manifest)
        self.intctl("init")
        self.intctl("apply --no-test -f manifests")
        if self.fleet.rejected:
            self.intctl("check --all", exit_code=1)  # the rejected ones are not healthy
            self._age()
        self.intctl("agent --once")  # the first pass finds what later ones don't: new configs, days to roll up

    def _manifest(self, number: int, port: int, authority: str) -> dict[str, Any]:
        kind = self.fleet.kind
        secret = {"env": "BENCH_REJECTED" if number < self.fleet.rejected else "BENCH_SECRET"}
        config: dict[str, Any] = {"url": f"{kind.lower()}://127.0.0.1:{port}/{number}", "auth": "bearer"}
        config |= {"token": secret, "expect_json": {"/ok": True}}
        if kind.startswith("SMTP"):
            config = {"host": "127.0.0.1", "port": port, "security": "starttls", "username": USER, "password": secret}
        return {
            "name": f"api-{number:04}", "provider": "http" if "url" in config else "smtp",
            "enabled": self.fleet.enabled, "health_check_interval_minutes": INTERVAL_MINUTES,
            "config": {**config, "ca_file": authority},
        }  # fmt: skip

    def _age(self) -> None:
        """Make the integrations eight days old, with seven days of checks."""
        with closing(self.connect()) as database:
            database.create_function("new_id", 0, lambda: str(uuid.uuid4()))
            database.execute(COPY_BACK)
            database.execute("UPDATE integrations SET created_at = " + SQLITE_TIME.format("'now'", "'-8 days'"))

    def connect(self) -> Any:
        """The database itself, each statement on its own."""
        if self.fleet.postgresql:
            return psycopg.connect(self.environ["INTCTL_DATABASE_URL"], autocommit=True)
        return sqlite3.connect(self.folder / "home" / "intctl.db", isolation_level=None)

    def make_due(self) -> None:
        """Make each integration due now."""
        past = "now() - interval '5 seconds'" if self.fleet.postgresql else SQLITE_TIME.format("'now'", "'-5 seconds'")
        with closing(self.connect()) as database:
            database.execute(f"UPDATE integration_schedules SET next_check_at = {past}")
            if self.fleet.postgresql:
                database.execute("VACUUM (ANALYZE) integration_schedules, integrations, integration_health_logs")

    def state(self) -> tuple[Any, ...]:
        with closing(self.connect()) as database:
            return tuple(database.execute(STATE).fetchone())

    def intctl(self, command: str, exit_code: int = 0) -> tuple[float, str]:
        return self.run("-m", "intctl", *command.split(), exit_code=exit_code)

    def run(self, *words: str, exit_code: int = 0) -> tuple[float, str]:
        """Run Python in a process of its own: the CPU seconds of that process, and its output."""
        with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
            process = subprocess.Popen(
                [sys.executable, *words], cwd=self.folder, env=self.environ,
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            said = out.read()
        if process.returncode != exit_code:
            sys.exit(f"{self.folder}: {' '.join(words)} exited with {process.returncode}:\n{said[-2000:]}")
        return used.ru_utime + used.ru_stime, said


# --- measuring


def measure(arms: list[dict[Fleet, Home]], workloads: list[Workload], rounds: int) -> dict[str, list[list[float]]]:
    """CPU seconds by workload, arm and round."""
    times: dict[str, list[list[float]]] = {workload.title: [[] for _ in arms] for workload in workloads}
    orders = list(itertools.permutations(range(len(arms))))
    for number in range(rounds + 1):
        started = time.perf_counter()
        for workload in workloads:
            for arm in orders[number % len(orders)]:
                seconds = run_once(arms[arm][workload.fleet], workload)
                if number:
                    times[workload.title][arm].append(seconds)
        print(f"round {number} of {rounds}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return times


def run_once(home: Home, workload: Workload) -> float:
    """CPU seconds of the command. Exits where it did not do its work."""
    if workload.is_due:
        home.make_due()
    total, healthy, changed = home.state()
    seconds, said = home.intctl(workload.command)
    new_total, new_healthy, new_changed = home.state()
    checks = (new_total - total, new_healthy - healthy)
    names = len(set(re.findall(r"\bapi-\d{4}\b", said)))
    problem = ""
    if checks != (workload.checks, workload.checks):
        problem = f"recorded {checks[0]} checks, {checks[1]} of them healthy, instead of {workload.checks}"
    elif not workload.checks and new_changed != changed:
        problem = "changed an integration"
    elif not said.strip() or (workload.names and names != workload.names):
        problem = f"printed {names} integrations instead of {workload.names}"
    if problem:
        sys.exit(f"{home.folder}: {workload.title} {problem}:\n{said[-2000:]}")
    return seconds


# --- comparing


class Row:
    """A line of the table, from the CPU seconds of each arm."""

    def __init__(self, title: str, old: Sequence[float], again: Sequence[float], new: Sequence[float]) -> None:
        self.title = title
        self.figures = [lowest_quarter(times) for times in (old, again, new)]
        self.old_to_old = self.figures[1] / self.figures[0]
        self.new_to_old = self.figures[2] / statistics.fmean(self.figures[:2])
        self.spread = spread(old, again)
        limit = max(TOLERANCE, self.spread)
        self.verdict = "worse" if self.new_to_old > limit else "better" if 1 / self.new_to_old > limit else "same"

    def __str__(self) -> str:
        figures = " | ".join(f"{seconds * 1000:.1f}" for seconds in self.figures)
        ratios = f"{self.new_to_old:.3f} | {self.old_to_old:.3f} | {self.spread:.3f}"
        return f"| {self.title} | {figures} | {ratios} | {self.verdict} |"


def lowest_quarter(times: Sequence[float]) -> float:
    """The mean of the lowest quarter."""
    return statistics.fmean(sorted(times)[: math.ceil(len(times) / 4)])


def spread(one: Sequence[float], two: Sequence[float]) -> float:
    """How far the ratio of two arms of the same commit is from 1 by chance, as a factor of at least 1."""
    coin = random.Random(1)

    def factor(first: Sequence[float], second: Sequence[float]) -> float:
        ratio = lowest_quarter(second) / lowest_quarter(first)
        return max(ratio, 1 / ratio)

    drawn = []
    for _ in range(DRAWS):
        pairs = [pair if coin.random() < 0.5 else pair[::-1] for pair in zip(one, two, strict=True)]
        drawn.append(factor(*zip(*pairs, strict=True)))
    return max(factor(one, two), sorted(drawn)[int(DRAWS * WITHIN)])


def written(rows: Sequence[Row], old: str, new: str, options: argparse.Namespace) -> str:
    """The section for RESULTS.md."""
    only = f" --only {options.only}" if options.only else ""
    worse = ", ".join(row.title for row in rows if row.verdict == "worse")
    lines = [
        "## Comparison",
        "",
        f"`.venv/bin/python bench/compare.py {old} {new} --rounds {options.rounds}{only}` on {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {platform.system()}. CPU milliseconds of the command's own process, "
        "start-up included: mean of the lowest quarter of the rounds, all arms interleaved. Worse means that "
        f"NEW ÷ OLD is above {TOLERANCE} and above the spread, the factor by which OLD ÷ OLD differs from 1 by chance.",
        "",
        f"| workload | OLD ({old}) | OLD again | NEW ({new}) | NEW ÷ OLD | OLD ÷ OLD | spread | verdict |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
        *map(str, rows),
        "",
        f"{f'Worse: {worse}' if worse else 'Nothing is worse'}. "
        f"The machine's load average at the end was {os.getloadavg()[1]:.1f} over 5 minutes.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
