"""The agent in this process: a pass over many, the effect of a finding, and errors that must not end a pass."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from intctl import agent, vault
from intctl.agent import PassSettings, Stop, work
from intctl.db import lease
from intctl.db.connect import connect
from intctl.db.url import POSTGRESQL, Target
from intctl.errors import ConflictError, StoreError
from intctl.health.outcome import Outcome
from intctl.store import changes, claims, organization_changes, results
from intctl.store.configs import SealedConfig

from .agent_rig import Fleet, Host, each_once, finished, shift
from .conftest import ORG_ID, database_url

#: The effect of each reply on an active integration: verdict, log status, status.
FINDINGS = {
    "200": ("healthy", "success", "active"),
    "401": ("misconfigured", "failure", "error"),
    "429": ("unknown", "unknown", "active"),
    "500": ("down", "failure", "error"),
}


def test_a_pass_records_everything_once(fleet: Fleet, provider: Host) -> None:
    """Each of sixty due integrations is requested once and recorded once, at most ten at a time."""
    answers = {f"n{i:02}": list(FINDINGS)[i % 4] for i in range(60)}
    for name, answer in answers.items():
        provider.behaviour[f"/{name}"] = [answer]
    provider.delay_s = 0.02
    fleet.add({name: f"{provider.url}/{name}" for name in answers})
    summary = fleet.once(concurrency=10)
    assert provider.hits == each_once([f"/{name}" for name in answers])
    assert 1 < provider.most <= 10
    assert summary.line() == "checked 60: 15 healthy, 15 down, 15 misconfigured, 15 unknown"
    logs = fleet.logs()
    assert Counter(log["name"] for log in logs) == each_once(list(answers))
    for log in logs:
        found = (log["metadata"]["verdict"], log["status"], log["now"])
        if answers[log["name"]] == "500":  # transient or not: codes.py says so, judge.settle decides
            assert found[:2] == FINDINGS["500"][:2]
        else:
            assert found == FINDINGS[answers[log["name"]]]
        assert (log["check_type"], log["lease_token"]) == ("scheduled", 1)
    assert fleet.leases() == [(False, 0)] * 60
    assert fleet.once().line() == "checked 0"


@pytest.mark.parametrize("answer", ["reset", "hang:200"])
def test_a_passing_trouble_is_an_error_the_second_time(fleet: Fleet, provider: Host, answer: str) -> None:
    """A first scheduled reset or timeout keeps the status; the second in a row is an error; a success clears it."""
    provider.behaviour["/a"] = [answer]
    fleet.add({"a": f"{provider.url}/a"})
    seen = []
    for _ in range(2):
        assert fleet.once(deadline_s=1.0).verdicts == {"down": 1}
        seen.append(fleet.statuses()["a"])
        fleet.all_due()
    provider.behaviour["/a"] = ["200"]
    fleet.once()
    seen.append(fleet.statuses()["a"])
    assert seen == ["active", "error", "active"]
    (row,) = fleet.rows("SELECT error_count, error_message FROM integrations")
    assert (row["error_count"], row["error_message"]) == (0, None)


def test_a_definite_rejection_is_an_error_at_once(fleet: Fleet, provider: Host) -> None:
    """A 401 is an error at once; after the third one the login is no longer tried on schedule."""
    provider.behaviour["/a"] = ["401"]
    fleet.add({"a": f"{provider.url}/a"})
    for count in (1, 2, 3):
        assert fleet.once().recorded == 1
        assert fleet.statuses() == {"a": "error"}
        assert provider.hits["/a"] == count
        fleet.all_due()
    assert fleet.once().line() == "checked 0"


def test_what_cannot_be_asked_ends_no_pass(fleet: Fleet, provider: Host) -> None:
    """Unknown providers and damaged, moved or foreign configs are unknown, each with its code; the rest is checked."""
    names = ("good", "newer", "damaged", "moved", "foreign", "nothing", "bad-url", "wrong-type")
    ids = fleet.add({name: f"{provider.url}/{name}" for name in names})
    replace = "UPDATE integrations SET config = :config WHERE name = :name"
    with connect(fleet.target) as database:
        configs = {row["name"]: row["config"] for row in database.rows("SELECT name, config FROM integrations")}
        flipped = configs["damaged"]["ct"]
        flipped = ("B" if flipped[0] == "A" else "A") + flipped[1:]
        database.run("UPDATE integrations SET provider = 'fax' WHERE name = 'newer'")
        for name, config in {
            "damaged": {**configs["damaged"], "ct": flipped},
            "moved": configs["good"],
            "foreign": {"host": "mail.example", "password": "plain"},
            "nothing": {},
        }.items():
            database.run(replace, {"config": config, "name": name})
        unfit: dict[str, dict[str, object]] = {"bad-url": {"url": 5}, "wrong-type": {"url": None, "expect_json": "x"}}
        for name, plain in unfit.items():
            envelope = fleet.keyring.seal(plain, vault.binding(ORG_ID, ids[name], "http"))
            database.run(replace, {"config": envelope, "name": name})
        database.run("UPDATE integrations SET status='error', error_count=4, error_message='x' WHERE name='moved'")
    summary = fleet.once()
    assert (summary.recorded, summary.verdicts) == (8, {"healthy": 1, "unknown": 7})
    codes = {log["name"]: log["metadata"]["code"] for log in fleet.logs()}
    assert codes == {
        "good": "ok",
        "newer": "self.provider_unknown",
        "damaged": "self.config_damaged",
        "moved": "self.config_damaged",
        "foreign": "self.config_foreign",
        "nothing": "self.config_foreign",
        "bad-url": "self.config_invalid",
        "wrong-type": "self.config_invalid",
    }
    assert fleet.statuses() == {**dict.fromkeys(names, "active"), "moved": "error"}
    (row,) = fleet.rows("SELECT error_count, error_message FROM integrations WHERE name = 'moved'")
    assert (row["error_count"], row["error_message"]) == (4, "x")
    assert "plain" not in json.dumps([log["metadata"] for log in fleet.logs()])


def test_one_organisation_or_all(fleet: Fleet, provider: Host) -> None:
    """An agent of one organisation checks only its integrations; without the option it checks all."""
    with changes.unit_of_work(fleet.target) as session:
        other = organization_changes.create_organization(session, "Other", "other").id
    fleet.add({"mine": f"{provider.url}/mine"})
    fleet.add({"theirs": f"{provider.url}/theirs"}, org_id=other)
    assert fleet.once(org_id=other).recorded == 1
    assert provider.hits == {"/theirs": 1}
    fleet.all_due()
    assert fleet.once().recorded == 2
    assert provider.hits == {"/theirs": 2, "/mine": 1}


def test_a_signal_before_the_first_check_gives_all_back(fleet: Fleet, provider: Host) -> None:
    """A pass that is stopped while claiming requests no provider and leaves all due times unchanged."""
    fleet.add({name: f"{provider.url}/{name}" for name in "abc"})
    stop = Stop()
    stop.signal = 15
    with connect(fleet.target) as database:
        summary = agent.run_once(database, fleet.keyring, PassSettings(host="here"), stop)
    assert summary.line() == "checked 0; 3 given back"
    assert summary.stopped and not provider.hits
    assert fleet.leases() == [(False, 0)] * 3
    assert fleet.once().recorded == 3


def test_three_checks_without_a_result_are_set_aside_and_said(fleet: Fleet, provider: Host) -> None:
    """An integration whose three claims never completed is paused for one hour, as unknown; the summary says so."""
    fleet.add({"a": f"{provider.url}/a"})
    with connect(fleet.target) as database:
        for suspects in (False, False, True):
            assert len(claims.claim_due(database, "dead", free_slots=5, deadline_s=20.0, suspects=suspects)) == 1
            shift(database, "lease_expires_at", 100)
    assert fleet.once().line() == "checked 0; 1 paused for one hour after three checks that never completed"
    assert [log["metadata"]["code"] for log in fleet.logs()] == ["self.set_aside"]
    assert fleet.once().line() == "checked 0"
    fleet.all_due()
    assert fleet.once().recorded == 1


def test_a_pass_that_cannot_record_gives_back_what_it_still_checks(fleet: Fleet, provider: Host) -> None:
    """If results can't be recorded, the pass ends with the database's error, and unfinished claims are released."""
    provider.behaviour["/slow"] = ["hang:200"]
    ids = fleet.add({"quick": f"{provider.url}/quick", "slow": f"{provider.url}/slow"})
    with connect(fleet.target) as database:
        if database.dialect == POSTGRESQL:
            database.run(
                "CREATE FUNCTION no_logs() RETURNS trigger LANGUAGE plpgsql AS "
                "$$BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END$$"
            )
            database.run("CREATE TRIGGER no_logs BEFORE INSERT ON integration_health_logs EXECUTE FUNCTION no_logs()")
        else:
            database.run(
                "CREATE TRIGGER no_logs BEFORE INSERT ON integration_health_logs BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
    with pytest.raises((StoreError, ConflictError)):
        fleet.once()
    held = {row["integration_id"]: row for row in fleet.rows("SELECT * FROM integration_schedules")}
    assert held[ids["slow"]]["lease_owner"] is None and held[ids["slow"]]["attempts"] == 0
    assert fleet.logs() == []
    assert provider.hits == {"/quick": 1, "/slow": 1}


def test_what_was_never_finished_twice_is_taken_one_at_a_time(fleet: Fleet, provider: Host) -> None:
    """Suspects that a third failure would pause are never probed together, and the others do not wait."""
    suspects, others = [f"s{number}" for number in range(5)], [f"n{number}" for number in range(20)]
    at_once: list[int] = []

    class Watching(dict[str, list[str]]):
        def get(self, path: str, default: object = None) -> list[str]:
            if path.startswith("/s"):
                with connect(fleet.target) as database:
                    found = database.rows("SELECT 1 FROM integration_schedules WHERE attempts = 3")
                at_once.append(len(found))
            return ["200"]

    provider.behaviour = Watching()
    provider.delays = {f"/{name}": 0.4 for name in suspects}
    ids = fleet.add({name: f"{provider.url}/{name}" for name in suspects + others})
    with connect(fleet.target) as database:
        for name in suspects:
            key = {"id": ids[name]}
            database.run("UPDATE integration_schedules SET attempts = 2 WHERE integration_id = :id", key)
    assert fleet.once(concurrency=4).line() == "checked 25: 25 healthy"
    assert at_once == [1] * 5
    assert fleet.leases() == [(False, 0)] * 25


def test_a_result_near_the_end_of_its_lease_is_not_even_tried(
    fleet: Fleet, provider: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With five seconds of the lease left, nothing is written, although the database would accept it."""
    fleet.add({"a": f"{provider.url}/a"})
    monkeypatch.setattr(lease, "SAFETY_S", 20 + lease.MARGIN_S)
    assert fleet.once().line() == "checked 0; 1 results dropped (lease lost)"
    assert fleet.leases() == [(True, 1)]
    assert fleet.logs() == []


