"""The command of --on-change: its input, and the handling of a command that fails or hangs."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from intctl.errors import UsageError
from intctl.notify import command

from ..agent_rig import Fleet, Host, until
from .rig import Teller, deliver, failing, wait

SECRET = "canary-7f3a9c-do-not-show"


# --- parsing


@pytest.mark.parametrize("text", ["", "  ", f"tell '{SECRET}"])
def test_a_command_that_is_none(text: str) -> None:
    """An unclosed quote or an empty command is a usage error that does not repeat the text."""
    with pytest.raises(UsageError, match="--on-change: ") as told:
        command.parse(text)
    assert SECRET not in str(told.value)


def test_there_is_no_shell() -> None:
    """Words are literal: nothing in them is expanded, piped or commented out."""
    assert command.parse("tell 'a b' $HOME # | >x") == ("tell", "a b", "$HOME", "#", "|", ">x")


def test_the_environment_holds_nothing_of_ours() -> None:
    """The environment has neither keys nor database URL nor ping URL, nor variables that lead to them or to systemd."""
    kept = {"PATH": "/bin", "HOME": "/root", "SLACK_WEBHOOK": "theirs", "INTCTL_HOME": "/var", "INTCTL_ORG": "acme"}
    ours = dict.fromkeys(
        (
            "INTCTL_ENCRYPTION_KEY",
            "INTCTL_DATABASE_URL",
            "INTCTL_PING_URL",
            "INTCTL_KEYRING_FILE",
            "PGPASSWORD",
            "PGPASSFILE",
            "PGSERVICEFILE",
            "CREDENTIALS_DIRECTORY",
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
            "LISTEN_FDS",
        ),
        SECRET,
    )
    assert command.environment({**kept, **ours}) == kept


# --- input


def test_the_document(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """One JSON document on standard input describes the change and the next step; the arguments are the operator's."""
    teller = Teller(tmp_path)
    failing(fleet, provider, "Email")
    (said,) = deliver(fleet, teller.command, environ={"INTCTL_DATABASE_URL": SECRET, "OWN": "theirs"})
    (call,) = teller.calls()
    (row,) = fleet.rows("SELECT id, org_id FROM integrations")
    (written,) = fleet.rows("SELECT id, told_at, exit_code, lease_owner FROM integration_transitions")
    document = call["document"]
    assert document.pop("at").endswith("Z")
    assert document == {
        "message": "The provider refused the credential: HTTP 401",
        "next_step": "Put the right credential in place: intctl edit Email. "
        "If it was put right at the provider: intctl reconnect Email.",
        "transition_id": written["id"],
        "integration": "Email",
        "id": row["id"],
        "org_id": row["org_id"],
        "provider": "http",
        "type": "custom",
        "from": "active",
        "to": "error",
        "verdict": "misconfigured",
        "code": "http.auth.rejected",
        "attempt": 1,
        "missed": [],
    }
    assert call["argv"] == ["two words", "$HOME;echo"]
    assert call["environ"]["OWN"] == "theirs" and SECRET not in json.dumps(call)
    assert call["pid"] == call["group"]
    assert (written["exit_code"], written["lease_owner"]) == (0, None) and written["told_at"] is not None
    assert (said["event"], said["level"], said["integration"], said["to"]) == ("told", "info", "Email", "error")


