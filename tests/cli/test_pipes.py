"""Output that nobody reads: a closed pipe, a full disk, streams that were closed before the start, a collector."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest

from intctl.cli import COMMANDS
from intctl.db.url import SQLITE

from ..agent_rig import until
from .conftest import Intctl, MailHost

RUN = [sys.executable, "-m", "intctl"]

#: A line for each command that writes, with its exit code when everything can be written. "Bad" fails its check.
LINES: dict[str, int] = {
    "--help": 0,
    "--version": 0,
    **{f"{name} --help": 0 for name in COMMANDS},
    "list": 0,
    "list -o json": 0,
    "show Email": 0,
    "dashboard": 0,
    "stats -o json": 0,
    "alerts": 0,
    "alerts --exit-code": 1,
    "logs": 0,
    "metrics": 0,
    "maintenance list": 0,
    "explain tcp.refused": 3,
    "explain auth.method": 0,
    "providers list": 0,
    "providers show smtp": 0,
    "providers template smtp": 0,
    "providers schema": 0,
    "org list": 0,
    "check Email": 0,
    "check Email -o json": 0,
    "check Bad": 1,
    "check Bad --nagios": 2,
    "check --all --nagios": 2,
    "test Email": 0,
    "troubleshoot Email": 0,
    "toggle Email --on": 0,
    "interval Email 7": 0,
    "synced Email": 0,
    "agent --once": 0,
    "agent status": 0,
    "list --nonsense": 2,
    "show nobody": 3,
    "": 2,
}

_IN_BOTH = (
    "list",
    "show Email",
    "alerts --exit-code",
    "check Bad",
    "check --all --nagios",
    "agent --once",
    "show nobody",
)


@pytest.fixture
def both(intctl: Intctl, email: MailHost) -> Intctl:
    """A healthy integration, one in error, and a pass."""
    intctl("add", "smtp", "-f", "-", "--no-test", stdin=email.manifest("Bad"), MAIL_PASSWORD="wrong")
    intctl("check", "Bad", code=1)
    intctl("agent", "--once")
    return intctl


@contextmanager
def closed_pipe() -> Iterator[int]:
    """The end of a pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


def run(intctl: Intctl, line: str, **streams: Any) -> tuple[int, str]:
    """Run a command line as a process; the exit code, and what came on standard error if that is read."""
    ran = subprocess.run([*RUN, *line.split()], env=intctl.environ, stdin=subprocess.DEVNULL, timeout=60, **streams)
    return ran.returncode, (ran.stderr or b"").decode()


@pytest.mark.case("F04")
def test_a_closed_pipe_changes_no_exit_code(both: Intctl) -> None:
    """For every command, exit code and messages are the same whether or not anybody reads standard output."""
    both.environ["PYTHONUNBUFFERED"] = (
        "1" if both.target.dialect == SQLITE else ""
    )  # writes fail at once, or at the end
    # What both databases share is run beside one of them.
    lines = {line: code for line, code in LINES.items() if both.target.dialect == SQLITE or line in _IN_BOTH}
    with closed_pipe() as nobody:
        found = {line: run(both, line, stdout=nobody, stderr=subprocess.PIPE) for line in lines}
        blind = {
            line: run(both, line, stdout=nobody, stderr=nobody)[0] for line in ("list", "check Bad", "show nobody")
        }
    assert {line: code for line, (code, _) in found.items()} == lines
    assert not any("Traceback" in err or "Errno" in err or "Broken" in err for _, err in found.values())
    assert blind == {"list": 0, "check Bad": 1, "show nobody": 3}


