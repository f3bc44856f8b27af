"""Fixtures of the agent's tests: a provider host that can hang, many integrations, and agents as processes."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from intctl import agent, keyring, vault
from intctl.agent import PassSettings, Stop, Summary
from intctl.db.connect import Database, connect
from intctl.db.url import POSTGRESQL, Target
from intctl.keyring import Keyring
from intctl.providers import catalogue
from intctl.store import changes

from .conftest import ORG_ID, database_url
from .servers import RawServer, raw_server

#: A deadline for everything here, in seconds: only a hang exceeds it.
PATIENCE_S = 30.0


def until(true: Callable[[], object], what: str) -> None:
    """Wait until a condition holds."""
    ends = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < ends, f"never came: {what}"
        time.sleep(0.02)


class Host:
    """A provider on loopback. `behaviour` maps a path to its replies, used in order; the last one repeats.

    A reply is a status ("200"), "reset" (closed without a reply), or either after "hang:", which waits for `release()`
    first. `hits` counts requests by path; `most` is the highest number under way at once. A path that was requested
    with a credential rejects requests without one, which are no hits.
    """

    def __init__(self, server: RawServer, scheme: str) -> None:
        self.url = f"{scheme}://{server.host}:{server.port}"
        self.behaviour: dict[str, list[str]] = {}
        self.hits: Counter[str] = Counter()
        self.most = 0
        self._closed: set[str] = set()
        self.delay_s = 0.0
        self.delays: dict[str, float] = {}  # by path, instead of delay_s
        self._under_way = 0
        self._released = False

    def release(self) -> None:
        """Answer the hanging requests."""
        self._released = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        if b"\r\nAuthorization: " in head:
            self._closed.add(path)
        elif path in self._closed:
            writer.write(b"HTTP/1.1 401 Whatever\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        self.hits[path] += 1
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        answers = self.behaviour.get(path, ["200"])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer.startswith("hang:"):
            while not self._released:
                await asyncio.sleep(0.02)
            answer = answer.removeprefix("hang:")
        await asyncio.sleep(self.delays.get(path, self.delay_s))
        self._under_way -= 1
        if answer != "reset":
            writer.write(f"HTTP/1.1 {answer} Whatever\r\nContent-Length: 2\r\n\r\n{{}}".encode())
            await writer.drain()


@contextmanager
def host(context: ssl.SSLContext | None = None) -> Iterator[Host]:
    """A provider host for one test; with TLS if a context is given."""
    made: list[Host] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _server: RawServer) -> None:
        await made[0].serve(reader, writer)

    with raw_server(handler, context) as server:
        made.append(Host(server, "https" if context else "http"))
        yield made[0]


class Fleet:
    """Integrations of the provider http in one database, a keyring, and their agents."""

    def __init__(self, target: Target, home: Path) -> None:
        self.target = target
        self.home = home
        home.mkdir(mode=0o700, exist_ok=True)
        keyring.write_file(home / "keyring.json", [keyring.new_key()])
        self.keyring: Keyring = keyring.load({}, home)
        self.environ = {
            "INTCTL_HOME": str(home),
            "INTCTL_DATABASE_URL": database_url(target),
            "LANG": "C.UTF-8",
            # Code that runs in separate processes must count as covered, too.
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        }
        self.processes: list[subprocess.Popen[str]] = []

    def add(
        self, urls: Mapping[str, str], org_id: str = ORG_ID, status: str = "active", minutes: int = 5, **more: object
    ) -> dict[str, str]:
        """Add integrations by name and URL, all due now, with `more` in their config. Returns their ids by name."""
        provider = catalogue.get("http")
        assert provider is not None
        ids = {name: changes.new_id() for name in urls}
        with changes.unit_of_work(self.target) as session:
            for name, url in urls.items():
                config = {"url": url, "method": "GET", "expect_status": 200, "security": "tls", **more}
                changes.insert_integration(
                    session,
                    changes.NewIntegration(
                        id=ids[name],
                        org_id=org_id,
                        type="custom",
                        provider="http",
                        name=name,
                        status=status,
                        config=vault.seal(self.keyring, org_id, ids[name], provider, config),
                        interval_minutes=minutes,
                        due="now",
                    ),
                )
        return ids

    def once(self, **settings: Any) -> Summary:
        """Run one pass in this process."""
        with connect(self.target) as database:
            return agent.run_once(database, self.keyring, PassSettings(host="here", **settings), Stop())

    def start(self, *words: str, stdin: str | None = None, **environ: str) -> subprocess.Popen[str]:
        """Start `intctl …` as a separate process, which ends with the test."""
        process = subprocess.Popen(
            [sys.executable, "-m", "intctl", *words],
            env={**self.environ, **environ},
            text=True,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        if stdin is not None:
            assert process.stdin is not None
            process.stdin.write(stdin)
            process.stdin.close()
            process.stdin = None
        return process

    def end(self) -> None:
        """End every process that still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query."""
        with connect(self.target) as database:
            return database.rows(sql)

    def logs(self) -> list[dict[str, Any]]:
        """Every health log with the integration's name, oldest first."""
        return self.rows(
            "SELECT i.name, l.status, l.check_type, l.lease_token, l.metadata, i.status AS now FROM "
            "integration_health_logs l JOIN integrations i ON i.id = l.integration_id ORDER BY l.checked_at, l.id"
        )

    def statuses(self) -> dict[str, str]:
        """The status of every integration, by name."""
        return {row["name"]: row["status"] for row in self.rows("SELECT name, status FROM integrations")}

    def leases(self) -> list[tuple[bool, int]]:
        """For every integration: whether its lease is held, and its number of attempts."""
        found = self.rows("SELECT lease_owner, attempts FROM integration_schedules")
        return [(row["lease_owner"] is not None, row["attempts"]) for row in found]

    def pass_time(self, column: str, seconds: int) -> None:
        """Move a stored time of every schedule back, as if `seconds` had passed."""
        with connect(self.target) as database:
            shift(database, column, seconds)

    def all_due(self) -> None:
        """Make every scheduled check due."""
        self.pass_time("next_check_at", 7200)


def shift(database: Database, column: str, seconds: int, table: str = "integration_schedules") -> None:
    """Move a stored time back in every row of a table."""
    if database.dialect == POSTGRESQL:
        moved = f"{column} - make_interval(secs => {seconds})"
    else:
        moved = f"strftime('%Y-%m-%dT%H:%M:%f000Z', {column}, '-{seconds} seconds')"
    database.run(f"UPDATE {table} SET {column} = {moved} WHERE {column} IS NOT NULL")


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a process. Returns its exit code, output and errors."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def each_once(names: Sequence[str]) -> dict[str, int]:
    return dict.fromkeys(names, 1)
