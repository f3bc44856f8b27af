"""The rules of delivery: each status change once, also when agents die, and not in maintenance."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from intctl.db.connect import connect
from intctl.notify.catalogue import CATALOGUE, Subscriber
from intctl.notify.event import Event, StatusChanged, document
from intctl.notify.notifier import Notifier, Result, Status
from intctl.store import changes, organization_changes, transitions

from ..agent_rig import Fleet, Host, finished, shift, until
from ..store.test_transitions import later
from .rig import Teller, deliver, deliver_to, failing, wait

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
    assert re.fullmatch(
        r"warning: --on-change for a \(active to error\): it ended with 1\. Next attempt: [0-9: -]{19} UTC\.\n", err
    )


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
    (last,) = [call["document"] for call in teller.calls()[before:]]
    assert [(one["was"], one["became"]) for one in last["missed"]] + [(last["from"], last["to"])] == told


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
            yield Result(event, self._status, "" if self._status == "delivered" else "it was refused")


def subscribers(*notifiers: Notifier) -> list[Subscriber]:
    return [Subscriber(CATALOGUE["command"], one) for one in notifiers]


def test_each_of_several_notifiers_gets_each_change_once(fleet: Fleet, provider: Host) -> None:
    """A transition is marked when every notifier delivered it; those beyond a batch come in the next one."""
    failing(fleet, provider, "a", "b", "c")
    first, second = Recorder("delivered"), Recorder("delivered")
    for _ in range(2):
        deliver_to(fleet, *subscribers(first, second))
    given = [[one for one in notifier.given if isinstance(one, StatusChanged)] for notifier in (first, second)]
    names = [Counter(one.name for one in events) for events in given]
    assert names == [dict.fromkeys("abc", 1)] * 2


@pytest.mark.parametrize("status", ["failed", "not_started"])
def test_a_change_that_one_notifier_failed_to_deliver_is_retried_by_all(
    fleet: Fleet, provider: Host, status: Status
) -> None:
    """One failure is enough: the change is due again for every notifier, after the delay."""
    failing(fleet, provider, "a")
    first, second = Recorder("delivered"), Recorder(status)
    for _ in range(2):
        deliver_to(fleet, *subscribers(first, second))
    assert len(first.given) == len(second.given) == 1
    wait(fleet, 5)
    deliver_to(fleet, *subscribers(first, second))
    assert len(first.given) == len(second.given) == 2
    (row,) = fleet.rows("SELECT attempts, told_at, lease_owner FROM integration_transitions")
    assert row == {"attempts": 2, "told_at": None, "lease_owner": None}


def test_nothing_is_claimed_while_a_notifier_has_an_obstacle(fleet: Fleet, provider: Host) -> None:
    """The changes stay due for all of them, and no attempt is used up."""
    failing(fleet, provider, "a")
    ready = Recorder("delivered")
    said = deliver_to(fleet, *subscribers(ready, Recorder("delivered", "the recipient is away")))
    assert [one["message"] for one in said] == ["--on-change: the recipient is away."]
    assert ready.given == []
    assert fleet.rows("SELECT attempts FROM integration_transitions") == [{"attempts": 0}]


# --- retries


def refusing(fleet: Fleet, provider: Host) -> Recorder:
    """A notifier that fails, and an integration in error to report."""
    failing(fleet, provider, "a")
    return Recorder("failed")


def attempts(fleet: Fleet) -> list[dict[str, Any]]:
    return fleet.rows("SELECT id, attempts, told_at, failed_at, last_error, told_with FROM integration_transitions")


def turn(fleet: Fleet, provider: Host, answer: str) -> None:
    """Change the status of the integration `a`."""
    provider.behaviour["/a"] = [answer]
    fleet.all_due()
    fleet.once()


@pytest.mark.case("reliability notifications")
def test_the_schedule_then_a_dead_letter(fleet: Fleet, provider: Host) -> None:
    """Each retry comes after its delay and not before; the last failure is a dead letter, which is not retried."""
    notifier = refusing(fleet, provider)
    said = deliver_to(fleet, *subscribers(notifier))
    for at, delay_s in enumerate((5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)):
        wait(fleet, delay_s - 4)
        deliver_to(fleet, *subscribers(notifier))
        assert len(notifier.given) == at + 1
        wait(fleet, 4)
        said = deliver_to(fleet, *subscribers(notifier))
        assert len(notifier.given) == at + 2
    (row,) = attempts(fleet)
    assert (row["attempts"], row["told_at"], row["last_error"]) == (10, None, "it was refused")
    assert row["failed_at"] is not None
    (line,) = said
    assert line["message"].endswith(f"It is a dead letter now. To send it again: intctl agent retell {row['id']}.")
    wait(fleet, 10**6)
    assert deliver_to(fleet, *subscribers(notifier)) == []


@pytest.mark.case("reliability notifications")
def test_a_newer_change_is_delivered_at_once_with_those_it_missed(fleet: Fleet, provider: Host) -> None:
    """A newer change waits for no retry of an older one, and its delivery delivers the older ones, dead ones too."""
    notifier = refusing(fleet, provider)
    deliver_to(fleet, *subscribers(notifier))
    with connect(fleet.target) as database:
        database.run("UPDATE integration_transitions SET failed_at = {now}, next_attempt_at = NULL")
    for answer in ("200", "401"):
        turn(fleet, provider, answer)
        deliver_to(fleet, *subscribers(notifier))
    turn(fleet, provider, "200")
    ready = Recorder("delivered")
    for _ in range(2):
        deliver_to(fleet, *subscribers(ready))
    (event,) = ready.given
    assert isinstance(event, StatusChanged)
    missed = document(event)["missed"]
    assert isinstance(missed, list)
    assert [(one["was"], one["became"], one["code"]) for one in missed] == [
        ("active", "error", "http.auth.rejected"),
        ("error", "active", "ok"),
        ("active", "error", "http.auth.rejected"),
    ]
    rows = {str(row["id"]): row for row in attempts(fleet)}
    assert [one["id"] for one in missed] == sorted(set(rows) - {event.id})
    assert all(row["told_at"] is not None and row["failed_at"] is None for row in rows.values())
    assert {str(rows[one["id"]]["told_with"]) for one in missed} == {event.id}


@pytest.mark.case("reliability notifications")
def test_a_dead_letter_takes_those_it_missed_along(fleet: Fleet, provider: Host) -> None:
    """When the newest has no attempt left, the older ones do not start again behind it."""
    configure(fleet, max_retries=0)
    notifier = refusing(fleet, provider)
    turn(fleet, provider, "200")
    deliver_to(fleet, *subscribers(notifier))
    assert [row["failed_at"] is not None for row in attempts(fleet)] == [True, True]
    assert deliver_to(fleet, *subscribers(notifier)) == []
    assert len(notifier.given) == 1


def configure(fleet: Fleet, **columns: object) -> None:
    """Give the organisation a retry configuration."""
    names = ["org_id", *columns]
    with connect(fleet.target) as database:
        org_id = database.rows("SELECT id FROM organizations")[0]["id"]
        database.run(
            f"INSERT INTO integration_retry_config ({', '.join(names)}) VALUES ({', '.join(f':{n}' for n in names)})",
            {"org_id": org_id, **columns},
        )


@pytest.mark.case("reliability notifications")
@pytest.mark.parametrize(
    ("strategy", "delays_s"), [("exponential", (7, 14, 28, 30)), ("linear", (7, 14, 21, 28)), ("fixed", (7, 7, 7, 7))]
)
def test_the_row_of_an_organisation_decides(
    fleet: Fleet, provider: Host, strategy: str, delays_s: tuple[int, ...]
) -> None:
    """integration_retry_config: the strategy, the delays up to their maximum, and the number of retries."""
    configure(
        fleet, retry_strategy=strategy, fixed_delay_seconds=7, max_delay_seconds=30, max_retries=4, enable_jitter=False
    )
    notifier = refusing(fleet, provider)
    deliver_to(fleet, *subscribers(notifier))
    for at, delay_s in enumerate(delays_s, 1):
        wait(fleet, delay_s - 2)
        deliver_to(fleet, *subscribers(notifier))
        assert len(notifier.given) == at
        wait(fleet, 2)
        deliver_to(fleet, *subscribers(notifier))
        assert len(notifier.given) == at + 1
    assert attempts(fleet)[0]["failed_at"] is not None


@pytest.mark.case("reliability notifications")
def test_an_organisation_without_dead_letters(fleet: Fleet, provider: Host) -> None:
    """After the last attempt the notification is discarded, with a warning."""
    configure(fleet, max_retries=0, enable_dlq=False)
    (said,) = deliver_to(fleet, *subscribers(refusing(fleet, provider)))
    assert said["message"].endswith("No attempt is left, and this organisation keeps no dead letters.")
    assert attempts(fleet) == []


@pytest.mark.case("reliability notifications")
@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"max_retries": -1}, "max_retries must be from 0 to 100"),
        ({"max_retries": 2**31 - 1}, "max_retries must be from 0 to 100"),
        ({"fixed_delay_seconds": 0}, "fixed_delay_seconds must be from 1 to 604800"),
        ({"max_delay_seconds": -5}, "max_delay_seconds must be from 1 to 604800"),
        ({"retry_strategy": "sometimes"}, "retry_strategy must be exponential, linear or fixed"),
    ],
)
def test_an_impossible_row_is_not_used(fleet: Fleet, provider: Host, columns: dict[str, object], problem: str) -> None:
    """An impossible value is a warning that names it, and the default schedule applies."""
    configure(fleet, **columns)
    (said,) = deliver_to(fleet, *subscribers(refusing(fleet, provider)))
    assert said["message"].endswith(f"integration_retry_config is not used: {problem}.")
    assert attempts(fleet)[0]["failed_at"] is None and said["next_attempt_at"] is not None


@pytest.mark.case("reliability notifications")
def test_an_agent_that_is_killed_in_each_attempt(fleet: Fleet, provider: Host) -> None:
    """A notification that kills its agent is a dead letter when its attempts are used up."""
    notifier = refusing(fleet, provider)
    with connect(fleet.target) as database:
        database.run("UPDATE integration_transitions SET attempts = 10")
    (said,) = deliver_to(fleet, *subscribers(notifier))
    assert notifier.given == []
    assert "the agent ended during the last attempt. It is a dead letter now." in said["message"]
    assert attempts(fleet)[0]["failed_at"] is not None


@pytest.mark.case("reliability notifications")
def test_a_next_attempt_from_a_clock_that_was_set_back(fleet: Fleet, provider: Host) -> None:
    """A next attempt later than any schedule allows is due."""
    notifier = refusing(fleet, provider)
    deliver_to(fleet, *subscribers(notifier))
    wait(fleet, -11 * 86400)
    deliver_to(fleet, *subscribers(notifier))
    assert len(notifier.given) == 2