def test_a_lease_counts_from_before_it_was_asked_for(fleet: Fleet, provider: Host) -> None:
    """The time for the reply to the claim is part of the lease."""
    import time

    fleet.add({"a": f"{provider.url}/a"})
    with connect(fleet.target) as database:
        before = time.monotonic()
        (claimed,) = claims.claim_due(database, "a", free_slots=1, deadline_s=20.0)
        after = time.monotonic()
    lease_s = 20 + lease.MARGIN_S - lease.SAFETY_S
    assert before + lease_s <= claimed.valid_until < after + lease_s


def test_every_batch_is_told(fleet: Fleet, provider: Host) -> None:
    """`progress` gets each recorded result once, with its name and both statuses."""
    names = [f"n{number:03}" for number in range(230)]
    for name in names[:10]:
        provider.behaviour[f"/{name}"] = ["401"]
    fleet.add({name: f"{provider.url}/{name}" for name in names})
    batches: list[list[results.Recorded]] = []
    with connect(fleet.target) as database:
        settings = PassSettings(host="here", concurrency=100)
        agent.run_once(database, fleet.keyring, settings, Stop(), progress=lambda batch: batches.append(list(batch)))
    told = [one for batch in batches for one in batch]
    assert sorted(one.name for one in told) == names
    assert len(batches) < 40  # not one by one
    assert {one.name for one in told if one.was != one.became} == set(names[:10])


