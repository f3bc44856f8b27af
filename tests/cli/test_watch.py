"""The agent as a process and its outputs: systemd, monitors, metrics, JSON lines."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from intctl import keyring
from intctl.db.connect import connect
from intctl.db.url import POSTGRESQL, Target

from ..agent_rig import Fleet, Host, finished, until
from ..servers import Answer, HttpServer, http_server
from ..service.manager import Manager, manager
from ..service.test_exposition import of, samples
from .conftest import CANARY, Intctl, MailHost
from .test_agent import doors
from .test_basics import PROBING, imported

UUID = "5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278"


@pytest.fixture
def monitor() -> Iterator[HttpServer]:
    with http_server({f"/{UUID}{end}": Answer(200, b"OK") for end in ("", "/start", "/fail")}) as server:
        yield server


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Manager]:
    with manager(tmp_path) as made:
        yield made


def pinged(monitor: HttpServer) -> list[str]:
    return [request.path.removeprefix(f"/{UUID}") for request in monitor.requests]


def entries(text: str) -> list[dict[str, Any]]:
    """Parse JSON lines: each is an object with the four common keys."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all({"time", "level", "event", "message"} <= entry.keys() for entry in found)
    return found


# --- systemd


def test_a_service_speaks_to_systemd(fleet: Fleet, provider: Host, systemd: Manager) -> None:
    """systemd gets READY after database and keyring are verified, a status per pass, watchdog pings, STOPPING."""
    fleet.add({"a": f"{provider.url}/a"})
    agent = fleet.start("agent", "--every", "1", NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="1000000")
    until(lambda: systemd.messages("STATUS=Last pass: checked 1: 1 healthy"), "the first pass")
    heard = len(systemd.messages("WATCHDOG=1"))
    until(lambda: len(systemd.messages("WATCHDOG=1")) > heard + 3, "signs of life while nothing is due")
    agent.send_signal(signal.SIGTERM)
    assert finished(agent)[0] == 0
    until(lambda: systemd.messages("STOPPING=1"), "the end")
    messages = systemd.messages()
    assert messages[0].startswith("READY=1\nSTATUS=")
    assert messages[-1].startswith("STOPPING=1")
    assert len(systemd.messages("READY=1")) == 1


@pytest.mark.parametrize("what", ["database", "keyring"])
def test_what_can_never_work_is_never_ready(fleet: Fleet, systemd: Manager, tmp_path: Path, what: str) -> None:
    """Without a database or a keyring the service exits with its code before READY."""
    if what == "keyring":
        (fleet.home / "keyring.json").unlink()
        agent = fleet.start("agent", NOTIFY_SOCKET=systemd.address)
    else:
        url = f"sqlite:///{tmp_path / 'none.db'}"
        agent = fleet.start("agent", NOTIFY_SOCKET=systemd.address, INTCTL_DATABASE_URL=url)
    assert finished(agent)[0] == {"database": 5, "keyring": 6}[what]
    assert systemd.messages() == []


def test_a_pass_that_hangs_gives_no_sign_of_life(fleet: Fleet, provider: Host, systemd: Manager) -> None:
    """While no result is recorded there are no watchdog pings, so that systemd can act; then they resume."""
    provider.behaviour["/a"] = ["hang:200"]
    fleet.add({"a": f"{provider.url}/a"})
    agent = fleet.start(
        "agent", "--every", "1", "--timeout", "60", NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="1000000"
    )
    until(lambda: provider.hits["/a"] == 1, "the request")
    time.sleep(2.5)  # five times its half interval
    assert systemd.messages("WATCHDOG=1") == []
    provider.release()
    until(lambda: systemd.messages("WATCHDOG=1"), "a sign of life after the result")
    agent.send_signal(signal.SIGTERM)
    assert finished(agent)[0] == 0


def test_each_recorded_batch_is_a_sign_of_life(fleet: Fleet, provider: Host, systemd: Manager) -> None:
    """A long pass with progress sends watchdog pings before its end."""
    provider.behaviour["/slow"] = ["hang:200"]
    fleet.add({"quick": f"{provider.url}/quick", "slow": f"{provider.url}/slow"})
    agent = fleet.start("agent", "--timeout", "60", NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="1000000")
    until(lambda: systemd.messages("WATCHDOG=1"), "a sign of life")
    assert systemd.messages("STATUS=Last pass") == []
    provider.release()
    agent.send_signal(signal.SIGTERM)
    assert finished(agent)[0] == 0


