"""The command that is run at transitions: what it gets, what it may take, who is told and how often."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from intctl.db.connect import connect
from intctl.errors import UsageError
from intctl.notify import command as on_change
from intctl.notify.command import OnChange
from intctl.service.journal import Journal
from intctl.store import changes, organization_changes, transitions

from ..agent_rig import Fleet, Host, finished, shift, until
from ..store.test_transitions import later

SECRET = "canary-7f3a9c-do-not-show"


class Teller:
    """A command that writes down what it gets, and the place where it does."""

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


def deliver(
    fleet: Fleet, command: str, *, limit_s: float = 30.0, environ: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """One delivery in this process; what the journal was told."""
    lines: list[str] = []
    journal = Journal("json", lambda _data, line: lines.append(line), time.time)
    given = {"PATH": os.environ["PATH"], **(environ or {})}
    runner = OnChange(on_change.parse(command), given, journal.say, limit_s=limit_s)
    with connect(fleet.target) as database:
        runner.deliver(database, "me", org_id=None, stop=lambda: False, progress=lambda: None)
    return [json.loads(line) for line in lines]


def failing(fleet: Fleet, provider: Host, *names: str) -> None:
    """Integrations that were active, and fell into error."""
    for name in names:
        provider.behaviour[f"/{name}"] = ["401"]
    fleet.add({name: f"{provider.url}/{name}" for name in names})
    fleet.once()
    assert set(fleet.statuses().values()) == {"error"}


# --- what is asked for


@pytest.mark.parametrize("text", ["", "  ", f"tell '{SECRET}"])
def test_a_command_that_is_none(text: str) -> None:
    """An open quote or nothing at all is wrong usage, said without repeating it."""
    with pytest.raises(UsageError, match="--on-change: ") as told:
        on_change.parse(text)
    assert SECRET not in str(told.value)


def test_there_is_no_shell() -> None:
    """Words are words: nothing in them is expanded, piped or commented out."""
    assert on_change.parse("tell 'a b' $HOME # | >x") == ("tell", "a b", "$HOME", "#", "|", ">x")


def test_the_environment_holds_nothing_of_ours() -> None:
    """Neither keys nor database URL nor ping URL, nor what leads to them or speaks to systemd."""
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
    assert on_change.environment({**kept, **ours}) == kept


# --- what it gets


def test_the_document(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """One JSON document on standard input says what changed, why, and what to do; the words are the operator's own."""
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
        "next_step": "Put the right credential in place: intctl edit Email --secret token. "
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
    }
    assert call["argv"] == ["two words", "$HOME;echo"]
    assert call["environ"]["OWN"] == "theirs" and SECRET not in json.dumps(call)
    assert call["pid"] == call["group"]
    assert (written["exit_code"], written["lease_owner"]) == (0, None) and written["told_at"] is not None
    assert (said["event"], said["level"], said["integration"], said["to"]) == ("told", "info", "Email", "error")


