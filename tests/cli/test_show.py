"""The commands list, show, dashboard and alerts: output for users and scripts, and hidden data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from intctl.db.connect import connect
from intctl.store import integrations

from ..conftest import ORG_ID
from ..test_metrics import add_integration
from .conftest import CANARY, Intctl, MailHost
from .test_change import on_a_terminal
from .test_state import answered

OTHER_ORG = "0b0b0b0b-0000-4000-8000-00000000beef"


@pytest.fixture
def theirs(intctl: Intctl) -> str:
    """The id of an integration of another organisation."""
    with connect(intctl.target) as database:
        database.run("INSERT INTO organizations (id, name, slug) VALUES (:id, 'Other', 'other')", {"id": OTHER_ORG})
        return add_integration(database, "Theirs", OTHER_ORG, status="error")


@pytest.mark.parametrize(
    "words",
    [
        ["show"],
        ["edit", "--set", "host=h"],
        ["test"],
        ["check"],
        ["reconnect"],
        ["toggle"],
        ["interval"],
        ["synced"],
        ["delete", "--yes"],
        ["logs"],
        ["metrics"],
        ["restore"],
    ],
    ids=lambda words: words[0],
)
def test_what_is_somebody_elses_is_not_there(intctl: Intctl, theirs: str, words: list[str]) -> None:
    """Another organisation's integration exits 3 like a missing one; with its --org it is found."""
    more = ["5"] if words[0] == "interval" else []
    told = {}
    for name in ("Theirs", theirs, "nobody"):
        ran = intctl("--org", "acme", words[0], name, *more, *words[1:], code=3)
        told[name] = ran.err.replace(name, "NAME")
        assert ran.out == ""
    assert len(set(told.values())) == 1
    if words[0] not in ("restore", "edit", "test", "check", "reconnect"):
        intctl("--org", OTHER_ORG, words[0], "Theirs", *more, *words[1:])


def test_lists_are_of_one_organisation(intctl: Intctl, theirs: str) -> None:
    """With several organisations, --org or INTCTL_ORG is required, and only its integrations are shown."""
    assert "Name one with --org" in intctl("list", code=2).err
    assert intctl("list", "--org", "acme", "-o", "json").json == []
    assert intctl("list", "-o", "name", INTCTL_ORG="other").out == "Theirs\n"
    assert intctl("--org", "acme", "list", "-o", "name", INTCTL_ORG="other").out == ""
    assert intctl("alerts", "--exit-code", "--org", "acme").code == 0
    assert intctl("alerts", "--exit-code", "--org", "other", code=1).out
    assert "Theirs" not in intctl("dashboard", "--org", "Acme").out


def test_rows_of_another_making_do_no_harm(intctl: Intctl) -> None:
    """An adopted row (hostile name, unknown provider, no envelope, other status) is sanitized by every command."""
    name = "Evil\x1b[31m\u202ename"
    with connect(intctl.target) as database:
        id = add_integration(database, name, provider="unheard_of", type="pigeon", status="error")
        add_integration(database, "Plain", config={"password": CANARY})
    for words in (["list"], ["show", id], ["alerts"], ["dashboard"], ["metrics"], ["logs"], ["show", "Plain"]):
        ran = intctl(*words)
        assert "\x1b" not in ran.out and "\u202e" not in ran.out
    for style in ("json", "yaml", "csv", "name"):
        for words in (["list"], ["show", id], ["alerts"]):
            assert "\x1b" not in intctl(*words, "-o", style).out
    shown = intctl("show", id, "-o", "json").json
    assert shown["config"] is None and "does not know the provider" in shown["config_problem"]
    assert "This service cannot be used" in intctl("alerts").out
    assert intctl("show", "Plain", "-o", "json").json["config"] is None
    assert "\x1b" not in intctl("toggle", id, "--off").out + intctl("delete", id, "--yes").out


