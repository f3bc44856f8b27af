"""The steps after a pass: their order, and that each has a budget and an error boundary."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from intctl.agent import PassSettings, Stop, Summary
from intctl.db.connect import connect
from intctl.errors import BusyError, IntctlError, StoreError
from intctl.notify.catalogue import CATALOGUE, Entry, Subscriber
from intctl.notify.event import Event
from intctl.notify.notifier import Result
from intctl.service.journal import Journal
from intctl.service.reporter import Reporter
from intctl.service.runner import PassRunner
from intctl.service.steps import AFTER_FAILURE, AFTER_PASS, FailedPass, Step, Surroundings, run_steps
from intctl.store.passes import Agent

from ..agent_rig import Fleet, Host

SECRET = "canary-7f3a9c-do-not-show"


def surroundings(*subscribers: Subscriber) -> tuple[Surroundings, list[dict[str, Any]]]:
    """The surroundings of a pass, and the lines of its journal."""
    lines: list[dict[str, Any]] = []
    journal = Journal("json", lambda _data, line: lines.append(json.loads(line)), time.time)
    return Surroundings(journal, Reporter(journal, subscribers)), lines


class Broken:
    """A notifier with a bug."""

    at_once = 4
    limit_s = 5.0

    def obstacle(self) -> str:
        return ""

    def deliver(self, events: Sequence[Event]) -> Iterator[Result]:
        yield Result(events[0], "delivered")
        raise RuntimeError(SECRET)


def broken(name: str) -> Subscriber:
    entry: Entry = CATALOGUE[name]
    return Subscriber(entry, Broken())


def run(fleet: Fleet, around: Surroundings) -> Summary:
    """Run one pass with its steps."""
    runner = PassRunner(around, "here")
    with connect(fleet.target) as database, Stop() as stop:
        return runner.run(lambda: database, lambda: fleet.keyring, lambda: PassSettings(host="here"), stop)


def test_the_lists_are_literal() -> None:
    """The steps after a pass are one list in one order, and each step has a budget."""
    assert [step.name for step in AFTER_PASS] == ["tell", "roll up", "note", "prune", "metrics file", "ping"]
    assert [step.name for step in AFTER_FAILURE] == ["ping", "metrics file", "note"]
    assert all(step.budget_s > 0 for step in AFTER_PASS)
    assert all(step.budget_s > 0 for step in AFTER_FAILURE)


@pytest.mark.parametrize(
    ("error", "words", "places"),
    [
        (RuntimeError(SECRET), r"a bug in intctl \(RuntimeError at \S+test_steps\.py:\d+ in fails\)", 2),
        (StoreError("The database is away."), r"The database is away\.", 0),
    ],
)
def test_what_a_step_raises_is_a_line(error: Exception, words: str, places: int) -> None:
    """An error of a step is written to the journal, without the text of an unknown error; the next step runs."""
    around, lines = surroundings()
    ran: list[float] = []

    def fails(_one: FailedPass, _ends: float) -> None:
        raise error

    def works(_one: FailedPass, ends: float) -> None:
        ran.append(ends - time.monotonic())

    steps = (Step("first", 1.0, fails), Step("second", 9.0, works))
    run_steps(steps, FailedPass(around, None, Agent("here", None, "1"), error, time.monotonic()))
    (line,) = lines
    assert (line["level"], line["event"], line["step"]) == ("warning", "step_failed", "first")
    assert re.fullmatch(f"The step first after the pass failed: {words}", line["message"])
    assert len(line["where"]) == places
    assert SECRET not in json.dumps(line)
    assert 8.0 < ran[0] <= 9.0


@pytest.mark.parametrize("error", [StoreError("away"), BusyError("locked"), BrokenPipeError()])
def test_what_fails_the_pass_passes_the_boundary(error: Exception) -> None:
    """Database errors in a step that declares them, and unwritable output, keep their exit codes."""
    around, lines = surroundings()

    def fails(_one: FailedPass, _ends: float) -> None:
        raise error

    step = Step("first", 1.0, fails, fails_pass=(IntctlError,))
    with pytest.raises(type(error)):
        run_steps((step,), FailedPass(around, None, Agent("here", None, "1"), error, time.monotonic()))
    assert lines == []


def test_a_bug_in_a_notifier_fails_no_pass(fleet: Fleet, provider: Host) -> None:
    """A notifier that raises is a warning; the pass is noted, and earlier deliveries stay delivered."""
    provider.behaviour = {"/a": ["401"], "/b": ["401"]}
    fleet.add({name: f"{provider.url}/{name}" for name in "ab"})
    around, lines = surroundings(broken("command"), broken("ping"))
    assert run(fleet, around).recorded == 2
    said = {line["event"]: line for line in lines}
    assert said["step_failed"]["step"] == "tell"
    assert said["ping_failed"]["message"] == "--ping-url failed: a bug in intctl (RuntimeError)."
    assert said["told"]["level"] == "info"
    assert SECRET not in json.dumps(lines)
    assert fleet.rows("SELECT passes, failure FROM agent_passes") == [{"passes": 1, "failure": None}]
    rows = fleet.rows("SELECT told_at FROM integration_transitions")
    assert sorted(row["told_at"] is None for row in rows) == [False, True]


def test_old_rows_are_pruned_after_a_pass(fleet: Fleet) -> None:
    """One pass in sixty deletes the rows of agents without a pass for a month."""
    around, _ = surroundings()
    run(fleet, around)
    with connect(fleet.target) as database:
        long_ago = "{after -2600000}"
        database.run(
            "INSERT INTO agent_passes (id, host, version, started_at, finished_at)"
            f" VALUES ('gone', 'gone', '1', {long_ago}, {long_ago})"
        )
        database.run("UPDATE agent_passes SET passes = 58 WHERE host = 'here'")
    run(fleet, around)
    assert len(fleet.rows("SELECT host FROM agent_passes")) == 2
    run(fleet, around)
    assert fleet.rows("SELECT host, passes FROM agent_passes") == [{"host": "here", "passes": 60}]


def test_the_keys_of_a_pass_stay(fleet: Fleet) -> None:
    """The keys of the note in the database and of the journal's line are stable, because scripts read them."""
    around, lines = surroundings()
    run(fleet, around)
    counts = "checked given_back held_back lost out_of_time set_aside stopped verdicts duration_s"
    (row,) = fleet.rows("SELECT metadata FROM agent_passes")
    assert sorted(row["metadata"]) == sorted(f"{counts} faults history keys locked pass_id".split())
    (line,) = [entry for entry in lines if entry["event"] == "pass"]
    assert sorted(line) == sorted(f"{counts} event level message time".split())


def test_a_turn_of_the_history_follows_the_pass(fleet: Fleet) -> None:
    """A due turn of the history runs once, and not again after the next pass."""
    for _ in range(2):
        assert run(fleet, surroundings()[0]).history == ""
    with connect(fleet.target) as database:
        row = database.row("SELECT next_at, {now} AS now_at FROM history_progress")
    assert row is not None and row["next_at"] > row["now_at"]