def test_a_database_that_does_not_answer_gives_no_sign_of_life(fleet: Fleet, systemd: Manager) -> None:
    """A service that only waits for its database sends no watchdog pings."""
    agent = fleet.start("agent", "--every", "1", NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="1000000")
    until(lambda: systemd.messages("STATUS=Last pass"), "a pass")
    held = connect(fleet.target)
    with held, held.transaction():
        if held.dialect == POSTGRESQL:
            held.run("LOCK TABLE integration_schedules IN ACCESS EXCLUSIVE MODE")
        time.sleep(2)  # checks that ran before the lock may still finish
        heard = len(systemd.messages("WATCHDOG=1"))
        time.sleep(3)  # the server ends a transaction that is idle for ten seconds
        assert len(systemd.messages("WATCHDOG=1")) == heard
    before = len(systemd.messages("STATUS=Last pass"))
    until(lambda: len(systemd.messages("STATUS=Last pass")) > before, "a pass after it")
    until(lambda: len(systemd.messages("WATCHDOG=1")) > heard, "a sign of life")
    agent.send_signal(signal.SIGTERM)
    assert finished(agent)[0] == 0


def test_waiting_for_a_database_that_is_away_is_no_sign_of_life(
    fleet: Fleet, systemd: Manager, request: pytest.FixtureRequest
) -> None:
    """With a database that refuses connections the service only waits, without watchdog pings."""
    away, back = doors(fleet.target, request)
    agent = fleet.start("agent", "--every", "2", NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="400000")
    until(lambda: systemd.messages("STATUS=Last pass"), "a pass")
    away()
    until(lambda: systemd.messages("STATUS=The last pass failed"), "a failure")
    heard = len(systemd.messages("WATCHDOG=1"))
    until(lambda: len(systemd.messages("STATUS=The last pass failed")) == 2, "the next turn's failure")
    assert len(systemd.messages("WATCHDOG=1")) == heard
    back()
    until(lambda: len(systemd.messages("WATCHDOG=1")) > heard, "a sign of life")
    agent.send_signal(signal.SIGTERM)
    assert finished(agent)[0] == 0


# --- SIGHUP


def test_sighup_reads_the_keyring_again(fleet: Fleet, provider: Host, systemd: Manager) -> None:
    """SIGHUP loads an added key without a restart: integrations sealed with it are checked."""
    agent = fleet.start("agent", "--every", "1", "--log-format", "json", NOTIFY_SOCKET=systemd.address)
    until(lambda: systemd.messages("STATUS=Last pass"), "a pass")
    old = fleet.keyring
    added = keyring.new_key()
    (fleet.home / "keyring.json").unlink()
    keyring.write_file(fleet.home / "keyring.json", [added, *old.keys])
    fleet.keyring = keyring.load({}, fleet.home)
    agent.send_signal(signal.SIGHUP)
    until(lambda: len(systemd.messages("READY=1")) == 2, "ready again")
    (reloading,) = systemd.messages("RELOADING=1")
    assert "\nMONOTONIC_USEC=" in reloading
    fleet.add({"a": f"{provider.url}/a"})
    until(fleet.logs, "a check")
    agent.send_signal(signal.SIGTERM)
    code, out, err = finished(agent)
    assert (code, err) == (0, "")
    assert [log["status"] for log in fleet.logs()] == ["success"]
    (said,) = [entry for entry in entries(out) if entry["event"] == "reloaded"]
    assert said["keys"] == [added.kid, *(key.kid for key in old.keys)]


def test_a_bad_keyring_changes_nothing(fleet: Fleet, provider: Host, systemd: Manager) -> None:
    """An unreadable keyring is reported, the old one stays in use, and the service continues."""
    agent = fleet.start("agent", "--every", "1", NOTIFY_SOCKET=systemd.address)
    until(lambda: systemd.messages("STATUS=Last pass"), "a pass")
    (fleet.home / "keyring.json").write_text(f'{{"broken": "{CANARY}"')
    agent.send_signal(signal.SIGHUP)
    until(lambda: len(systemd.messages("READY=1")) == 2, "ready again")
    fleet.add({"a": f"{provider.url}/a"})
    until(fleet.logs, "a check")
    agent.send_signal(signal.SIGTERM)
    code, _, err = finished(agent)
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith("intctl: The keyring was not reloaded; the old one stays in use: Keyring ")
    assert CANARY not in err + "".join(systemd.messages())
    assert [log["status"] for log in fleet.logs()] == ["success"]


def test_a_key_from_the_environment_can_not_be_reloaded(fleet: Fleet, systemd: Manager) -> None:
    """A process cannot reload its environment: SIGHUP reports that and keeps the key."""
    (fleet.home / "keyring.json").unlink()
    agent = fleet.start(
        "agent", "--every", "1", NOTIFY_SOCKET=systemd.address, INTCTL_ENCRYPTION_KEY=keyring.new_key().text()
    )
    until(lambda: systemd.messages("STATUS=Last pass"), "a pass")
    agent.send_signal(signal.SIGHUP)
    until(lambda: len(systemd.messages("READY=1")) == 2, "ready again")
    agent.send_signal(signal.SIGTERM)
    code, _, err = finished(agent)
    assert code == 0 and "INTCTL_ENCRYPTION_KEY is read only at the start" in err