def test_search_says_when_nothing_matches(intctl: Intctl, email: MailHost) -> None:
    """No match and no integration have different messages; --status accepts the displayed word."""
    assert intctl("list", "--search", "nothing").out == "No integration matches.\n"
    assert intctl("list", "--search", "MAI", "-o", "name").out == "Email\n"
    assert intctl("list", "--status", "disabled", "-o", "name").out == ""
    assert intctl("list", "--type", "email", "--provider", "sendgrid", "--sort", "-last-check", "-o", "name").out
    assert "--sort must be one of" in intctl("list", "--sort", "--name", code=2).err


def test_a_name_that_is_no_text(intctl: Intctl) -> None:
    """Bytes that are not UTF-8 are a usage error on one line."""
    for words in (["show", "\udcff"], ["list", "--search", "\udcff"], ["--org", "\udcff", "list"]):
        ran = intctl(*words, code=2)
        assert ran.err == "intctl: The text is not valid UTF-8, so it can't be in the database.\n"


def test_reveal_asks_first(intctl: Intctl, email: MailHost) -> None:
    """On a terminal --reveal asks for confirmation: no exits without output, yes shows the secret."""
    for answer, code, shown in (("n", 0, False), ("", 0, False), ("y", 0, True)):
        ran = answered(intctl, answer, "in plaintext?", "show", "Email", "--reveal")
        assert ran.returncode == code, ran.stdout
        assert (CANARY in ran.stdout) is shown


def test_alerts_name_the_command_that_mends(intctl: Intctl, email: MailHost) -> None:
    """A rejected credential suggests edit --secret, an unreachable server reconnect; --exit-code exits 1."""
    for name in ("Refused", "Unreachable"):
        manifest = email.manifest(name, **({"port": 1} if name == "Unreachable" else {}))
        intctl("add", "smtp", "-f", "-", "--no-test", stdin=manifest, MAIL_PASSWORD="wrong")
        intctl("check", name, code=1)
    found = {row["name"]: row for row in intctl("alerts", "-o", "json", "--exit-code", code=1).json}
    assert found["Refused"]["command"] == "intctl edit Refused --secret password"
    assert found["Unreachable"]["command"] == "intctl reconnect Unreachable"
    assert found["Unreachable"]["scheduled_checks_stopped"] is False
    with connect(intctl.target) as database:
        database.run(
            "UPDATE integration_schedules SET rejections = 3 WHERE integration_id = :id",
            {"id": integrations.find(database, ORG_ID, "Refused").id},
        )
    (stopped,) = [row for row in intctl("alerts", "-o", "json").json if row["scheduled_checks_stopped"]]
    assert stopped["name"] == "Refused" and "stopped after 3 rejections" in stopped["next_step"]


def test_dashboard_watch_ends_on_ctrl_c(intctl: Intctl) -> None:
    """--watch refreshes until Ctrl-C, which exits 130 without a traceback."""
    command = [sys.executable, "-u", "-m", "intctl", "dashboard", "--watch", "--every", "1"]
    with subprocess.Popen(
        command, env=intctl.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        drawn = 0
        deadline = time.monotonic() + 60
        while drawn < 2 and time.monotonic() < deadline:
            drawn += process.stdout.readline().startswith("ALL INTEGRATIONS")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert drawn == 2
    assert (process.returncode, err.strip()) == (130, "intctl: interrupted")


def test_a_narrow_terminal(intctl: Intctl, email: MailHost) -> None:
    """On a terminal, tables are truncated to its width; in a pipe, they are not."""
    long = "An integration with quite a long name, as people like them"
    intctl("add", "smtp", "-f", "-", "--no-test", stdin=email.manifest(long), MAIL_PASSWORD=CANARY)
    ran = on_a_terminal(intctl, "list", environ={"COLUMNS": "72", "LINES": "20"})
    assert ran.returncode == 0 and "…" in ran.stdout and long not in ran.stdout
    assert all(len(line) <= 72 for line in ran.stdout.splitlines())
    assert long in intctl("list").out
    assert os.environ.get("COLUMNS") != "72"