@pytest.mark.case("F04")
def test_a_reader_that_leaves_in_the_middle(both: Intctl) -> None:
    """After a part of a long output, the exit code is that of the command, too."""
    for words, code in ((["providers", "schema"], 0), (["check", "Bad", "-o", "json"], 1)):
        process = subprocess.Popen([*RUN, *words], env=both.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == (b"", code)
        process.stderr.close()


@pytest.mark.case("F04")
def test_a_watched_dashboard_ends_with_its_reader(both: Intctl) -> None:
    """dashboard --watch ends with 0 when nobody reads it any more."""
    with closed_pipe() as nobody:
        assert run(both, "dashboard --watch --every 1", stdout=nobody, stderr=subprocess.PIPE) == (0, "")


@pytest.mark.case("F04")
@pytest.mark.parametrize(
    ("redirection", "list_code", "agent_code"),
    [
        (">/dev/full", 74, 0),
        (">&-", 74, 0),
        ("2>&-", 0, 0),
        ("2>/dev/full", 0, 0),
        (">/dev/full 2>&-", 74, 0),
        (">/dev/full 2>/dev/full", 74, 0),
        (">&- 2>&-", 74, 0),
        ("<&- >/dev/null 2>&-", 0, 0),
        ("<&- >&- 2>&-", 74, 0),
    ],
)
def test_streams_that_cannot_be_written(both: Intctl, redirection: str, list_code: int, agent_code: int) -> None:
    """Lost data is 74, lost messages are no error; the agent's exit code is the same as ever."""
    for words, code in (("list", list_code), ("providers schema", list_code), ("agent --once", agent_code)):
        shell = f"'{sys.executable}' -m intctl {words} {redirection}"
        assert subprocess.run(["sh", "-c", shell], env=both.environ, timeout=60).returncode == code, words


# --- the service


@contextmanager
def service(intctl: Intctl, *words: str, stdout: int | IO[bytes], stderr: int | IO[bytes]) -> Iterator[Any]:
    """A service whose output goes there; it is ended if the test does not end it."""
    process = subprocess.Popen(
        [*RUN, "agent", "--every", "1", *words],
        env=intctl.environ,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()


def passes(intctl: Intctl) -> int:
    """How many passes the agent has completed."""
    return sum(row["passes"] for row in intctl("agent", "status", "-o", "json", code=None).json)


def is_alive_for(process: Any, intctl: Intctl, count: int) -> bool:
    """Whether the service completes so many more passes."""
    goal = passes(intctl) + count
    until(lambda: process.poll() is not None or passes(intctl) >= goal, f"{count} passes")
    return process.poll() is None


@pytest.mark.case("reliability 4")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_service_outlives_the_readers_of_its_journal(both: Intctl, email: MailHost, log_format: str) -> None:
    """With both streams closed the service goes on checking, and SIGTERM ends it with 0."""
    with closed_pipe() as nobody, service(both, "--log-format", log_format, stdout=nobody, stderr=nobody) as process:
        assert is_alive_for(process, both, 2)
        both("interval", "Email", "1")
        logins = len(email.server.logins)
        both("toggle", "Email", "--off")
        both("toggle", "Email", "--on")  # due now: a line in the journal
        until(lambda: process.poll() is not None or len(email.server.logins) > logins, "a check")
        assert is_alive_for(process, both, 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.case("reliability 4")
def test_a_collector_that_restarts_gets_the_next_lines(both: Intctl, tmp_path: Path) -> None:
    """While nobody reads the FIFO, lines are dropped; a new reader gets the new ones."""
    fifo = tmp_path / "journal"
    os.mkfifo(fifo)
    with ExitStack() as stack:
        first = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        writer = stack.enter_context(fifo.open("wb"))
        process = stack.enter_context(service(both, "--log-format", "json", stdout=writer, stderr=writer))
        until(lambda: reads(first), "a first line")
        os.close(first)
        both("toggle", "Email", "--off")
        both("toggle", "Email", "--on")
        assert is_alive_for(process, both, 2)
        second = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        stack.callback(os.close, second)
        both("toggle", "Email", "--off")
        both("toggle", "Email", "--on")
        until(lambda: reads(second), "a line for the second reader")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def reads(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""


@pytest.mark.case("reliability 4")
def test_a_pass_records_what_it_found_for_nobody(both: Intctl, email: MailHost) -> None:
    """agent --once with a closed pipe checks and records as always."""
    both("toggle", "Email", "--off")
    both("toggle", "Email", "--on")
    before = len(both("logs", "Email", "-o", "json").json)
    with closed_pipe() as nobody:
        assert run(both, "agent --once --log-format json", stdout=nobody, stderr=nobody) == (0, "")
    assert len(both("logs", "Email", "-o", "json").json) == before + 1


@pytest.mark.case("reliability 4")
def test_the_sandbox_outlives_its_reader(tmp_path: Path) -> None:
    """sandbox up serves on when the reader of its announcement is gone, and ends with 0 at SIGTERM."""
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    with closed_pipe() as nobody:
        process = subprocess.Popen([*RUN, "sandbox", "up"], env=environ, stdout=nobody, stderr=nobody)
    try:
        until(lambda: process.poll() is not None or list(tmp_path.rglob("environment.sh")), "the script")
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