# --- the ping


def test_a_good_pass_is_pinged(fleet: Fleet, provider: Host, monitor: HttpServer) -> None:
    """The ping URL gets start and success, even if a provider fails."""
    provider.behaviour["/a"] = ["401"]
    fleet.add({"a": f"{provider.url}/a"})
    (fleet.home / "ping").write_text(f"{monitor.url}/{UUID}\n")
    (fleet.home / "ping").chmod(0o600)
    ended = finished(fleet.start("agent", "--once", "--ping-url-file", str(fleet.home / "ping")))
    assert ended == (0, "checked 1: 1 misconfigured\n", "")
    assert pinged(monitor) == ["/start", ""]


@pytest.mark.case("security 19")
def test_a_ping_url_on_the_command_line_is_a_warning(fleet: Fleet, monitor: HttpServer) -> None:
    """It works, but every user can read it in the process list."""
    code, _, err = finished(fleet.start("agent", "--once", "--ping-url", f"{monitor.url}/{UUID}"))
    assert (code, pinged(monitor)) == (0, ["/start", ""])
    assert err.startswith("warning: --ping-url: process lists show its secret to all users. Use --ping-url-file FILE")
    assert err.count("\n") == 1 and UUID not in err


@pytest.mark.case("security 19")
def test_the_file_of_a_ping_url_is_judged(fleet: Fleet, monitor: HttpServer, tmp_path: Path) -> None:
    """It is read like the file of a database URL; an error never shows its text."""
    path = tmp_path / "ping"
    words = ("agent", "--once", "--ping-url-file", str(path))
    assert "is not a readable text file" in finished(fleet.start(*words))[2]
    for text, mode, said in (
        ("\n", 0o600, "is empty"),
        (f"ftp://{UUID}", 0o600, f"The file {path} is not a URL"),
        (f"{monitor.url}/{UUID}", 0o622, f"Run: chmod go-w {path}"),
    ):
        path.write_text(text)
        path.chmod(mode)
        code, _, err = finished(fleet.start(*words))
        assert code == 2 and said in err and UUID not in err
    path.chmod(0o644)
    assert finished(fleet.start(*words, "--ping-url", f"{monitor.url}/{UUID}"))[0] == 2
    assert pinged(monitor) == []
    code, _, err = finished(fleet.start(*words, INTCTL_PING_URL="https://not.example/"))
    assert (code, pinged(monitor)) == (0, ["/start", ""])
    assert f"Run: chmod 600 {path}" in err


def test_the_url_may_come_from_the_environment(fleet: Fleet, monitor: HttpServer) -> None:
    """INTCTL_PING_URL works too and is not visible in the process list."""
    assert finished(fleet.start("agent", "--once", INTCTL_PING_URL=f"{monitor.url}/{UUID}"))[0] == 0
    assert pinged(monitor) == ["/start", ""]


@pytest.mark.parametrize("what", ["no database", "no keyring", "wrong keyring", "no organisation"])
def test_a_failure_is_never_pinged_as_success(
    fleet: Fleet, provider: Host, monitor: HttpServer, tmp_path: Path, what: str
) -> None:
    """Any failed pass pings the monitor with a failure, and has the exit code of the failure."""
    fleet.add({"a": f"{provider.url}/a"})
    words, environ = ["agent", "--once"], {"INTCTL_PING_URL": f"{monitor.url}/{UUID}"}
    if what == "no database":
        environ["INTCTL_DATABASE_URL"] = f"sqlite:///{tmp_path / 'none.db'}"
    elif what == "no organisation":
        words += ["--org", "nobody"]
    else:
        (fleet.home / "keyring.json").unlink()
        if what == "wrong keyring":
            keyring.write_file(fleet.home / "keyring.json", [keyring.new_key()])
    code, _, err = finished(fleet.start(*words, **environ))
    assert code == {"no database": 5, "no keyring": 6, "wrong keyring": 6, "no organisation": 3}[what]
    assert err.startswith("intctl: ") and UUID not in err
    assert pinged(monitor) == ["/start", "/fail"]


def test_a_pass_that_a_signal_ended_says_nothing(fleet: Fleet, provider: Host, monitor: HttpServer) -> None:
    """SIGTERM pings neither success nor failure: the monitor sees a missing end."""
    provider.behaviour["/a"] = ["hang:200"]
    fleet.add({"a": f"{provider.url}/a"})
    agent = fleet.start("agent", "--once", "--timeout", "60", INTCTL_PING_URL=f"{monitor.url}/{UUID}")
    until(lambda: provider.hits["/a"] == 1 and monitor.requests, "the pass")
    agent.send_signal(signal.SIGTERM)
    assert finished(agent)[:2] == (0, "checked 0; 1 given back\n")
    assert pinged(monitor) == ["/start"]


