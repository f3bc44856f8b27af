"""Concurrent refreshes of one token: one token call, and no process is rejected because of another.

The vendor invalidates a refresh token at its first use and counts the uses of invalid tokens.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from intctl import agent, keyring
from intctl.agent import PassSettings, Stop, Summary, on_demand
from intctl.db import lease
from intctl.db.connect import connect
from intctl.store import claims, integrations

from ..agent_rig import Fleet, finished, shift, until
from ..conftest import ORG_ID
from .conftest import Intctl
from .test_oauth import SECRETS, Vendor, nothing_shown, opened, serving

REFRESHERS = 20


@pytest.fixture
def strict() -> Iterator[Vendor]:
    with serving(Vendor("microsoft", rotating=True)) as made:
        yield made


@pytest.fixture
def fleet(intctl: Intctl, tmp_path: Path) -> Iterator[Fleet]:
    """Processes on the same database and keyring as `intctl`."""
    made = Fleet(intctl.target, tmp_path / "other")
    made.environ = {**intctl.environ, **SECRETS}
    yield made
    made.end()


class Seen(Stop):
    """Never stops; a second query shows that its runner waits or probes."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def __bool__(self) -> bool:
        self.asked += 1
        return False


def expired(intctl: Intctl, vendor: Vendor) -> int:
    """An integration with an expired access token, due now; and the number of exchanges."""
    intctl("add", "oauth", "-f", "-", stdin=vendor.manifest(), **SECRETS)
    with connect(intctl.target) as database:
        database.run("UPDATE oauth_tokens SET expires_at = {now}")
        shift(database, "next_check_at", 7200)
    return vendor.exchanges


def test_twenty_checks_make_one_call(intctl: Intctl, strict: Vendor) -> None:
    """Twenty concurrent manual checks share the first exchange, and all are healthy."""
    before = expired(intctl, strict)
    stops = [Seen() for _ in range(REFRESHERS)]

    def all_there() -> None:
        until(lambda: all(stop.asked for stop in stops), "twenty checks under way")

    strict.after_token = all_there

    def check(stop: Stop) -> on_demand.Checked:
        with connect(intctl.target) as database:
            row = integrations.find(database, ORG_ID, "Calendar")
            (found,) = on_demand.check(database, keyring.load({}, intctl.home), PassSettings("here"), [row], stop)
        return found

    with ThreadPoolExecutor(REFRESHERS) as threads:
        checked = list(threads.map(check, stops))
    assert [one.outcome.code for one in checked if one.outcome] == ["ok"] * REFRESHERS
    assert (strict.exchanges - before, strict.dead) == (1, 0)
    assert opened(intctl, "microsoft") == [(strict.access[-1], strict.refresh)]


def test_twenty_agents_make_one_call(intctl: Intctl, strict: Vendor) -> None:
    """Of twenty concurrent passes, one claims the integration and makes one token call."""
    before = expired(intctl, strict)
    start = threading.Barrier(REFRESHERS)

    def run(_number: int) -> Summary:
        with connect(intctl.target) as database:
            start.wait(60)
            return agent.run_once(database, keyring.load({}, intctl.home), PassSettings("here"), Stop())

    with ThreadPoolExecutor(REFRESHERS) as threads:
        done = list(threads.map(run, range(REFRESHERS)))
    assert [summary.verdicts for summary in done if summary.recorded] == [{"healthy": 1}]
    assert (strict.exchanges - before, strict.dead) == (1, 0)
    assert opened(intctl, "microsoft") == [(strict.access[-1], strict.refresh)]


def test_a_check_does_not_take_a_scheduled_answer_that_proved_nothing(intctl: Intctl, strict: Vendor) -> None:
    """A manual check that waits for an agent with a stored access token then makes the exchange."""
    intctl("add", "oauth", "-f", "-", stdin=strict.manifest(), **SECRETS)
    before = strict.exchanges
    with connect(intctl.target) as database:
        shift(database, "next_check_at", 7200)
    waiting = Seen()

    def wait_for_the_check() -> None:
        strict.before_api = lambda: None
        until(lambda: waiting.asked, "a check that waits")

    strict.before_api = wait_for_the_check

    def check() -> on_demand.Checked:
        with connect(intctl.target) as database:
            row = integrations.find(database, ORG_ID, "Calendar")
            (found,) = on_demand.check(database, keyring.load({}, intctl.home), PassSettings("here"), [row], waiting)
        return found

    with ThreadPoolExecutor(2) as threads, connect(intctl.target) as database:
        scheduled = threads.submit(
            agent.run_once, database, keyring.load({}, intctl.home), PassSettings("here"), Stop()
        )
        until(lambda: strict.calls > 1, "the agent at the API")
        found = threads.submit(check).result(60)
        assert scheduled.result(60).verdicts == {"healthy": 1}
    assert found.outcome is not None
    assert (found.outcome.code, found.outcome.facts["token_exchanged"]) == ("ok", True)
    assert strict.exchanges == before + 1


