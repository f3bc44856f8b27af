"""The steps after a pass: two literal lists, one for a completed pass and one for a failed pass.

Each step has a budget and an error boundary. An error of a step is written to the journal, and the next step runs;
only the errors that a step lists in `fails_pass` fail the pass.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from intctl.agent import Stop, Summary, fuse
from intctl.db.connect import Database
from intctl.db.persist import GIVE_UP_S, persist
from intctl.errors import BusyError, IntctlError, StoreError, frames
from intctl.metrics.retention import maintain_history
from intctl.notify.event import PassFailed, PassFinished
from intctl.service.journal import Journal
from intctl.service.reporter import Reporter
from intctl.store import gauges, passes, undelivered
from intctl.store.passes import Agent, NotedPass, PassNote

#: The minimum time of a step that notes the pass, in seconds, even if the budget of the pass is spent.
_LEAST_S = 5.0
#: What remains of the budget after the deliveries: in seconds, at most this share of it.
_AFTER_TELLING_S, _AFTER_TELLING = 5.0, 0.2
#: The budget of such a step in seconds: the time for retries of the database, and the last attempt.
_NOTE_S = GIVE_UP_S + 5.0


def _ignore() -> None:
    """Ignore progress: there is no watchdog."""


@dataclass(slots=True)
class Surroundings:
    """The resources of the steps. `progress` is called after real progress only."""

    journal: Journal
    reporter: Reporter
    metrics_file: Path | None = None
    progress: Callable[[], None] = _ignore


@dataclass(slots=True)
class DonePass:
    """A pass whose checks are recorded. `pass_id` is unique; the step that notes the pass sets `noted`.

    `locked` are the ids of integrations whose rows another session kept locked in this pass or shortly before.
    """

    around: Surroundings
    database: Database
    agent: Agent
    stop: Stop
    summary: Summary
    kids: Sequence[str]
    pass_id: str
    began: float
    budget_s: float | None
    duration_s: float = 0.0
    noted: NotedPass | None = None
    locked: Sequence[str] = ()

    @property
    def is_completed(self) -> bool:
        """Whether no signal ended the pass and a config could be opened."""
        return not self.summary.stopped and not self.summary.keyless

    @property
    def telling_ends(self) -> float:
        """The moment by which deliveries must end: the steps after them are inside the budget, too."""
        if self.budget_s is None:
            return math.inf
        return self.began + self.budget_s - min(_AFTER_TELLING_S, self.budget_s * _AFTER_TELLING)

    def until(self, ends: float) -> Callable[[], float]:
        """The deadline of database retries: `ends`, the end of the pass's budget, or a signal."""
        pass_ends = max(self.began + (self.budget_s or math.inf), time.monotonic() + _LEAST_S)
        return lambda: min(ends, pass_ends, self.stop.at)


@dataclass(slots=True)
class FailedPass:
    """A pass that failed, before or after the database was opened."""

    around: Surroundings
    database: Database | None
    agent: Agent
    error: Exception
    began: float


T = TypeVar("T", bound="DonePass | FailedPass")


class Step(NamedTuple, Generic[T]):
    """One step. `run` gets the pass and the moment of the monotonic clock at which the step's budget ends.

    `fails_pass` are the errors that are re-raised. `needs_completed`: skipped if a signal ended the pass or no config
    could be opened.
    """

    name: str
    budget_s: float
    run: Callable[[T, float], None]
    fails_pass: tuple[type[Exception], ...] = ()
    needs_completed: bool = True


def run_steps(steps: Sequence[Step[T]], one: T) -> None:
    """Run the steps in their order."""
    for step in steps:
        if step.needs_completed and isinstance(one, DonePass) and not one.is_completed:
            continue
        fails_pass = (*step.fails_pass, OSError)  # OSError: the journal can't be written: the agent ends
        try:
            step.run(one, time.monotonic() + step.budget_s)
        except Exception as error:
            if isinstance(error, fails_pass):
                raise
            where = [] if isinstance(error, IntctlError) else frames(error)
            words = f"a bug in intctl ({type(error).__name__} at {where[-1]})" if where else str(error)
            text = f"The step {step.name} after the pass failed: {words}"
            one.around.journal.say("warning", "step_failed", text, step=step.name, where=where)


# --- after a pass


def tell(one: DonePass, ends: float) -> None:
    """Deliver the status changes that are due to the notifiers."""
    around = one.around
    if one.stop or not around.reporter.has_change_notifiers:
        return
    from intctl.notify.rules import Outbox

    outbox = Outbox(one.database, one.pass_id, one.agent.org_id, one.stop.__bool__)
    ends = min(ends, one.telling_ends - around.reporter.change_limit_s)
    around.reporter.report_changes(outbox, ends, around.progress)