def test_a_monitor_that_is_away_fails_no_pass(fleet: Fleet, provider: Host) -> None:
    """A failed ping is a warning without the URL; the exit code is that of the pass."""
    fleet.add({"a": f"{provider.url}/a"})
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    code, out, err = finished(fleet.start("agent", "--once", INTCTL_PING_URL=f"http://127.0.0.1:{port}/{UUID}"))
    assert (code, out, err.count("\n")) == (0, "checked 1: 1 healthy\n", 2)
    assert UUID not in err and all(line.startswith("warning: The ping") for line in err.splitlines())


def test_a_service_pings_its_failure_and_its_recovery(
    fleet: Fleet, monitor: HttpServer, request: pytest.FixtureRequest
) -> None:
    """A lost database pings a failure at once, and the next pass a success."""
    away, back = doors(fleet.target, request)
    agent = fleet.start("agent", "--every", "1", INTCTL_PING_URL=f"{monitor.url}/{UUID}")
    until(lambda: pinged(monitor) == ["/start", ""], "the first pass")
    away()
    until(lambda: pinged(monitor) == ["/start", "", "/fail"], "the failure")
    back()
    until(lambda: pinged(monitor) == ["/start", "", "/fail", ""], "the recovery")
    agent.send_signal(signal.SIGTERM)
    assert finished(agent)[0] == 0


# --- the metrics file