def test_a_crash_outside_of_a_probe_is_one_result(
    fleet: Fleet, provider: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception while a config is opened makes that integration unknown; the worker goes on."""
    real = vault.open_integration

    def open_integration(keyring: object, sealed: SealedConfig) -> object:
        if sealed.name == "b":
            raise MemoryError
        return real(keyring, sealed)  # type: ignore[arg-type]

    monkeypatch.setattr(vault, "open_integration", open_integration)
    fleet.add({name: f"{provider.url}/{name}" for name in "abc"})
    assert fleet.once(concurrency=1).line() == "checked 3: 2 healthy, 1 unknown"
    assert Outcome("self.crash").verdict == "unknown"


def test_a_pass_ends_within_its_budget_and_leaves_the_rest_due(fleet: Fleet, provider: Host) -> None:
    """Hanging probes are given back at the end, and unreached integrations stay due; the summary says so."""
    names = [f"n{number}" for number in range(12)]
    for name in names[:4]:
        provider.behaviour[f"/{name}"] = ["hang:200", "200"]
    fleet.add({name: f"{provider.url}/{name}" for name in names[:4]})
    fleet.pass_time("next_check_at", 60)  # they come first
    fleet.add({name: f"{provider.url}/{name}" for name in names[4:]})
    summary = fleet.once(budget_s=4.0, concurrency=4)
    assert summary.line() == "checked 0; 4 given back; out of time, the rest stays due"
    assert summary.out_of_time and not summary.stopped
    assert fleet.leases() == [(False, 0)] * 12
    assert fleet.once(budget_s=60.0).line() == "checked 12: 12 healthy"


def test_what_is_known_at_the_end_is_written(fleet: Fleet, provider: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results that wait for their batch at the end are recorded; only hanging probes are given back."""
    monkeypatch.setattr(work, "_BATCH_WAIT_S", 60.0)
    provider.behaviour["/slow"] = ["hang:200"]
    fleet.add({name: f"{provider.url}/{name}" for name in ("a", "b", "slow")})
    assert fleet.once(budget_s=4.0).line() == "checked 2: 2 healthy; 1 given back; out of time, the rest stays due"


# --- rows that another session of PostgreSQL keeps locked


@contextmanager
def locked(target: Target, name: str) -> Iterator[psycopg.Connection]:
    """Keep the row of an integration locked during the block, or until its transaction ends."""
    with psycopg.connect(database_url(target)) as portal:
        portal.execute("UPDATE integrations SET name = name WHERE name = %s", [name])
        yield portal
        portal.rollback()


@pytest.fixture
def shared(postgresql_target: Target, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet on PostgreSQL: SQLite has no row locks."""
    made = Fleet(postgresql_target, tmp_path / "home")
    yield made
    made.end()


@pytest.mark.case("reliability 1")
def test_a_short_lock_delays_no_result(shared: Fleet, provider: Host) -> None:
    """A row that is locked for a moment at the end of a pass is recorded in that pass."""
    shared.add({name: f"{provider.url}/{name}" for name in "ab"})
    with locked(shared.target, "a") as portal:
        timer = threading.Timer(0.8, portal.rollback)
        timer.start()
        summary = shared.once()
        timer.join()
    assert (summary.line(), summary.held_back) == ("checked 2: 2 healthy", {})


@pytest.mark.case("reliability 1")
def test_a_lock_is_reported_with_the_names(shared: Fleet, provider: Host) -> None:
    """A pass during a lock succeeds; its line and `agent status` name what was held back, until it is recorded."""
    shared.add({name: f"{provider.url}/{name}" for name in "abc"})
    with locked(shared.target, "b"):
        agent = finished(shared.start("agent", "--once"))
        assert agent == (0, "checked 2: 2 healthy; 1 held back (row locked by another session)\n", "")
        code, out, err = finished(shared.start("agent", "status"))
        assert code == 0
        assert "keeps the row locked: b.\n" in err
        assert "intctl explain self.row_locked" in err
        (row,) = json.loads(finished(shared.start("agent", "status", "-o", "json"))[1])
        assert (row["held_back"], row["last"]["held_back"]) == (["b"], 1)
        code, out, err = finished(shared.start("check", "b"))
        assert (code, "self.row_locked" in out + err) == (1, True)
    shared.all_due()
    assert finished(shared.start("agent", "--once"))[1] == "checked 3: 3 healthy\n"
    assert finished(shared.start("agent", "status"))[2] == ""


@pytest.mark.case("reliability 1")
def test_a_refused_login_is_not_repeated_while_its_row_is_locked(shared: Fleet, provider: Host) -> None:
    """However long the lock lasts, one login is refused during it; the next one after it is recorded."""
    provider.behaviour["/a"] = ["401"]
    shared.add({"a": f"{provider.url}/a"})
    with locked(shared.target, "a"):
        for _ in range(2):
            assert shared.once().recorded == 0
            shared.all_due()
    assert provider.hits["/a"] == 1
    assert shared.once().verdicts == {"misconfigured": 1}
    assert (provider.hits["/a"], shared.statuses()) == (2, {"a": "error"})
