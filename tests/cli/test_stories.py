"""The README's six stories run as written, and every command line in the documents exists.

The tests only fill in the provider's address, which a story leaves to the reader. Vendors become loopback
servers through lines added to the manifest (host, port, ca_file), the key "…" becomes a real one,
and PostgreSQL's example address becomes this run's server.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from intctl import cli, keyring
from intctl.db.url import Target

from ..conftest import database_url
from ..servers import Authority, SmtpServer, smtp_server
from .conftest import CANARY

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def story(number: int) -> str:
    """The shell lines of a story."""
    chapter = README.partition(f"\n### {number}. ")[2].partition("\n##")[0]
    return "\n".join(re.findall(r"```sh\n(.*?)```", chapter, re.DOTALL))


class Reader:
    """A user who types the stories, in a separate folder and home."""

    def __init__(self, folder: Path, server: SmtpServer, ca: Authority) -> None:
        self.folder = folder
        self.server = server
        bin = folder / "bin"
        bin.mkdir()
        (bin / "intctl").symlink_to(Path(sys.executable).parent / "intctl")
        # `mail` belongs to the reader's machine: this replacement keeps its input.
        (bin / "mail").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > mail.txt; cat >> mail.txt\n')
        (bin / "mail").chmod(0o700)
        self.environ = {"PATH": f"{bin}:{os.environ['PATH']}", "INTCTL_HOME": str(folder / "home"), "LANG": "C.UTF-8"}
        self._ca = ca.file

    def types(self, lines: str, *, code: int = 0, stdin: str = "", stop: bool = True) -> str:
        """Run shell lines and return the output. `stop`: stop at the first failure and return its code."""
        ran = subprocess.run(
            ["sh", "-eu" if stop else "-u", "-c", self.substituted(lines)],
            cwd=self.folder,
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        assert CANARY not in ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def substituted(self, lines: str) -> str:
        """Replace the vendor's address by that of the loopback server, with its certificate authority."""
        assert "smtp.sendgrid.net" not in lines or "  port: 587\n" in lines
        lines = lines.replace("  host: smtp.sendgrid.net\n", f"  host: {self.server.host}\n  ca_file: {self._ca}\n")
        lines = lines.replace("  port: 587\n", f"  port: {self.server.port}\n")
        return lines.replace("SENDGRID_API_KEY=…", f"SENDGRID_API_KEY={CANARY}")


@pytest.fixture
def reader(tmp_path: Path, ca: Authority) -> Iterator[Reader]:
    with smtp_server(ca, "starttls", users={"apikey": CANARY}) as server:
        yield Reader(tmp_path, server, ca)


def test_story_1_the_first_mail_integration(reader: Reader) -> None:
    """init, add, a real mail, the dashboard."""
    said = reader.types(story(1))
    assert re.search(r"Created Email \([0-9a-f-]{36}\): healthy, \d+ ms", said)
    assert [mail.recipients for mail in reader.server.mails] == [["you@company.com"]]
    assert "🟢 Active" in said and "None: nothing is in error." in said


def test_story_2_a_wrong_password(reader: Reader) -> None:
    """The check fails with its cause, alerts show a command, and the command fixes it."""
    reader.types(story(1))
    check, alerts, edit, reconnect, cron = [line for line in story(2).splitlines() if line.strip()]
    reader.server.users["apikey"] = "the-new-one"
    said = reader.types(check, code=1)
    assert "misconfigured" in said and "smtp.auth.rejected" in said
    assert "intctl edit Email --secret password" in reader.types(alerts)
    reader.types(cron)
    told = (reader.folder / "mail.txt").read_text()
    assert "ops@company.com" in told and "Emails not sending" in told
    reader.types(edit, stdin="still-wrong\n", code=1)
    assert "Updated Email" in reader.types(edit, stdin="the-new-one\n")
    assert "healthy" in reader.types(reconnect)
    assert "No alerts" in reader.types("intctl alerts --exit-code")


def test_story_3_ci_provisioning(reader: Reader) -> None:
    """Apply a folder, then stdin, then JSON for scripts; the second time nothing changes."""
    reader.types(story(1))
    manifest = reader.substituted(story(1).partition("<<'EOF'\n")[2].partition("EOF\n")[0])
    folder = reader.folder / "integrations"
    folder.mkdir()
    for name in ("Email", "Billing mail"):
        (folder / f"{name}.yaml").write_text(manifest.replace("name: Email", f"name: {name}"))
    (reader.folder / "all.yaml").write_text(manifest)
    key = f"export SENDGRID_API_KEY={CANARY}\n"
    first, second, third = [line for line in story(3).splitlines() if line.strip()][:3]
    assert "1 changed (1 created, 0 updated), 1 unchanged" in reader.types(key + first)
    assert "0 changed" in reader.types(key + first)
    assert "health_check_interval_minutes" in reader.types(key + second)
    assert '"action": "updated"' in reader.types(key + third)  # the folder says 5 minutes again