def test_metrics_after_each_pass(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """The metrics file covers every integration and the agent, with counters over passes."""
    path = tmp_path / "intctl.prom"
    provider.behaviour["/b"] = ["401"]
    fleet.add({name: f"{provider.url}/{name}" for name in "ab"})
    for _ in range(2):
        assert finished(fleet.start("agent", "--once", "--metrics-file", str(path)))[0] == 0
    found = samples(path.read_text())
    assert of(found, "intctl_integration_up") == {"a": "1", "b": "0"}
    assert of(found, "intctl_integration_consecutive_failures") == {"a": "0", "b": "1"}
    assert (found["intctl_agent_passes_total"], found["intctl_agent_checks_total"]) == ("2", "2")
    assert abs(float(found["intctl_agent_last_pass_timestamp_seconds"]) - time.time()) < 120


def test_metrics_after_a_failed_pass(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """After a failed pass the old metrics stay, and the agent's metric shows the failure."""
    path = tmp_path / "intctl.prom"
    fleet.add({"a": f"{provider.url}/a"})
    finished(fleet.start("agent", "--once", "--metrics-file", str(path)))
    (fleet.home / "keyring.json").unlink()
    assert finished(fleet.start("agent", "--once", "--metrics-file", str(path)))[0] == 6
    found = samples(path.read_text())
    assert found["intctl_agent_last_pass_success"] == "0"
    assert of(found, "intctl_integration_up") == {"a": "1"}


def test_metrics_that_can_not_be_written_fail_no_pass(fleet: Fleet, tmp_path: Path) -> None:
    """A missing folder is a warning and does not affect the pass."""
    code, out, err = finished(fleet.start("agent", "--once", "--metrics-file", str(tmp_path / "gone" / "x.prom")))
    assert (code, out) == (0, "checked 0\n")
    assert err.startswith("warning: --metrics-file: ") and err.count("\n") == 1


# --- JSON lines


def test_lines_for_machines(fleet: Fleet, provider: Host) -> None:
    """A pass is one object with its counts; a service also reports its start and stop."""
    provider.behaviour["/b"] = ["401"]
    fleet.add({name: f"{provider.url}/{name}" for name in "ab"})
    agent = fleet.start("agent", "--every", "1", "--log-format", "json")
    until(lambda: len(fleet.logs()) == 2, "both checks")
    until(lambda: fleet.rows("SELECT 1 AS n FROM agent_passes WHERE finished_at IS NOT NULL"), "the pass")
    agent.send_signal(signal.SIGTERM)
    code, out, err = finished(agent)
    assert (code, err) == (0, "")
    started, done, stopped = entries(out)
    assert [entry["event"] for entry in (started, done, stopped)] == ["started", "pass", "stopped"]
    assert (done["checked"], done["verdicts"]) == (2, {"healthy": 1, "misconfigured": 1})
    assert (done["lost"], done["given_back"], done["set_aside"], done["stopped"]) == (0, 0, 0, False)
    assert stopped["signal"] == signal.SIGTERM


def test_errors_for_machines(fleet: Fleet, tmp_path: Path) -> None:
    """An error that ends the agent is an object with the exit code."""
    words = ("agent", "--once", "--log-format", "json")
    code, out, err = finished(fleet.start(*words, INTCTL_DATABASE_URL=f"sqlite:///{tmp_path / 'none.db'}"))
    (entry,) = entries(err)
    assert (code, out, entry["event"], entry["exit_code"]) == (5, "", "failed", 5)
    assert "intctl init" in entry["message"]
    (entry,) = entries(finished(fleet.start(*words, "--on-change", "'"))[2])
    assert (entry["event"], entry["exit_code"]) == ("failed", 2)


def test_warnings_for_machines(fleet: Fleet, tmp_path: Path) -> None:
    """Warnings of other rooms are JSON lines too."""
    path = tmp_path / "url"
    path.write_text(fleet.environ["INTCTL_DATABASE_URL"])
    path.chmod(0o644)
    code, _, err = finished(fleet.start("--database-url-file", str(path), "agent", "--once", "--log-format", "json"))
    (entry,) = entries(err)
    assert (code, entry["level"]) == (0, "warning") and "is readable by all users" in entry["message"]


def test_own_faults_for_machines(fleet: Fleet, provider: Host) -> None:
    """A local issue has its code and the number of affected checks."""
    fleet.add({"a": f"{provider.url}/a", "b": f"{provider.url}/b"})
    other = keyring.new_key()
    (fleet.home / "keyring.json").unlink()
    keyring.write_file(fleet.home / "keyring.json", [other])
    fleet.keyring = keyring.load({}, fleet.home)
    fleet.add({"c": f"{provider.url}/c"})
    code, out, err = finished(fleet.start("agent", "--once", "--log-format", "json"))
    (entry,) = entries(err)
    assert (code, entries(out)[0]["verdicts"]) == (0, {"healthy": 1, "unknown": 2})
    assert (entry["event"], entry["code"], entry["checks"]) == ("fault", "self.key_missing", 2)


def test_a_bug_for_machines(intctl: Intctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is one object with type and stack trace, never the message, and pings a failure."""
    from intctl.store import claims

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(claims, "find_anomalies", broken)
    ran = intctl("agent", "--once", "--log-format", "json", code=70)
    (entry,) = entries(ran.err)
    assert (entry["event"], entry["exit_code"]) == ("bug", 70)
    assert "RuntimeError" in entry["message"] and any("run_once" in place for place in entry["where"])
    (row,) = intctl("agent", "status", "-o", "json", code=1).json
    assert row["failure"] == "a bug in intctl (RuntimeError)"


# --- agent status


def test_status_before_any_pass(intctl: Intctl) -> None:
    """Without any agent, status exits 1 in every output format."""
    ran = intctl("agent", "status", code=1)
    assert ran.out == "No agent has run yet.\n" and "No pass finished in the last 15m" in ran.err
    assert intctl("agent", "status", "-o", "json", code=1).json == []


@pytest.mark.parametrize("words", [("--once",), ("--budget", "10"), ("--metrics-file", "agent.prom")])
def test_status_takes_no_option_of_a_pass(intctl: Intctl, words: tuple[str, ...]) -> None:
    """Options of a pass with a subcommand are a usage error before any action."""
    ran = intctl("agent", *words, "status", code=2)
    assert f"{words[0]} cannot be used with: intctl agent status" in ran.err and ran.out == ""


def test_status_after_a_pass(intctl: Intctl) -> None:
    """status shows the last pass of each host; exit 0 if one finished in time, in every format."""
    intctl("agent", "--once")
    ran = intctl("agent", "status", "-o", "json")
    (row,) = ran.json
    assert (row["host"], row["org_id"], row["state"]) == (socket.gethostname(), None, "ok")
    assert (row["passes"], row["checks"], row["failure"]) == (1, 0, None)
    assert row["last"]["checked"] == 0 and row["last"]["keys"] == [keyring.load({}, intctl.home).primary.kid]
    assert ran.err == ""
    for style in ("table", "yaml", "csv", "name"):
        assert socket.gethostname() in intctl("agent", "status", "-o", style).out


@pytest.mark.case("security 25")
def test_the_status_of_one_organisation(intctl: Intctl, mail_starttls: MailHost) -> None:
    """After a pass over all organisations, --org shows the counts of that organisation's checks only."""
    for org, names in (("Acme", ("A1", "A2", "A3")), ("Beta", ("B1",)), ("Empty", ())):
        if org != "Acme":
            intctl("org", "create", org)
        for name in names:
            stdin = mail_starttls.manifest(name)
            intctl("add", "smtp", "--org", org, "-f", "-", "--no-test", stdin=stdin, MAIL_PASSWORD=CANARY)
    assert intctl("agent", "--once").out.startswith("checked 4")
    (whole,) = intctl("agent", "status", "-o", "json").json
    assert (whole["checks"], whole["last"]["checked"], whole["last"]["verdicts"]) == (4, 4, {"healthy": 4})
    for org, count in (("Acme", 3), ("Beta", 1), ("Empty", 0)):
        (row,) = intctl("agent", "status", "--org", org, "-o", "json").json
        assert (row["org_id"], row["checks"], row["state"]) == (None, None, "ok")
        assert row["last"]["checked"] == count
        assert row["last"]["verdicts"] == ({"healthy": count} if count else {})
        assert row["last"].keys() <= whole["last"].keys()
        table = intctl("agent", "status", "--org", org).out.splitlines()[-1]
        assert re.search(rf"\d\d:\d\d:\d\d  +{count}  +1  ", table), table
    # The checks of a person, and of a pass of that organisation only, are not of this pass.
    intctl("check", "B1", "--org", "Beta")
    intctl("agent", "--once", "--org", "Beta")
    own, common = sorted(
        intctl("agent", "status", "--org", "Beta", "-o", "json").json, key=lambda row: not row["org_id"]
    )
    assert (own["checks"], own["last"]["checked"]) == (0, 0)
    assert (common["checks"], common["last"]["checked"]) == (None, 1)


def test_status_when_the_last_pass_is_old(intctl: Intctl) -> None:
    """If no pass finished within --max-age, status exits 1 and lists the late hosts."""
    intctl("agent", "--once")
    with connect(intctl.target) as database:
        ago = "{after -1000}"
        database.run(f"UPDATE agent_passes SET started_at = {ago}, finished_at = {ago}")
    ran = intctl("agent", "status", "-o", "json", code=1)
    assert (ran.json[0]["state"], ran.json[0]["age_s"] >= 1000) == ("late", True)
    assert intctl("agent", "status", "--max-age", "20m").out
    assert intctl("agent", "status", "--max-age", "999s", code=1).err.startswith("No pass finished in the last 999s")


def test_status_of_several_hosts(intctl: Intctl) -> None:
    """One working host is enough for exit 0; a late host is shown as late."""
    from intctl.store import passes

    intctl("agent", "--once")
    with connect(intctl.target) as database:
        passes.finish(database, passes.Agent("gone", None, "1"), passes.PassNote(1.0, 0, {}))
        database.run("UPDATE agent_passes SET finished_at = {after -3600} WHERE host = 'gone'")
    states = {row["host"]: row["state"] for row in intctl("agent", "status", "-o", "json").json}
    assert states == {"gone": "late", socket.gethostname(): "ok"}


def test_status_of_a_pass_that_failed(intctl: Intctl) -> None:
    """An unusable keyring is shown as the failure; the last good pass is still in time."""
    intctl("agent", "--once")
    (intctl.home / "keyring.json").rename(intctl.home / "aside")
    intctl("agent", "--once", code=6)
    (row,) = intctl("agent", "status", "-o", "json").json
    assert row["state"] == "failed" and row["failure"].startswith("No encryption key.")
    (intctl.home / "aside").rename(intctl.home / "keyring.json")
    intctl("agent", "--once")
    (row,) = intctl("agent", "status", "-o", "json").json
    assert (row["state"], row["failure"]) == ("ok", None)


def test_status_with_an_organisation(intctl: Intctl, org_id: str) -> None:
    """--org lists only agents that serve that organisation, and only they count."""
    other = "0" * 8 + org_id[8:]
    intctl("agent", "--once", "--org", other)
    assert intctl("agent", "status", "--org", "acme", code=1).out == "No agent has run yet.\n"
    intctl("agent", "--once", "--org", "acme")
    assert [row["org_id"] for row in intctl("agent", "status", "--org", "acme", "-o", "json").json] == [org_id]
    assert len(intctl("agent", "status", "-o", "json").json) == 2


@pytest.mark.parametrize("age", ["", "15", "0m", "-5m", "m", "15 m", "1.5h", "soon"])
def test_an_age_that_is_none(intctl: Intctl, age: str) -> None:
    """--max-age is a number and a unit."""
    assert "--max-age must be a time" in intctl("agent", "status", "--max-age", age, code=2).err


def test_a_pass_that_hangs_is_seen_in_the_status(fleet: Fleet, provider: Host) -> None:
    """The start of a pass with work is recorded before the first check."""
    provider.behaviour["/a"] = ["hang:200"]
    fleet.add({"a": f"{provider.url}/a"})
    agent = fleet.start("agent", "--once", "--timeout", "60")
    until(lambda: provider.hits["/a"] == 1, "the request")
    (row,) = fleet.rows("SELECT started_at, finished_at FROM agent_passes")
    assert row["started_at"] is not None and row["finished_at"] is None
    provider.release()
    assert finished(agent)[0] == 0


# --- undelivered notifications


def dead_letters(fleet: Fleet, provider: Host, *names: str) -> dict[str, str]:
    """Integrations in error whose notifications are dead letters: name -> ID."""
    for name in names:
        provider.behaviour[f"/{name}"] = ["401"]
    fleet.add({name: f"{provider.url}/{name}" for name in names})
    fleet.once()
    with connect(fleet.target) as database:
        database.run("UPDATE integration_transitions SET attempts = 9")
    assert finished(fleet.start("agent", "--once", "--on-change", "false"))[0] == 0
    found = fleet.rows(
        "SELECT i.name, t.id FROM integration_transitions t JOIN integrations i ON i.id = t.integration_id"
        " WHERE t.failed_at IS NOT NULL"
    )
    return {row["name"]: str(row["id"]) for row in found}


@pytest.mark.case("reliability notifications")
def test_a_dead_letter_is_shown_everywhere_until_it_is_sent_again(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """status, alerts and the metrics file show dead letters; retell --dead sends them with the next pass."""
    ids = dead_letters(fleet, provider, "a", "b")
    assert ids.keys() == {"a", "b"}
    words = "2 notifications are dead letters. To send again: intctl agent retell --dead"
    _, out, _ = finished(fleet.start("agent", "status"))
    assert words in out
    assert all(f"  {id}  {name} (active to error), failed " in out for name, id in ids.items())
    assert "UTC: it ended with 1" in out
    (row,) = json.loads(finished(fleet.start("agent", "status", "-o", "json"))[1])
    assert (row["notifications_pending"], row["notifications_dead"]) == (0, 2)
    assert finished(fleet.start("alerts"))[1].endswith(f"\n\n{words}\n")
    _, out, err = finished(fleet.start("alerts", "-o", "json"))
    assert len(json.loads(out)) == 2 and err == f"{words}\n"

    metrics, got = tmp_path / "x.prom", tmp_path / "got"
    code, out, _ = finished(fleet.start("agent", "retell", "--dead"))
    assert (code, out.partition(";")[0]) == (0, "2 notifications are due again")
    (row,) = json.loads(finished(fleet.start("agent", "status", "-o", "json"))[1])
    assert (row["notifications_pending"], row["notifications_dead"]) == (2, 0)
    finished(fleet.start("agent", "--once", "--metrics-file", str(metrics)))
    assert "\nintctl_notifications_pending 2\n" in metrics.read_text()
    assert "\nintctl_notifications_dead 0\n" in metrics.read_text()
    tell = ("agent", "--once", "--metrics-file", str(metrics), "--on-change", f"sh -c 'cat >>{got}'")
    assert finished(fleet.start(*tell))[0] == 0
    told = [json.loads(line) for line in got.read_text().splitlines()]
    assert {one["transition_id"] for one in told} == set(ids.values())
    assert {one["attempt"] for one in told} == {1}
    assert "\nintctl_notifications_pending 0\n" in metrics.read_text()
    assert "notification" not in finished(fleet.start("agent", "status"))[1]
    assert "notification" not in finished(fleet.start("alerts"))[1]
    assert finished(fleet.start("agent", "retell", "--dead"))[:2] == (0, "There are no dead letters.\n")


@pytest.mark.case("reliability notifications")
@pytest.mark.parametrize("by", ["id", "name"])
def test_one_notification_is_sent_again(fleet: Fleet, provider: Host, by: str) -> None:
    """retell ID, or the name of an integration, leaves the others; an unknown one is not found."""
    ids = dead_letters(fleet, provider, "a", "b")
    which = ids["a"].upper() if by == "id" else "a"
    code, out, _ = finished(fleet.start("agent", "retell", which))
    assert (code, out.partition(";")[0]) == (0, "1 notification is due again")
    left = fleet.rows("SELECT id FROM integration_transitions WHERE failed_at IS NOT NULL")
    assert [str(row["id"]) for row in left] == [ids["b"]]
    assert finished(fleet.start("agent", "--once", "--on-change", "true"))[0] == 0
    code, _, err = finished(fleet.start("agent", "retell", which))
    assert code == 3 and "No undelivered notification has the ID or integration" in err
    assert finished(fleet.start("agent", "retell", "--dead", "--org", str(uuid.uuid4())))[1:] == (
        "There are no dead letters.\n",
        "",
    )


@pytest.mark.parametrize("words", [(), ("x", "--dead")])
def test_retell_needs_one_target(intctl: Intctl, words: tuple[str, ...]) -> None:
    """Neither or both of ID and --dead are a usage error."""
    assert "Give the ID of a notification" in intctl("agent", "retell", *words, code=2).err


@pytest.mark.case("reliability 5")
def test_the_budget_covers_the_notifications(fleet: Fleet, provider: Host) -> None:
    """With targets and a command that hang, a pass ends within its budget, and what was not tried stays due."""
    names = [f"n{at}" for at in range(24)]
    for name in names:
        provider.behaviour[f"/{name}"] = ["401"]
    fleet.add({name: f"{provider.url}/{name}" for name in names})
    fleet.once()
    for name in names:
        provider.behaviour[f"/{name}"] = ["hang:60"]
    fleet.all_due()
    began = time.monotonic()
    words = ("agent", "--once", "--budget", "8", "--timeout", "3", "--concurrency", "2", "--on-change", "sleep 60")
    code, _, err = finished(fleet.start(*words))
    took_s = time.monotonic() - began
    (row,) = fleet.rows("SELECT metadata FROM agent_passes")
    assert code == 0
    assert row["metadata"]["duration_s"] < 8.0, took_s
    assert took_s < 9.5  # the start and the end of the process are not in the pass
    tried = [row["attempts"] for row in fleet.rows("SELECT attempts FROM integration_transitions")]
    assert sorted(set(tried)) == [0, 1]
    assert err.count("timed out: killed after 2 seconds") == sum(tried)
    provider.release()


# --- cheap, and without secrets


def test_status_and_an_idle_pass_with_options_import_no_framework(
    sqlite_target: Target, tmp_path: Path, provider: Host
) -> None:
    """With --on-change and --metrics-file, an idle pass imports no framework; nor does status."""
    keyring.write_file(tmp_path / "keyring.json", [keyring.new_key()])
    environ = {"INTCTL_HOME": str(tmp_path), "INTCTL_DATABASE_URL": f"sqlite:///{sqlite_target.path}"}
    environ["PATH"] = os.environ["PATH"]
    line = f"agent --once --log-format json --on-change true --metrics-file {tmp_path / 'x.prom'}"
    assert imported(line, (*PROBING, "asyncio"), environ) == (0, [])
    assert imported("agent status -o json", (*PROBING, "asyncio"), environ) == (0, [])


def test_an_idle_pass_writes_one_row_once(fleet: Fleet) -> None:
    """A pass without due integrations writes only its own row."""
    finished(fleet.start("agent", "--once"))
    tables = ("integration_schedules", "integration_health_logs", "integration_transitions")
    assert [fleet.rows(f"SELECT * FROM {table}") for table in tables] == [[], [], []]
    assert [row["passes"] for row in fleet.rows("SELECT passes FROM agent_passes")] == [1]


def test_no_secret_comes_out(
    fleet: Fleet, provider: Host, monitor: HttpServer, systemd: Manager, tmp_path: Path
) -> None:
    """Key, ping URL and database URL appear in no line, document, environment, file or row."""
    got = tmp_path / "got"
    tell = tmp_path / "tell.sh"
    tell.write_text(f"#!/bin/sh\n{{ cat; env; }} >>{got}\n")
    tell.chmod(0o755)
    text = fleet.keyring.primary.text()
    (fleet.home / "keyring.json").unlink()
    provider.behaviour[f"/a?token={CANARY}"] = ["401"]
    fleet.add({"a": f"{provider.url}/a?token={CANARY}"})
    metrics = tmp_path / "x.prom"
    agent = fleet.start(
        "agent",
        "--every",
        "1",
        "--log-format",
        "json",
        "--on-change",
        str(tell),
        "--metrics-file",
        str(metrics),
        NOTIFY_SOCKET=systemd.address,
        INTCTL_PING_URL=f"{monitor.url}/{UUID}",
        INTCTL_ENCRYPTION_KEY=text,
    )
    until(lambda: got.exists() and metrics.exists(), "both files")
    command_line = Path(f"/proc/{agent.pid}/cmdline").read_text()
    agent.send_signal(signal.SIGTERM)
    code, out, err = finished(agent)
    rows = fleet.rows("SELECT * FROM agent_passes") + fleet.rows("SELECT * FROM integration_transitions")
    assert code == 0 and '"to": "error"' in got.read_text()
    everything = "\n".join(
        [out, err, got.read_text(), metrics.read_text(), str(rows), command_line, *systemd.messages()]
    )
    for secret in (CANARY, UUID, text, text[5:40], fleet.environ["INTCTL_DATABASE_URL"]):
        assert secret not in everything


def test_a_metrics_file_that_can_not_be_filled_fails_no_pass(
    intctl: Intctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A database error after the pass is recorded is a warning: exit 0, and no failure in the file."""
    from intctl.errors import BusyError
    from intctl.store import gauges

    def busy(*_: object) -> None:
        raise BusyError("in use by another process")

    monkeypatch.setattr(gauges, "gauges", busy)
    ran = intctl("agent", "--once", "--budget", "5", "--metrics-file", str(tmp_path / "agent.prom"))
    assert "--metrics-file was not written: in use" in ran.err
    assert not (tmp_path / "agent.prom").exists()
    assert [row["state"] for row in intctl("agent", "status", "-o", "json").json] == ["ok"]


def test_the_telling_is_part_of_the_pass(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """The start of a pass is its true start, and its duration includes the command."""
    provider.behaviour["/a"] = ["401"]
    fleet.add({"a": f"{provider.url}/a"})
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nsleep 1.5\n")
    slow.chmod(0o700)
    assert finished(fleet.start("agent", "--once", "--on-change", str(slow)))[0] == 0
    (row,) = fleet.rows("SELECT started_at, finished_at, metadata FROM agent_passes")
    assert (row["finished_at"] - row["started_at"]).total_seconds() > 1.5
    assert row["metadata"]["duration_s"] > 1.5
