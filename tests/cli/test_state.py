"""The commands toggle, interval, synced, delete and restore: clear output and idempotence."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from intctl.db.connect import connect
from intctl.store import gauges

from .conftest import Intctl, MailHost
from .test_change import snapshot


def answered(intctl: Intctl, answer: str, question: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run intctl on a pseudo-terminal and type `answer` at the prompt `question`."""
    script = (
        "import os, pty, sys\n"
        "answer, question, *words = sys.argv[1:]\n"
        "seen, sent = b'', False\n"
        "def read(fd):\n"
        "    global seen, sent\n"
        "    data = os.read(fd, 65536)\n"
        "    seen += data\n"
        "    if question.encode() in seen and not sent:\n"
        "        sent = os.write(fd, answer.encode() + b'\\n')\n"
        "    return data\n"
        "code = pty.spawn([sys.executable, '-m', 'intctl', *words], read)\n"
        "sys.exit(os.waitstatus_to_exitcode(code))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script, answer, question, *words],
        env=intctl.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def row(intctl: Intctl) -> dict[str, Any]:
    (found,) = intctl("list", "-o", "json").json
    return dict(found)


def test_toggle_twice_the_same_way_changes_nothing(intctl: Intctl, email: MailHost) -> None:
    """--off when disabled and --on when enabled modify no row; without an option the state switches."""
    intctl("toggle", "Email", "--off")
    before = snapshot(intctl)
    assert intctl("toggle", "email", "--off").out == "Email is already disabled.\n"
    assert snapshot(intctl) == before
    assert "is enabled" in intctl("toggle", "Email").out
    before = snapshot(intctl)
    assert intctl("toggle", "Email", "--on").out == "Email is already enabled.\n"
    assert snapshot(intctl) == before


def test_what_was_known_before_it_was_switched_off_is_not_known_now(intctl: Intctl, email: MailHost) -> None:
    """A re-enabled integration is unchecked everywhere until its next check: never green."""
    assert row(intctl)["verdict"] == "healthy"
    intctl("toggle", "Email", "--off")
    intctl("toggle", "Email", "--on")
    assert row(intctl)["verdict"] == "unknown"
    assert "Unchecked" in intctl("list").out
    with connect(intctl.target) as database:
        assert [one.is_current for one in gauges.gauges(database)] == [False]
    assert intctl("show", "Email", "-o", "json").json["code"] == "self.not_checked"
    intctl("toggle", "Email", "--off")
    intctl("reconnect", "Email")
    assert row(intctl)["verdict"] == "healthy"


@pytest.mark.parametrize(("minutes", "words"), [("1", "every minute"), ("60", "every 60 minutes")])
def test_interval(intctl: Intctl, email: MailHost, minutes: str, words: str) -> None:
    """1 to 60 minutes; a second run reports that it is already set."""
    assert intctl("interval", "Email", minutes).out == f"Email is now checked {words}.\n"
    assert row(intctl)["health_check_interval_minutes"] == int(minutes)
    before = snapshot(intctl)
    assert intctl("interval", "Email", minutes).out == f"Email is already checked {words}.\n"
    assert snapshot(intctl) == before
    for wrong in ("0", "61", "-5", "1.5", "five"):
        intctl("interval", "Email", "--", wrong, code=2)


def test_synced(intctl: Intctl, email: MailHost) -> None:
    """A time in any zone is stored in UTC; the reason of a failure is sanitized; the next success clears it."""
    intctl("synced", "Email", "--at", "2026-01-31T11:30:00+02:00")
    assert row(intctl)["last_sync"] == "2026-01-31T09:30:00.000Z"
    intctl("synced", "Email", "--failed", "HTTP 500\x1b[31m")
    found = row(intctl)
    assert (found["last_sync_error"], found["last_sync"]) == ("HTTP 500[31m", "2026-01-31T09:30:00.000Z")
    assert "(failed)" in intctl("list").out and "HTTP 500" in intctl("show", "Email").out
    intctl("synced", "Email")
    found = row(intctl)
    assert found["last_sync_error"] is None and found["last_sync"] > "2026-02"
    assert found["status"] == "active"


@pytest.mark.parametrize(
    "words",
    [
        ["--at", "noon"],
        ["--at", "2026-01-31T09:30:00"],
        ["--at", "0001-01-01T00:00:00+14:00"],
        ["--failed", " "],
        ["--failed", "x", "--at", "2026-01-31T09:30:00Z"],
    ],
)
def test_synced_refuses(intctl: Intctl, email: MailHost, words: list[str]) -> None:
    """No time zone, no time, no reason, or both: exit 2, one line, nothing recorded."""
    before = snapshot(intctl)
    ran = intctl("synced", "Email", *words, code=2)
    assert ran.err.count("\n") == 1 and snapshot(intctl) == before


def test_delete_and_restore(intctl: Intctl, email: MailHost) -> None:
    """A second delete exits 3; restore keeps the history and disables; an invalid new name is rejected."""
    id = row(intctl)["id"]
    assert "add --yes" in intctl("delete", "Email", code=2).err
    assert intctl("delete", "Email", "--yes").out == f"Deleted Email. To restore it: intctl restore {id}\n"
    intctl("delete", "Email", "--yes", code=3)
    for wrong in ("", "-x", "a\x1bb", "x" * 101):
        assert "--as" in intctl("restore", "Email", f"--as={wrong}", code=2).err
    assert "toggle 'Old mail' --on" in intctl("restore", "Email", "--as", "Old mail").out
    assert (row(intctl)["name"], row(intctl)["status"]) == ("Old mail", "inactive")
    intctl("restore", "Email", code=3)
    assert len(intctl("logs", "Old mail", "-o", "json").json) == 1


def test_commands_that_are_told_can_be_typed(intctl: Intctl, email: MailHost) -> None:
    """A name with quotes and blanks is quoted for the shell in every suggested command."""
    import shlex

    name = "Anna's mail $HOME"
    intctl("edit", "Email", "-f", "-", stdin=email.manifest(name), MAIL_PASSWORD="canary-7f3a9c-do-not-show")
    intctl("toggle", name, "--off")
    said = intctl("toggle", name, "--on").out.rpartition("now: ")[2]
    assert shlex.split(said) == ["intctl", "check", name]
    intctl("delete", name, "--yes")
    said = intctl("restore", name).out.rpartition("enable it: ")[2]
    assert shlex.split(said) == ["intctl", "toggle", name, "--on"]


def test_delete_asks_on_a_terminal(intctl: Intctl, email: MailHost) -> None:
    """Without a confirmation nothing is deleted."""
    assert answered(intctl, "n", "Delete Email?", "delete", "Email").returncode == 0
    assert row(intctl)["name"] == "Email"
    assert answered(intctl, "y", "Delete Email?", "delete", "Email").returncode == 0
    assert intctl("list", "-o", "json").json == []