def test_each_change_once_and_in_order(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """Into error and out of it: each is told once, the earlier first; told again it says nothing."""
    teller = Teller(tmp_path)
    provider.behaviour = {"/a": ["401", "200"], "/b": ["401"]}
    fleet.add({name: f"{provider.url}/{name}" for name in "ab"})
    fleet.once()
    fleet.all_due()
    fleet.once()
    for _ in range(2):
        deliver(fleet, teller.command)
    told = teller.told()
    assert Counter(told) == {("a", "active", "error"): 1, ("b", "active", "error"): 1, ("a", "error", "active"): 1}
    assert told.index(("a", "active", "error")) < told.index(("a", "error", "active"))


# --- what it may take


@pytest.mark.parametrize(
    ("then", "expected", "exit_code"),
    [
        ("sys.stderr.write('first\\nno route to pager\\n'); sys.exit(3)", "it ended with 3: no route to pager", 3),
        ("os.kill(os.getpid(), signal.SIGTERM)", "it was ended by signal 15", -15),
        ("sys.stderr.write('x' * 1_000_000 + '\\nlast'); sys.exit(1)", "it ended with 1: last", 1),
    ],
)
def test_a_command_that_fails(
    fleet: Fleet, provider: Host, tmp_path: Path, then: str, expected: str, exit_code: int
) -> None:
    """It is said with the end of its standard error, written down, and not run again: once is once."""
    teller = Teller(tmp_path, then)
    failing(fleet, provider, "a")
    (said,) = deliver(fleet, teller.command)
    assert (said["event"], said["level"]) == ("on_change", "warning")
    assert said["message"] == f"--on-change for a (active to error): {expected}."
    assert fleet.rows("SELECT exit_code FROM integration_transitions") == [{"exit_code": exit_code}]
    assert deliver(fleet, teller.command) == []
    assert len(teller.calls()) == 1


def test_a_command_that_hangs_is_killed_with_what_it_started(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """At its limit the whole process group goes; it counts as told, and is not run again."""
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
    assert said["message"].endswith("it was killed after 5 seconds.")
    until(lambda: not alive(int(child.read_text())), "the end of what it started")
    assert not alive(teller.calls()[0]["pid"])
    (row,) = fleet.rows("SELECT exit_code, told_at FROM integration_transitions")
    assert row["exit_code"] is None and row["told_at"] is not None
    assert deliver(fleet, teller.command) == []


def alive(pid: int) -> bool:
    """Whether the process is there, and not only waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_child_that_stays_behind_is_not_waited_for(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """What the command leaves in the background holds nobody up, though it has our pipe."""
    teller = Teller(tmp_path, "import subprocess; print(subprocess.Popen(['sleep', '300']).pid, file=sys.stderr)")
    failing(fleet, provider, "a")
    (said,) = deliver(fleet, teller.command)
    assert said["event"] == "told"
    os.killpg(teller.calls()[0]["group"], signal.SIGKILL)


def test_a_command_that_reads_nothing(fleet: Fleet, provider: Host) -> None:
    """Standard input that nobody reads is no error."""
    failing(fleet, provider, "a", "b")
    assert [said["event"] for said in deliver(fleet, "true")] == ["told", "told"]


def test_a_command_that_is_not_there(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """It is said, and what is due stays so: nothing is lost until the command is there."""
    failing(fleet, provider, "a")
    (said,) = deliver(fleet, f"{tmp_path}/not-yet --now")
    assert f"there is no command {tmp_path}/not-yet" in said["message"]
    assert fleet.rows("SELECT attempts FROM integration_transitions") == [{"attempts": 0}]
    teller = Teller(tmp_path)
    deliver(fleet, teller.command)
    assert teller.told() == [("a", "active", "error")]


def test_a_command_that_can_not_start(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """A file that is no program is said, given back, and given up after three times."""
    program = tmp_path / "broken"
    program.write_bytes(b"\0\1\2 no program")
    program.chmod(0o755)
    failing(fleet, provider, "a")
    said = deliver(fleet, str(program))
    assert [one["event"] for one in said] == ["on_change"] * 3
    assert "could not be started" in said[0]["message"]
    assert fleet.rows("SELECT attempts, told_at FROM integration_transitions") == [{"attempts": 3, "told_at": None}]
    assert deliver(fleet, str(program)) == []


# --- once, also when agents die


def test_two_agents_tell_each_once(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """Two agents at once run the command once for each transition."""
    teller = Teller(tmp_path)
    names = [f"n{i:02}" for i in range(20)]
    for name in names:
        provider.behaviour[f"/{name}"] = ["401"]
    fleet.add({name: f"{provider.url}/{name}" for name in names})
    agents = [fleet.start("agent", "--once", "--concurrency", "4", "--on-change", teller.command) for _ in range(2)]
    ends = [finished(one) for one in agents]
    assert [(code, err) for code, _, err in ends] == [(0, "")] * 2
    finished(fleet.start("agent", "--once", "--on-change", teller.command))  # what the last to record left
    assert Counter(name for name, _, _ in teller.told()) == dict.fromkeys(names, 1)


def test_a_kill_before_it_is_begun_loses_nothing(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """The transition is there as soon as the status is: whoever comes next tells it, once."""
    teller = Teller(tmp_path)
    failing(fleet, provider, "a")  # an agent that recorded, and died before it told anybody
    for _ in range(2):
        assert finished(fleet.start("agent", "--once", "--on-change", teller.command))[0] == 0
    assert teller.told() == [("a", "active", "error")]


def test_a_kill_while_it_is_claimed_loses_nothing(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """Killed between the claim and the command: told once, when the lease has run out."""
    teller = Teller(tmp_path)
    failing(fleet, provider, "a")
    with connect(fleet.target) as database:
        assert len(transitions.claim(database, "dead", limit=4, lease_s=40.0)) == 1
        finished(fleet.start("agent", "--once", "--on-change", teller.command))
        assert teller.told() == []
        later(database, 41)
    finished(fleet.start("agent", "--once", "--on-change", teller.command))
    assert [call["document"]["attempt"] for call in teller.calls()] == [2]


def test_a_kill_while_it_runs_tells_again_with_the_same_id(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """The one gap: nobody knows how far the command came, so it is run again, marked as the second time."""
    gate = tmp_path / "gate"
    teller = Teller(tmp_path, f"while not os.path.exists({str(gate)!r}): time.sleep(0.05)")
    failing(fleet, provider, "a")
    agent = fleet.start("agent", "--once", "--on-change", teller.command)
    until(lambda: len(teller.calls()) == 1, "the command")
    agent.kill()
    assert finished(agent)[0] == -signal.SIGKILL
    gate.touch()
    finished(fleet.start("agent", "--once", "--on-change", teller.command))
    assert len(teller.calls()) == 1  # the lease of the dead still holds
    with connect(fleet.target) as database:
        later(database, 41)
    finished(fleet.start("agent", "--once", "--on-change", teller.command))
    first, second = (call["document"] for call in teller.calls())
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert first["transition_id"] == second["transition_id"]


def test_an_agent_without_the_option_leaves_them_to_others(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """Recorded always, told by whoever is asked to."""
    provider.behaviour["/a"] = ["401"]
    fleet.add({"a": f"{provider.url}/a"})
    assert finished(fleet.start("agent", "--once"))[0] == 0
    teller = Teller(tmp_path)
    assert finished(fleet.start("agent", "--once", "--on-change", teller.command))[:2] == (0, "checked 0\n")
    assert teller.told() == [("a", "active", "error")]


def test_a_failing_command_fails_no_pass(fleet: Fleet, provider: Host) -> None:
    """The exit code is the pass's own; the journal says what happened."""
    provider.behaviour["/a"] = ["401"]
    fleet.add({"a": f"{provider.url}/a"})
    code, out, err = finished(fleet.start("agent", "--once", "--on-change", "false"))
    assert (code, out) == (0, "checked 1: 1 misconfigured\n")
    assert err == "warning: --on-change for a (active to error): it ended with 1.\n"


def test_sigterm_begins_no_further_command(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """Once somebody said stop, what runs is waited for and nothing else is begun: the next agent goes on."""
    gate = tmp_path / "gate"
    teller = Teller(tmp_path, f"while not os.path.exists({str(gate)!r}): time.sleep(0.05)")
    names = [f"n{i}" for i in range(7)]
    failing(fleet, provider, *names)
    agent = fleet.start("agent", "--once", "--on-change", teller.command)
    until(lambda: len(teller.calls()) == 4, "four commands")
    agent.send_signal(signal.SIGTERM)
    gate.touch()
    assert finished(agent)[0] == 0
    assert len(teller.calls()) == 4
    finished(fleet.start("agent", "--once", "--on-change", teller.command))
    assert Counter(name for name, _, _ in teller.told()) == dict.fromkeys(names, 1)


# --- in maintenance


def maintained(fleet: Fleet, name: str | None, since: timedelta, until: timedelta) -> None:
    """A maintenance window of one integration or all, as long before and after now."""
    found = fleet.rows("SELECT id, name, org_id FROM integrations")
    ids = {row["name"]: str(row["id"]) for row in found}
    now = datetime.now(UTC)
    with changes.unit_of_work(fleet.target) as session:
        organization_changes.add_maintenance(
            session,
            organization_changes.NewMaintenance(
                id=changes.new_id(),
                org_id=str(found[0]["org_id"]),
                integration_id=name and ids[name],
                starts_at=now + since,
                ends_at=now + until,
                weekly=False,
                time_zone="UTC",
                reason=None,
            ),
        )


def over(fleet: Fleet, seconds: int) -> None:
    """All that happened, and all maintenance, was so many seconds earlier."""
    with connect(fleet.target) as database:
        for table, columns in (
            ("integration_transitions", ("changed_at", "quiet_until")),
            ("maintenance_windows", ("starts_at", "ends_at")),
        ):
            for column in columns:
                shift(database, column, seconds, table)


HOUR = timedelta(hours=1)


@pytest.mark.parametrize("name", ["Email", None])
def test_maintenance_is_quiet_until_it_is_over(fleet: Fleet, provider: Host, tmp_path: Path, name: str | None) -> None:
    """Nobody is told of what falls into error in it; afterwards of what is still in error, days later, too."""
    teller = Teller(tmp_path)
    failing(fleet, provider, "Email")
    maintained(fleet, name, -HOUR, 72 * HOUR)
    for _ in range(2):
        deliver(fleet, teller.command)
    assert teller.told() == []
    over(fleet, 71 * 3600)
    deliver(fleet, teller.command)
    assert teller.told() == []
    over(fleet, 3600 + 5)
    for _ in range(2):
        deliver(fleet, teller.command)
    assert teller.told() == [("Email", "active", "error")]


def test_what_came_and_went_in_maintenance_is_not_told(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """Back to where it was when the maintenance began: nothing is told, then or later. Others are told as ever."""
    teller = Teller(tmp_path)
    failing(fleet, provider, "Email", "Jobs")
    maintained(fleet, "Email", -HOUR, HOUR)
    provider.behaviour["/Email"] = ["200"]
    fleet.all_due()
    fleet.once()
    deliver(fleet, teller.command)
    assert teller.told() == [("Jobs", "active", "error")]
    over(fleet, 3600 + 5)
    deliver(fleet, teller.command)
    assert teller.told() == [("Jobs", "active", "error")]
    assert fleet.rows("SELECT id FROM integration_transitions WHERE told_at IS NULL") == []
    provider.behaviour["/Email"] = ["401"]
    fleet.all_due()
    fleet.once()
    deliver(fleet, teller.command)
    assert teller.told()[1:] == [("Email", "active", "error")]


def test_of_many_changes_in_maintenance_the_last_is_told(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """Error, healthy, error: one telling. What was told before it is not told again."""
    teller = Teller(tmp_path)
    failing(fleet, provider, "Email")
    maintained(fleet, "Email", -HOUR, HOUR)
    for answer in ("200", "401"):
        provider.behaviour["/Email"] = [answer]
        fleet.all_due()
        fleet.once()
    deliver(fleet, teller.command)
    over(fleet, 3600 + 5)
    deliver(fleet, teller.command)
    assert teller.told() == [("Email", "active", "error")]
    assert len(fleet.rows("SELECT id FROM integration_transitions")) == 3


def test_maintenance_that_is_ended_early(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """Told at the next pass, not when it was planned to end; before it was in error, now it is well."""
    teller = Teller(tmp_path)
    failing(fleet, provider, "Email")
    deliver(fleet, teller.command)
    maintained(fleet, "Email", timedelta(0), HOUR)
    provider.behaviour["/Email"] = ["200"]
    fleet.all_due()
    fleet.once()
    deliver(fleet, teller.command)
    assert teller.told() == [("Email", "active", "error")]
    (window,) = fleet.rows("SELECT id, org_id FROM maintenance_windows")
    with changes.unit_of_work(fleet.target) as session:
        organization_changes.end_maintenance(session, id=str(window["id"]), org_id=str(window["org_id"]), erase=False)
    deliver(fleet, teller.command)
    assert teller.told()[1:] == [("Email", "error", "active")]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (("200", "401", "!", "200", "!", "401"), [("error", "active"), ("active", "error")]),
        (("200", "!", "401", "!", "200"), [("active", "error"), ("error", "active")]),
    ],
)
def test_what_happened_between_two_maintenances_is_told(
    fleet: Fleet, provider: Host, tmp_path: Path, answers: tuple[str, ...], told: list[tuple[str, str]]
) -> None:
    """Each time for itself, and the last that is told is how it is. A "!" begins the next time."""
    teller = Teller(tmp_path)
    failing(fleet, provider, "Email")
    if answers[1] == "401":
        deliver(fleet, teller.command)  # it was in error, and that was told
    before = len(teller.told())
    moments = [datetime.now(UTC)]
    for answer in answers:
        if answer == "!":
            moments.append(datetime.now(UTC))
            continue
        provider.behaviour["/Email"] = [answer]
        fleet.all_due()
        fleet.once()
    moments.append(datetime.now(UTC))
    starts = [moments[0] - HOUR if before == 0 else moments[0], moments[2]]
    (row,) = fleet.rows("SELECT id, org_id FROM integrations")
    with changes.unit_of_work(fleet.target) as session:
        for start, end in zip(starts, (moments[1], moments[3]), strict=True):
            organization_changes.add_maintenance(
                session,
                organization_changes.NewMaintenance(
                    id=changes.new_id(),
                    org_id=str(row["org_id"]),
                    integration_id=str(row["id"]),
                    starts_at=start,
                    ends_at=end,
                    weekly=False,
                    time_zone="UTC",
                    reason=None,
                ),
            )
    for _ in range(2):
        deliver(fleet, teller.command)
    assert [(was, became) for _, was, became in teller.told()[before:]] == told