def roll_up(one: DonePass, ends: float) -> None:
    """Roll up closed days of the history and delete old checks, for about a second, if a turn is due."""
    summary = one.summary
    if one.stop or summary.out_of_time:
        return
    until = one.until(ends)
    with fuse(max(1.0, until() - time.monotonic()) if one.budget_s is not None else None):
        summary.history = persist(one.database, lambda again: maintain_history(one.database, again=again), until)
    if summary.history:
        one.around.journal.say("warning", "history", summary.history)


def note(one: DonePass, ends: float) -> None:
    """Note the completed pass in the database."""
    one.duration_s = round(time.monotonic() - one.began, 3)  # includes the steps before this one
    metadata = {**counted(one.summary), "duration_s": one.duration_s, "keys": [*one.kids], "pass_id": one.pass_id}
    metadata["locked"] = [*one.locked]
    noted = PassNote(one.duration_s, one.summary.recorded, metadata)

    def finish(again: bool) -> NotedPass:
        return passes.finish(one.database, one.agent, noted, again=again)

    try:
        one.noted = persist(one.database, finish, one.until(ends))
    except BusyError as error:  # the checks are recorded; the next pass notes that the agent runs
        one.around.journal.say("warning", "not_noted", f"The pass could not be noted: {error}")


def prune(one: DonePass, ends: float) -> None:
    """Delete old notes and transitions, in one of many passes."""
    if (noted := one.noted) is not None:
        persist(one.database, lambda _again: passes.prune(one.database, noted), one.until(ends))


def write_metrics(one: DonePass, ends: float) -> None:
    """Write the metrics file of a pass that was noted."""
    if one.around.metrics_file is None or one.noted is None:
        return
    from intctl.service.exposition import Done, exposition, write

    noted = one.noted
    done = Done(noted.finished_at, one.duration_s, one.summary.verdicts, noted.passes, noted.checks)
    org_id = one.agent.org_id
    try:
        found = persist(one.database, lambda _again: gauges.gauges(one.database, org_id), one.until(ends))
        counts = persist(one.database, lambda _again: undelivered.count(one.database, org_id), one.until(ends))
    except IntctlError as error:  # the next pass writes the file
        one.around.journal.say("warning", "metrics_file", f"--metrics-file was not written: {error}")
        return
    _to_file(one.around, lambda path: write(path, exposition(found, done, counts)))


def ping(one: DonePass, ends: float) -> None:
    """Report the pass as finished. A pass that a signal ended is neither a success nor a failure."""
    if not one.stop:
        one.around.reporter.pass_ended(PassFinished(), ends)


AFTER_PASS: tuple[Step[DonePass], ...] = (
    Step("tell", 30.0, tell, fails_pass=(IntctlError,), needs_completed=False),
    Step("roll up", _NOTE_S, roll_up, fails_pass=(IntctlError,), needs_completed=False),
    Step("note", _NOTE_S, note, fails_pass=(IntctlError,)),
    Step("prune", _NOTE_S, prune, fails_pass=(StoreError,)),
    Step("metrics file", _NOTE_S, write_metrics),
    Step("ping", 10.0, ping),
)


# --- after a failed pass


def ping_failure(one: FailedPass, ends: float) -> None:
    """Report the pass as failed."""
    one.around.reporter.pass_ended(PassFailed(), ends)


def write_failed_metrics(one: FailedPass, _ends: float) -> None:
    """Mark the metrics file: the last pass failed."""
    if one.around.metrics_file is not None:
        from intctl.service.exposition import write_failed

        _to_file(one.around, write_failed)


def note_failure(one: FailedPass, _ends: float) -> None:
    """Note the failed pass in the database, unless the database is what failed."""
    if one.database is None or isinstance(one.error, StoreError | BusyError):
        return
    bug = f"a bug in intctl ({type(one.error).__name__})"
    failure = str(one.error) if isinstance(one.error, IntctlError) else bug
    with suppress(IntctlError):
        passes.fail(one.database, one.agent, duration_s=time.monotonic() - one.began, failure=failure)


AFTER_FAILURE: tuple[Step[FailedPass], ...] = (
    Step("ping", 10.0, ping_failure),
    Step("metrics file", 5.0, write_failed_metrics),
    Step("note", 5.0, note_failure),
)


def counted(summary: Summary) -> dict[str, Any]:
    """The counts of a pass as JSON values. The keys are older than the names of the fields."""
    counts = asdict(summary)
    counts["held_back"] = len(summary.held_back)
    return {"checked": counts.pop("recorded"), "faults": counts.pop("local_issues"), **counts}


def _to_file(around: Surroundings, put: Callable[[Path], None]) -> None:
    assert around.metrics_file is not None
    try:
        put(around.metrics_file)
    except OSError as error:
        text = f"--metrics-file: {around.metrics_file} could not be written (error {error.errno})."
        around.journal.say("warning", "metrics_file", text)
