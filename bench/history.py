"""Years of history: the time of reads over millions of health logs, and of locks during deletions.

Both databases are made in a temporary folder and removed afterwards: an SQLite file, and a PostgreSQL
from the test extra's wheel with its durable settings. The rows are loaded in the order of their times,
folded as the agent would fold them, then read and pruned.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from startup import intctl, replace_section  # noqa: E402

from intctl.db.connect import Database, connect, time_text  # noqa: E402
from intctl.db.url import POSTGRESQL, Target, sqlite_target  # noqa: E402
from intctl.metrics import report, retention  # noqa: E402
from intctl.schema.setup import prepare  # noqa: E402
from intctl.store import clock, logs, organizations  # noqa: E402
from intctl.store.organization_changes import first_organization  # noqa: E402

INTEGRATIONS = 1_000
DAYS = 90
#: The goals that are shown with the results, in milliseconds.
GOALS = {
    "last 50 checks of one": 5, "metrics of one, 90 d": 10, "intctl metrics --window 30d, all": 1000,
    "intctl metrics --window 90d, all": None, "intctl dashboard": 1000, "longest batch of deletions": 100,
    "longest wait of another writer": 100,
}  # fmt: skip
LOG_INDEXES = (
    "idx_integration_health_logs_integration", "idx_integration_health_logs_checked",
    "uq_integration_health_logs_lease", "idx_integration_health_logs_history",
)  # fmt: skip
COLUMNS = "id, integration_id, check_type, status, response_time_ms, error_message, metadata, checked_at, lease_token"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000, help="health logs (default 5,000,000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each read is repeated (default 5)")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="only this database")
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="intctl-bench-") as name:
        for kind in ("sqlite", "postgresql"):
            if options.only in (None, kind):
                with database_of(kind, Path(name)) as (target, url):
                    found[kind] = measured(target, url, Path(name), options.rows, options.rounds)
    text = written(found, options.rows, options.rounds)
    sys.stdout.write(text)
    replace_section(text)


# --- the databases -------------------------------------------------------------------------------


@contextmanager
def database_of(kind: str, folder: Path) -> Iterator[tuple[Target, str]]:
    if kind == "sqlite":
        path = folder / "bench.db"
        yield sqlite_target(path), f"sqlite:///{path}"
        path.unlink()
        return
    with postgresql() as socket:
        parameters = {"host": socket, "port": "5432", "dbname": "postgres", "user": "postgres"}
        yield Target(POSTGRESQL, parameters=parameters), f"postgresql://postgres@/postgres?host={socket}"


@contextmanager
def postgresql() -> Iterator[str]:
    """A server with the settings that a small installation has; its socket folder."""
    from tests.postgresql_server import _NOBODY, _programs

    folder = Path(tempfile.mkdtemp(prefix="intctl-pg-"))
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        identity = {"user": _NOBODY, "group": _NOBODY, "extra_groups": ()}
        os.chown(folder, _NOBODY, _NOBODY)
    programs, data = _programs(folder), folder / "data"
    common = {"cwd": folder, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}, **identity}
    with (folder / "log").open("wb") as log:
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8"],
            check=True,
            stdout=log,
            stderr=log,
            **common,
        )
        settings = (
            f"unix_socket_directories={folder}",
            "listen_addresses=",
            "shared_buffers=256MB",
            "max_wal_size=4GB",
        )
        words = [word for setting in settings for word in ("-c", setting)]
        server = subprocess.Popen([programs / "postgres", "-D", data, *words], stdout=log, stderr=log, **common)
        try:
            deadline = time.monotonic() + 60
            while "ready" not in (data / "postmaster.pid").read_text() if (data / "postmaster.pid").exists() else True:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((folder / "log").read_text())
                time.sleep(0.05)
            yield str(folder)
        finally:
            server.terminate()
            server.wait(60)
            shutil.rmtree(folder, ignore_errors=True)


# --- the rows ------------------------------------------------------------------------------------


def load(target: Target, rows: int) -> str:
    """Fill the database. Returns the id of one integration."""
    prepare(target, first_organization("Bench", "bench"))
    with connect(target) as database:
        org = organizations.find_all(database)[0].id
        now = clock.now(database)
        raw = database._connection
        each = rows // INTEGRATIONS
        minutes = max(1, min(60, round(DAYS * 1440 / each)))
        ids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(1, INTEGRATIONS + 1)]
        with database.transaction():
            for number, id in enumerate(ids):
                failing = number % 50 == 7
                database.run(
                    "INSERT INTO integrations (id, org_id, type, provider, name, config, status, created_at,"
                    " last_health_check, health_check_interval_minutes, error_message) VALUES (:id, :org, 'email',"
                    " 'smtp', :name, :config, :status, :created, :checked, :minutes, :message)",
                    {
                        "id": id,
                        "org": org,
                        "name": f"Integration {number:04}",
                        "config": {"v": 1},
                        "status": "error" if failing else "active",
                        "created": now - timedelta(days=DAYS + 1),
                        "checked": now,
                        "minutes": minutes,
                        "message": "It does not answer." if failing else None,
                    },
                )
                database.run(
                    "INSERT INTO integration_schedules (integration_id, next_check_at) VALUES (:id, :at)",
                    {"id": id, "at": now + timedelta(days=1)},
                )
        if target.dialect == POSTGRESQL:
            raw.cut_s = None  # loading is slow
            _copy(raw, generated(ids, each, now))
            raw.execute("VACUUM ANALYZE")
        else:
            _insert(raw, generated(ids, each, now))
    return ids[500]


def generated(ids: list[str], each: int, now: datetime) -> Iterator[tuple[Any, ...]]:
    """The health logs, oldest first: short outages now and then, and one integration in fifty down at the end."""
    chance = random.Random(5)
    times = [int(chance.lognormvariate(5, 0.4)) for _ in range(9973)]
    step = DAYS * 86400 / each
    start = now.timestamp() - DAYS * 86400
    phases = {"dns": 0.4, "tcp": 12.1, "tls": 31.9, "greet": 44.0, "auth": 58.2}
    documents = {
        status: json.dumps(
            {
                "verdict": verdict,
                "code": code,
                "phase": phase,
                "phases_ms": phases,
                "config_version": 1,
                "facts": {"tls_version": "TLSv1.3", "certificate_days_left": 61},
                "agent": "host-1",
            }
        )
        for status, verdict, code, phase in (
            ("success", "healthy", "ok", ""),
            ("failure", "down", "tcp.timeout", "tcp"),
            ("unknown", "unknown", "dns.failure", "dns"),
        )
    }
    number = 0
    for turn in range(each):
        late = each - turn
        for place, id in enumerate(ids):
            at = start + turn * step + step * place / len(ids)
            drawn = (turn * 31 + place * 37) % 4000
            broken = (turn + place * 37) % 450 < 6 or (place % 50 == 7 and late < 20 + 10 * place % 400)
            status = "failure" if broken else "unknown" if drawn < 12 else "success"
            number += 1
            stamp = int(at * 1000)
            log_id = f"{stamp >> 16:08x}-{stamp & 0xFFFF:04x}-7{number & 0xFFF:03x}-8000-{number:012x}"
            moment = time_text(datetime.fromtimestamp(at, UTC))
            message = None if status == "success" else "It did not answer in time."
            yield (log_id, id, "scheduled", status, times[number % 9973], message, documents[status], moment, turn + 1)


def _copy(raw: Any, rows: Iterator[tuple[Any, ...]]) -> None:
    raw.execute("SET statement_timeout = 0")
    definitions = raw.execute(
        "SELECT indexdef FROM pg_indexes WHERE indexname = ANY(%s)", (list(LOG_INDEXES),)
    ).fetchall()
    for name in LOG_INDEXES:
        raw.execute(f"DROP INDEX {name}")
    with raw.cursor().copy(f"COPY integration_health_logs ({COLUMNS}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    for (definition,) in definitions:
        raw.execute(definition)


def _insert(raw: Any, rows: Iterator[tuple[Any, ...]]) -> None:
    definitions = raw.execute(f"SELECT sql FROM sqlite_master WHERE name IN {LOG_INDEXES}").fetchall()
    for name in LOG_INDEXES:
        raw.execute(f"DROP INDEX {name}")
    raw.execute("BEGIN")
    raw.executemany(f"INSERT INTO integration_health_logs ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    raw.execute("COMMIT")
    for (definition,) in definitions:
        raw.execute(definition)
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


# --- the measures --------------------------------------------------------------------------------


def measured(target: Target, url: str, folder: Path, rows: int, rounds: int) -> dict[str, float]:
    """Milliseconds of each read (median of the rounds), the longest lock, and rows a second."""
    begun = time.perf_counter()
    one = load(target, rows)
    told(target.dialect, "loaded", begun)
    found: dict[str, float] = {}
    with connect(target) as database:
        org = organizations.find_all(database)[0].id
        begun = time.perf_counter()
        retention.roll_up(database)
        told(target.dialect, "folded", begun)
        found["rows folded a second"] = rows * (DAYS - 1) / DAYS / (time.perf_counter() - begun)
        if target.dialect == POSTGRESQL:
            database._connection.cut_s = None
            database.run("SET statement_timeout = 0")
            database.run("VACUUM ANALYZE")
        reads_of: dict[str, Callable[[], object]] = {
            "last 50 checks of one": lambda: logs.newest(database, org, id=one, limit=50),
            "metrics of one, 90 d": lambda: report.metrics(database, org, window(database, "90d"), id=one),
        }
        for label, read in reads_of.items():
            found[label] = timed(read, rounds * 4)
    environ = {"PATH": os.environ["PATH"], "INTCTL_HOME": str(folder), "INTCTL_DATABASE_URL": url, "LANG": "C.UTF-8"}
    for words in (["metrics", "--window", "30d"], ["metrics", "--window", "90d"], ["dashboard"]):
        label = f"intctl {' '.join(words)}" + (", all" if words[0] == "metrics" else "")
        found[label] = timed(partial(run, words, environ), rounds)
    found |= pruned(target, org)
    return found


def window(database: Database, name: str) -> report.Window:
    now = clock.now(database)
    return report.Window.of(name, now - report.WINDOWS[name], now, now)


def timed(action: Callable[[], object], rounds: int) -> float:
    """The median, in milliseconds, after one round that warms the caches."""
    action()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) * 1000


def run(words: list[str], environ: dict[str, str]) -> None:
    nowhere = subprocess.DEVNULL
    subprocess.run([intctl(), *words], env=environ, check=True, stdout=nowhere)


def pruned(target: Target, org: str) -> dict[str, float]:
    """Delete ten days while another connection writes. Returns the longest batch and wait, and rows a second."""
    waits: list[float] = []
    stop = threading.Event()

    def write() -> None:
        with connect(target) as other:
            while not stop.is_set():
                start = time.perf_counter()
                with other.transaction():
                    other.run("UPDATE integrations SET last_health_check = {now} WHERE name = 'Integration 0001'")
                waits.append(time.perf_counter() - start)
                stop.wait(0.01)

    batches = retention.Batches()
    rows = 0

    def deleted(number: int) -> None:
        nonlocal rows
        rows += number

    writer = threading.Thread(target=write)
    with connect(target) as database:
        writer.start()
        begun = time.perf_counter()
        try:
            retention.prune(database, org, DAYS - 10, deleted=deleted, batches=batches)
        finally:
            stop.set()
            writer.join()
    took = time.perf_counter() - begun
    return {
        "longest batch of deletions": batches.longest_s * 1000,
        "longest wait of another writer": max(waits) * 1000,
        "rows deleted a second": rows / took,
        "rows in a batch at the end": batches.rows,
    }


def told(dialect: str, what: str, begun: float) -> None:
    sys.stderr.write(f"{dialect}: {what} in {time.perf_counter() - begun:.0f} s\n")


def written(found: dict[str, dict[str, float]], rows: int, rounds: int) -> str:
    """The section for RESULTS.md."""
    load_average = os.getloadavg()[1]
    lines = [
        "## History",
        "",
        f"`.venv/bin/python bench/history.py --rows {rows} --rounds {rounds}` on {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {platform.system()}; {rows:,} health logs of {INTEGRATIONS:,} "
        f"integrations over {DAYS} days. Milliseconds, medians; commands as whole processes.",
        "",
        f"| | {' | '.join(found)} | goal |",
        f"|---|{'---:|' * len(found)}---:|",
    ]
    labels = list(next(iter(found.values())))
    for label in labels:
        values = [figures[label] for figures in found.values()]
        goal = GOALS.get(label)
        shown = " | ".join(f"{value:,.1f}" if value < 100 else f"{value:,.0f}" for value in values)
        lines.append(f"| {label} | {shown} | {f'≤ {goal:,}' if goal else ''} |")
    lines += ["", f"The machine's load average at the end was {load_average:.1f} over 5 minutes."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