def test_story_4_disable_and_enable(reader: Reader) -> None:
    """Off, on, another interval."""
    reader.types(story(1))
    said = reader.types(story(4)).splitlines()
    assert len(said) == 3
    for line, words in zip(said, ("the agent skips it", "next pass", "15 minutes"), strict=True):
        assert words in line


def test_story_5_logs_and_metrics(reader: Reader) -> None:
    """Failures of the last week, uptime, JSON; a sync that worked and one that did not."""
    reader.types(story(1))
    with_payroll = story(1).replace("name: Email", "name: Payroll").replace("intctl test Email", "intctl test Payroll")
    reader.types(with_payroll)
    reader.server.users["apikey"] = "another"
    reader.types("intctl check Email", code=1)
    said = reader.types(story(5))
    assert "smtp.auth.rejected" in said and "50 %" in said and '"window": "24h"' in said
    assert "Payroll: failed sync recorded" in said and "(failed)" in reader.types("intctl list")


def test_story_6_postgresql(reader: Reader, empty_postgresql: Target) -> None:
    """init, organisations and --org on an empty PostgreSQL; a second init changes nothing."""
    url = database_url(empty_postgresql)
    lines = story(6).replace("'postgresql://intctl@db.example.com/portal'", shlex.quote(url))
    assert "db.example.com" not in lines
    said = reader.types(lines)
    assert "Database: created PostgreSQL" in said and "acme" in said and "No integrations yet" in said
    assert reader.types(f"export INTCTL_DATABASE_URL={shlex.quote(url)}\nintctl init").count("Nothing to do") == 1


# --- every command line in the documents


def command_lines() -> list[tuple[str, list[str]]]:
    """(where, words after `intctl`) of each intctl command in a fenced block or in `code`."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        fenced = re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)
        blocks = [body for kind, body in fenced if kind in ("sh", "crontab")]
        inline = re.findall(r"`([^`\n]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        for line in "\n".join([*blocks, *inline]).splitlines():
            for part in re.split(r"\|\||[|;>]|&&|<<|\$\(", line.partition(" #")[0]):
                words = shlex.split(part.replace("'", ""))
                # In `sudo -u intctl intctl list` the first one is the user; in a path it is a part of a name.
                starts = [i + 1 for i, word in enumerate(words[:-1]) if word == "intctl"]
                starts = [i for i in starts if i == 1 or words[i] in cli.COMMANDS or words[i].startswith("--")]
                if starts and words[starts[0]][0] not in "=(:":
                    found.append((f"{document.name}: {line.strip()}", words[starts[0] :]))
    return found


def test_there_are_command_lines() -> None:
    """The search finds the commands of the stories; an empty list would prove nothing."""
    lines = command_lines()
    assert len(lines) > 40
    assert {"init", "add", "apply", "edit", "agent"} <= {words[0] for _, words in lines}


@pytest.mark.parametrize(("where", "words"), command_lines(), ids=str)
def test_every_command_line_exists(where: str, words: list[str]) -> None:
    """Commands and options exist, and their values have the right type; nothing is run."""
    rest = list(words)
    while rest and rest[0] in ("--org", "--database-url-file"):
        del rest[:2]
    if rest and rest[0] in ("--version", "--help"):
        return
    module, attribute, _ = cli.COMMANDS[rest[0]]
    command: click.Command = getattr(import_module(module), attribute)
    rest = rest[1:]
    inner = getattr(command, "commands", {})
    if rest and not rest[0].startswith("-") and (isinstance(command, click.Group) or rest[0] in inner):
        command = inner[rest.pop(0)]
    known = {option: parameter for parameter in command.get_params(click.Context(command)) for option in parameter.opts}
    known |= {o: p for p in command.get_params(click.Context(command)) for o in p.secondary_opts}
    for word in rest:
        if word == "--":
            return
        if word.startswith("-") and word != "-":
            assert word.partition("=")[0] in known, where
    if "…" not in rest and any(not word.startswith("-") for word in rest) and command.name != "run":
        command.make_context("intctl", list(rest))


def test_the_make_targets_of_the_readme_exist() -> None:
    """`make demo` and `make test`, as the README names them, are targets of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))))
    assert {"demo", "test"} <= named <= targets


def test_the_keyring_of_a_story_is_one(reader: Reader) -> None:
    """The keyring that `init` created in the first story can be loaded."""
    reader.types("intctl init")
    assert keyring.read_file(reader.folder / "home" / "keyring.json")