@pytest.mark.parametrize("times", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_edits_applies_checks_and_agents_at_once(intctl: Intctl, fleet: Fleet, strict: Vendor, times: int) -> None:
    """Any concurrent commands on one integration: no invalid token is sent, and it ends healthy."""
    expired(intctl, strict)
    processes: dict[str, subprocess.Popen[str]] = {}
    for number in range(times):
        processes |= {
            f"edit {number}": fleet.start("edit", "Calendar", "--set", f"client_id=edit-{number}"),
            f"apply {number}": fleet.start("apply", "-f", "-", stdin=strict.manifest(client_id=f"apply-{number}")),
            f"check {number}": fleet.start("check", "Calendar"),
            f"troubleshoot {number}": fleet.start("troubleshoot", "Calendar"),
            f"agent {number}": fleet.start("agent", "--once"),
        }
    ended = {name: finished(process) for name, process in processes.items()}
    for name, (code, out, err) in ended.items():
        assert "reauthorise" not in out + err, name
        allowed = (0, 4) if name.partition(" ")[0] in ("edit", "apply") else (0,)
        assert code in allowed, (name, out, err)
        intctl.said += out + err
    assert strict.dead == 0
    assert [refresh for _, refresh in opened(intctl, "microsoft")] == [strict.refresh]
    intctl("check", "Calendar")
    nothing_shown(intctl)


def test_adds_of_one_file_at_once(intctl: Intctl, fleet: Fleet, strict: Vendor) -> None:
    """One process creates it; the others report that it exists, and the token is used once."""
    processes = [fleet.start("add", "oauth", "-f", "-", stdin=strict.manifest()) for _ in range(4)]
    ended = [finished(process) for process in processes]
    assert Counter(code for code, _, _ in ended) == {0: 1, 4: 3}, ended
    assert strict.dead == 0
    assert [refresh for _, refresh in opened(intctl, "microsoft")] == [strict.refresh]
    intctl("check", "Calendar")


def test_a_lease_that_is_never_given_back_is_told(
    intctl: Intctl, strict: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the refresh lease a command sends nothing, blames no provider and asks to try again."""
    expired(intctl, strict)
    with connect(intctl.target) as database:
        (row,) = database.rows("SELECT integration_id AS id FROM integration_schedules")
        assert claims.claim_one(database, "somebody", row["id"], deadline_s=60)
    monkeypatch.setattr(lease, "MARGIN_S", -5)  # the wait beyond the deadline
    exchanges = strict.exchanges
    ran = intctl("edit", "Calendar", "--set", "client_id=another", "--timeout", "1", code=1)
    assert "unknown" in ran.err and "self.busy" in ran.err and "Try again in a minute" in ran.err
    found = intctl("troubleshoot", "Calendar", "--timeout", "1", "-o", "json", code=1).json
    assert (found["verdict"], found["code"]) == ("unknown", "self.busy")
    assert strict.exchanges == exchanges


def test_an_add_gives_way_to_who_came_first(intctl: Intctl, fleet: Fleet, strict: Vendor) -> None:
    """Two failed commands on one draft: the second does not wait for a row that the first removed."""
    there = threading.Event()
    strict.secret = "another-secret"

    def second_comes() -> None:
        strict.before_token = lambda: None
        there.set()
        time.sleep(2.0)  # the wait for the lease is not visible from outside

    strict.before_token = second_comes
    first = fleet.start("add", "oauth", "-f", "-", stdin=strict.manifest())
    assert there.wait(30)
    ran = intctl("add", "oauth", "-f", "-", stdin=strict.manifest(), code=1, **SECRETS)
    assert "Nothing was saved" in ran.err
    assert finished(first)[0] == 1
    assert intctl("list", "-o", "json").json == []