def test_each_change_once_and_in_order(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """Each change is delivered once, an older one as missed by the newer; a second delivery reports nothing."""
    teller = Teller(tmp_path)
    provider.behaviour = {"/a": ["401", "200"], "/b": ["401"]}
    fleet.add({name: f"{provider.url}/{name}" for name in "ab"})
    fleet.once()
    fleet.all_due()
    fleet.once()
    for _ in range(2):
        deliver(fleet, teller.command)
    assert Counter(teller.told()) == {("b", "active", "error"): 1, ("a", "error", "active"): 1}
    missed = {call["document"]["integration"]: call["document"]["missed"] for call in teller.calls()}
    assert missed["b"] == []
    assert [(one["was"], one["became"]) for one in missed["a"]] == [("active", "error")]
    assert fleet.rows("SELECT id FROM integration_transitions WHERE told_at IS NULL") == []


# --- failures


@pytest.mark.case("reliability notifications")
@pytest.mark.parametrize(
    ("then", "expected", "reply", "exit_code"),
    [
        ("sys.stderr.write('first\\nno route to pager\\n'); sys.exit(3)", "it ended with 3", ": no route to pager", 3),
        ("os.kill(os.getpid(), signal.SIGTERM)", "it was ended by signal 15", "", -15),
        ("sys.stderr.write('x' * 1_000_000 + '\\nlast'); sys.exit(1)", "it ended with 1", ": last", 1),
    ],
)
def test_a_command_that_fails(
    fleet: Fleet, provider: Host, tmp_path: Path, then: str, expected: str, reply: str, exit_code: int
) -> None:
    """A failed command is a warning with the next attempt; its output is in the journal and not in the database."""
    teller = Teller(tmp_path, then)
    failing(fleet, provider, "a")
    (said,) = deliver(fleet, teller.command)
    (row,) = fleet.rows(
        "SELECT exit_code, last_error, told_at, failed_at, next_attempt_at FROM integration_transitions"
    )
    assert (said["event"], said["level"], said["integration"]) == ("on_change", "warning", "a")
    shown = said["next_attempt_at"][:19].replace("T", " ")
    assert said["message"] == f"--on-change for a (active to error): {expected}{reply}. Next attempt: {shown} UTC."
    assert (row["exit_code"], row["last_error"], row["told_at"], row["failed_at"]) == (exit_code, expected, None, None)
    assert deliver(fleet, teller.command) == []
    assert len(teller.calls()) == 1


@pytest.mark.case("reliability notifications")
def test_a_command_that_hangs_is_killed_with_what_it_started(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """At the limit the whole process group is killed; the attempt failed, and is retried later."""
    child = tmp_path / "child"
    teller = Teller(
        tmp_path,
        "import subprocess\n"
        "sleeper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"with open({str(child)!r}, 'w') as file: file.write(str(sleeper.pid))\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "time.sleep(600)",
    )
    failing(fleet, provider, "a")
    (said,) = deliver(fleet, teller.command, limit_s=5.0)
    assert "timed out: killed after 5 seconds. Next attempt: " in said["message"]
    until(lambda: not alive(int(child.read_text())), "the end of what it started")
    assert not alive(teller.calls()[0]["pid"])
    (row,) = fleet.rows("SELECT exit_code, told_at, next_attempt_at FROM integration_transitions")
    assert (row["exit_code"], row["told_at"]) == (None, None) and row["next_attempt_at"] is not None
    assert deliver(fleet, teller.command) == []


def alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_child_that_stays_behind_is_not_waited_for(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """A background child of the command delays nothing, although it holds the pipe."""
    teller = Teller(tmp_path, "import subprocess; print(subprocess.Popen(['sleep', '300']).pid, file=sys.stderr)")
    failing(fleet, provider, "a")
    (said,) = deliver(fleet, teller.command)
    assert said["event"] == "told"
    os.killpg(teller.calls()[0]["group"], signal.SIGKILL)


def test_a_command_that_reads_nothing(fleet: Fleet, provider: Host) -> None:
    """A command that does not read its standard input is no error."""
    failing(fleet, provider, "a", "b")
    assert [said["event"] for said in deliver(fleet, "true")] == ["told", "told"]


@pytest.mark.case("reliability notifications")
def test_a_command_that_is_not_there(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """A missing command is reported, and its attempt failed: the change is delivered when the command exists."""
    failing(fleet, provider, "a")
    (said,) = deliver(fleet, f"{tmp_path}/not-yet --now")
    assert f"command not found: {tmp_path}/not-yet. Next attempt: " in said["message"]
    assert fleet.rows("SELECT attempts FROM integration_transitions") == [{"attempts": 1}]
    teller = Teller(tmp_path)
    deliver(fleet, teller.command)
    assert teller.told() == []
    wait(fleet, 5)
    deliver(fleet, teller.command)
    assert teller.told() == [("a", "active", "error")]


@pytest.mark.case("reliability notifications")
@pytest.mark.parametrize(("mode", "number"), [(0o755, 8), (0o644, 13)])
def test_a_command_that_can_not_start(fleet: Fleet, provider: Host, tmp_path: Path, mode: int, number: int) -> None:
    """A file that is no program, or not executable, is a failed attempt."""
    program = tmp_path / "broken"
    program.write_bytes(b"\0\1\2 no program")
    program.chmod(mode)
    failing(fleet, provider, "a")
    said = deliver(fleet, str(program))[-1]
    assert f"could not be started (error {number}). Next attempt: " in said["message"]
    (row,) = fleet.rows("SELECT attempts, told_at, last_error FROM integration_transitions")
    assert (row["attempts"], row["told_at"]) == (1, None)
    assert row["last_error"] == f"{program} could not be started (error {number})"
    assert fleet.rows("SELECT id FROM integration_transitions WHERE next_attempt_at IS NULL") == []
