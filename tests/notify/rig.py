"""A command that records its input, and deliveries in this process."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from intctl.db.connect import connect
from intctl.notify import command
from intctl.notify.catalogue import CATALOGUE, Subscriber
from intctl.notify.event import StatusChanged
from intctl.notify.rules import Outbox
from intctl.service.journal import Journal
from intctl.service.reporter import Reporter

from ..agent_rig import Fleet, Host, shift


class Teller:
    """A command that records its input, and the file of the records."""

    def __init__(self, folder: Path, then: str = "") -> None:
        self.got = folder / "got"
        self._script = folder / "tell.py"
        self._script.write_text(
            "import json, os, signal, sys, time\n"
            "document = json.loads(sys.stdin.read())\n"
            f"with open({str(self.got)!r}, 'a') as file:\n"
            "    file.write(json.dumps({'document': document, 'environ': dict(os.environ), 'argv': sys.argv[1:],\n"
            "                           'pid': os.getpid(), 'group': os.getpgid(0)}) + '\\n')\n"
            f"{then}\n"
        )
        self.command = f"{sys.executable} {self._script} 'two words' \"$HOME;echo\""

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.got.read_text().splitlines()] if self.got.exists() else []

    def told(self) -> list[tuple[str, str, str]]:
        documents = [call["document"] for call in self.calls()]
        return [(one["integration"], one["from"], one["to"]) for one in documents]


def on_change(text: str, *, limit_s: float = 30.0, environ: dict[str, str] | None = None) -> Subscriber:
    """The command of --on-change."""
    given = command.environment({"PATH": os.environ["PATH"], **(environ or {})})
    return Subscriber(CATALOGUE["command"], command.Command(command.parse(text), given, limit_s=limit_s))


def deliver(
    fleet: Fleet, text: str, *, limit_s: float = 30.0, environ: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """One delivery to a command in this process. Returns the lines of the journal."""
    return deliver_to(fleet, on_change(text, limit_s=limit_s, environ=environ))


def deliver_to(fleet: Fleet, *subscribers: Subscriber) -> list[dict[str, Any]]:
    """One delivery in this process. Returns the lines of the journal."""
    lines: list[str] = []
    reporter = Reporter(Journal("json", lambda _data, line: lines.append(line), time.time), subscribers)
    with connect(fleet.target) as database:
        outbox = Outbox(database, "me", org_id=None, stop=lambda: False)
        reporter.report_changes(outbox, time.monotonic() + 30, progress=lambda: None)
    return [json.loads(line) for line in lines]


def wait(fleet: Fleet, seconds: int) -> None:
    """Let time pass for the next attempts."""
    with connect(fleet.target) as database:
        shift(database, "next_attempt_at", seconds, "integration_transitions")


def failing(fleet: Fleet, provider: Host, *names: str) -> None:
    """Add integrations that were active and are now in error."""
    for name in names:
        provider.behaviour[f"/{name}"] = ["401"]
    fleet.add({name: f"{provider.url}/{name}" for name in names})
    fleet.once()
    assert set(fleet.statuses().values()) == {"error"}


def changed(name: str = "Email", id: str = "t1") -> StatusChanged:
    """The event of an integration that enters the status error."""
    return StatusChanged(
        id=id,
        occurred_at=datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
        name=name,
        integration_id="i1",
        org_id="o1",
        provider="smtp",
        type="email",
        from_status="active",
        to_status="error",
        verdict="down",
        code="connect.refused",
        message="The server refused the connection",
        attempt=1,
    )
