"""The interface of notifiers: every row of the catalogue has it; a new notifier is one file and one row."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from intctl.errors import UsageError
from intctl.notify import command
from intctl.notify.catalogue import CATALOGUE, Entry, Subscriber, subscriber
from intctl.notify.event import Event, PassFailed, PassFinished, PassStarted
from intctl.notify.notifier import Notifier, Setting
from intctl.notify.rules import status_changed
from intctl.probes.guard import AddressPolicy

from ..agent_rig import Fleet, Host
from .rig import changed

ROOT = Path(__file__).parents[2]
#: A target that each notifier accepts and that reaches nothing.
TARGETS = {"command": "true", "ping": "http://127.0.0.1:1/"}
EVERY_EVENT: tuple[Event, ...] = (changed(), PassStarted(), PassFinished(), PassFailed())


def build(name: str, target: str, entry: Entry | None = None) -> Subscriber:
    setting = Setting(target, "the test", {"PATH": os.environ["PATH"]}, AddressPolicy)
    return subscriber(entry or CATALOGUE[name], setting)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_notifier_gives_one_result_for_each_event(name: str) -> None:
    """Events in, results out: one for each event, skipped exactly where its row does not list the event."""
    one = build(name, TARGETS[name])
    notifier: Notifier = one.notifier
    assert notifier.obstacle() == ""
    assert notifier.at_once >= 1 and notifier.limit_s > 0
    results = {type(result.event): result for result in notifier.deliver(EVERY_EVENT)}
    assert results.keys() == {type(event) for event in EVERY_EVENT}
    assert {event for event, result in results.items() if result.status != "skipped"} == set(one.entry.events)
    assert all(bool(result.words) == (result.status in ("failed", "not_started")) for result in results.values())
    assert not any(result.words.endswith(".") for result in results.values())


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_wrong_target_is_wrong_usage(name: str) -> None:
    """An invalid target is rejected when the notifier is built, before any pass."""
    with pytest.raises(UsageError):
        build(name, "'")


def test_the_command_gives_results_without_a_database() -> None:
    """A notifier needs neither a database nor a journal: the result has the end of the command."""
    ends = {"true": "delivered", "sh -c 'echo no route >&2; exit 3'": "failed", "/dev/null": "not_started"}
    for text, status in ends.items():
        (result,) = build("command", text).notifier.deliver([changed()])
        assert (result.status, result.event) == (status, changed())
    (result,) = command.Command(("sleep", "60"), os.environ, limit_s=0.1).deliver([changed()])
    assert (result.status, result.words, result.exit_code) == ("failed", "timed out: killed after 0.1 seconds", None)


def test_an_event_has_all_of_its_transition() -> None:
    """The event of a claimed transition has all its fields except the lease."""
    from datetime import UTC, datetime

    from intctl.store.transitions import Transition

    one = Transition(
        id="t1",
        integration_id="i1",
        from_status="active",
        to_status="error",
        verdict="down",
        code="connect.refused",
        message="refused",
        changed_at=datetime(2026, 1, 31, tzinfo=UTC),
        lease_token=7,
        attempts=2,
        name="Email",
        org_id="o1",
        provider="smtp",
        type="email",
    )
    event = status_changed(one)
    assert (event.id, event.occurred_at, event.attempt) == (one.id, one.changed_at, one.attempts)
    same = ("integration_id", "from_status", "to_status", "verdict", "code", "message", "name", "org_id", "type")
    assert [getattr(event, name) for name in same] == [getattr(one, name) for name in same]


# --- a new notifier

#: A notifier as described in docs/add-a-notifier.md: it appends the document of each event to a file.
FILE = '''
"""A file: the document of each status change is one more line."""

import json
from pathlib import Path

from intctl.errors import UsageError
from intctl.notify.event import StatusChanged, document
from intctl.notify.notifier import Result


def build(setting):
    if not Path(setting.target).parent.is_dir():
        raise UsageError(f"{setting.source}: there is no such folder.")
    return File(Path(setting.target))


class File:
    at_once = 10
    limit_s = 5.0

    def __init__(self, path):
        self._path = path

    def obstacle(self):
        return "the file is a folder" if self._path.is_dir() else ""

    def deliver(self, events):
        for event in events:
            if not isinstance(event, StatusChanged):
                yield Result(event, "skipped")
                continue
            with self._path.open("a") as file:
                file.write(json.dumps(document(event)) + "\\n")
            yield Result(event, "delivered")
'''
#: Its row, and the command line with it.
AGENT = """
from intctl.notify.catalogue import CATALOGUE, Entry
from intctl.notify.event import StatusChanged
CATALOGUE["file"] = Entry(
    "acmefile",
    events=(StatusChanged,),
    option="--changes-file",
    metavar="FILE",
    help="Append each status change to this file.",
    failed_event="changes_file",
)
from intctl.cli import main
main()
"""


def test_one_file_and_one_row_are_a_notifier(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """A notifier added as the guide describes has its option, help and usage errors, and gets the events."""
    (tmp_path / "acmefile.py").write_text(FILE)
    path = tmp_path / "changes"

    def agent(*words: str) -> subprocess.CompletedProcess[str]:
        environ = {**fleet.environ, "PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{tmp_path}"}
        words = ("agent", *words)
        return subprocess.run(
            [sys.executable, "-c", AGENT, *words], env=environ, capture_output=True, text=True, timeout=60
        )

    assert "--changes-file FILE" in agent("--help").stdout
    wrong = agent("--once", "--changes-file", str(tmp_path / "none" / "x"))
    assert (wrong.returncode, wrong.stderr) == (2, "intctl: --changes-file: there is no such folder.\n")
    provider.behaviour["/Email"] = ["401", "200"]
    fleet.add({"Email": f"{provider.url}/Email"})
    ran = agent("--once", "--changes-file", str(tmp_path))
    assert (ran.returncode, ran.stderr) == (0, "warning: --changes-file: the file is a folder.\n")
    fleet.all_due()
    for _ in range(2):
        assert agent("--once", "--changes-file", str(path)).returncode == 0
    (told,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert (told["integration"], told["from"], told["to"]) == ("Email", "error", "active")
    assert [(one["was"], one["became"]) for one in told["missed"]] == [("active", "error")]


def test_the_guide_shows_the_row_and_the_file() -> None:
    """docs/add-a-notifier.md contains the whole file of the ping, and its row."""
    text = (ROOT / "docs" / "add-a-notifier.md").read_text("utf-8")
    (block,) = re.findall(r"<!-- intctl/notify/ping.py -->\n```python\n(.*?)```\n<!-- end -->", text, re.DOTALL)
    assert block == (ROOT / "intctl" / "notify" / "ping.py").read_text("utf-8")
    (row,) = re.findall(r'^"ping": Entry\(\n.*?^\),\n', text, re.DOTALL | re.MULTILINE)
    indented = "".join(f"    {line}\n" for line in row.splitlines())
    assert indented in (ROOT / "intctl" / "notify" / "catalogue.py").read_text("utf-8")
