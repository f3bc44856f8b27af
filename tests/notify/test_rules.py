"""The rules of delivery: each status change once, also when agents die, and not in maintenance."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from intctl.db.connect import connect
from intctl.notify.catalogue import CATALOGUE, Subscriber
from intctl.notify.event import Event, StatusChanged
from intctl.notify.notifier import Notifier, Result, Status
from intctl.store import changes, organization_changes, transitions

from ..agent_rig import Fleet, Host, finished, shift, until
from ..store.test_transitions import later
from .rig import Teller, deliver, deliver_to, failing

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
    finished(fleet.start("agent", "--once", "--on-change", teller.command))  # the changes that are left
    assert Counter(name for name, _, _ in teller.told()) == dict.fromkeys(names, 1)


def test_a_kill_before_it_is_begun_loses_nothing(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """The transition exists as soon as the status does: the next agent reports it, once."""
    teller = Teller(tmp_path)
    failing(fleet, provider, "a")  # an agent that recorded, and was killed before it reported
    for _ in range(2):
        assert finished(fleet.start("agent", "--once", "--on-change", teller.command))[0] == 0
    assert teller.told() == [("a", "active", "error")]


def test_a_kill_while_it_is_claimed_loses_nothing(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """After a kill between claim and command, the change is reported once, when the lease has expired."""
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
    """After a kill during the command, its effect is unknown: it runs again, marked as the second attempt."""
    gate = tmp_path / "gate"
    teller = Teller(tmp_path, f"while not os.path.exists({str(gate)!r}): time.sleep(0.05)")
    failing(fleet, provider, "a")
    agent = fleet.start("agent", "--once", "--on-change", teller.command)
    until(lambda: len(teller.calls()) == 1, "the command")
    agent.kill()
    assert finished(agent)[0] == -signal.SIGKILL
    gate.touch()
    finished(fleet.start("agent", "--once", "--on-change", teller.command))
    assert len(teller.calls()) == 1  # the lease of the killed agent is still valid
    with connect(fleet.target) as database:
        later(database, 41)
    finished(fleet.start("agent", "--once", "--on-change", teller.command))
    first, second = (call["document"] for call in teller.calls())
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert first["transition_id"] == second["transition_id"]


def test_an_agent_without_the_option_leaves_them_to_others(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """Changes are always recorded; an agent with the option reports them."""
    provider.behaviour["/a"] = ["401"]
    fleet.add({"a": f"{provider.url}/a"})
    assert finished(fleet.start("agent", "--once"))[0] == 0
    teller = Teller(tmp_path)
    assert finished(fleet.start("agent", "--once", "--on-change", teller.command))[:2] == (0, "checked 0\n")
    assert teller.told() == [("a", "active", "error")]


def test_a_failing_command_fails_no_pass(fleet: Fleet, provider: Host) -> None:
    """A failing command does not change the exit code of the pass; the journal reports it."""
    provider.behaviour["/a"] = ["401"]
    fleet.add({"a": f"{provider.url}/a"})
    code, out, err = finished(fleet.start("agent", "--once", "--on-change", "false"))
    assert (code, out) == (0, "checked 1: 1 misconfigured\n")
    assert err == "warning: --on-change for a (active to error): it ended with 1.\n"


def test_sigterm_begins_no_further_command(fleet: Fleet, provider: Host, tmp_path: Path) -> None:
    """After SIGTERM, running commands finish and no other begins; the next agent goes on."""
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
    """Add a maintenance window of one integration or all, from `since` ago until `until` from now."""
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
    """Move all transitions and all maintenance back by `seconds`."""
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
    """A failure in maintenance is not reported until it is over, and then only if it persists, even days later."""
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
    """Changes in maintenance that cancel out are never reported; other integrations are reported as usual."""
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
    """Error, healthy, error is one report; earlier reports are not repeated."""
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
    """After an early end, the change is reported at the next pass, not at the planned end."""
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
    """Each window counts for itself, and the last report is the present status. A "!" begins the next window."""
    teller = Teller(tmp_path)
    failing(fleet, provider, "Email")
    if answers[1] == "401":
        deliver(fleet, teller.command)  # the error is reported
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


# --- several notifiers


class Recorder:
    """A notifier that gives the same result for each event."""

    at_once = 2
    limit_s = 1.0

    def __init__(self, status: Status, obstacle: str = "") -> None:
        self.given: list[Event] = []
        self._status = status
        self._obstacle = obstacle

    def obstacle(self) -> str:
        return self._obstacle

    def deliver(self, events: Sequence[Event]) -> Iterator[Result]:
        for event in events:
            self.given.append(event)
            yield Result(event, self._status, "no words" if self._status == "not_started" else "")


def subscribers(*notifiers: Notifier) -> list[Subscriber]:
    return [Subscriber(CATALOGUE["command"], one) for one in notifiers]


def test_each_of_several_notifiers_gets_each_change_once(fleet: Fleet, provider: Host) -> None:
    """A transition is marked when every notifier is done with it; those beyond a batch come in the next one."""
    failing(fleet, provider, "a", "b", "c")
    first, second = Recorder("delivered"), Recorder("failed")
    for _ in range(2):
        deliver_to(fleet, *subscribers(first, second))
    given = [[one for one in notifier.given if isinstance(one, StatusChanged)] for notifier in (first, second)]
    names = [Counter(one.name for one in events) for events in given]
    assert names == [dict.fromkeys("abc", 1)] * 2


def test_a_change_that_one_notifier_could_not_begin_is_due_again(fleet: Fleet, provider: Host) -> None:
    """It is given back for every notifier, at most three times; deliveries by the others are not lost."""
    failing(fleet, provider, "a")
    first, second = Recorder("delivered"), Recorder("not_started")
    deliver_to(fleet, *subscribers(first, second))
    assert len(first.given) == len(second.given) == 3
    (row,) = fleet.rows("SELECT attempts, told_at, lease_owner FROM integration_transitions")
    assert row == {"attempts": 3, "told_at": None, "lease_owner": None}


def test_nothing_is_claimed_while_a_notifier_has_an_obstacle(fleet: Fleet, provider: Host) -> None:
    """The changes stay due for all of them, and no attempt is used up."""
    failing(fleet, provider, "a")
    ready = Recorder("delivered")
    said = deliver_to(fleet, *subscribers(ready, Recorder("delivered", "the recipient is away")))
    assert [one["message"] for one in said] == ["--on-change: the recipient is away."]
    assert ready.given == []
    assert fleet.rows("SELECT attempts FROM integration_transitions") == [{"attempts": 0}]
