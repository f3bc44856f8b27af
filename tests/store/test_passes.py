"""Each agent's last pass, and the gauges, on both databases."""

from __future__ import annotations

from intctl.db.connect import Database
from intctl.db.url import Target
from intctl.health.log_entry import NO_METADATA
from intctl.store import agent_passes, gauges, passes
from intctl.store.passes import Agent, NotedPass, PassNote

from ..agent_rig import shift
from .test_claims import OK, REJECTED, add
from .test_transitions import check


def agent(host: str = "web1", org_id: str | None = None, version: str = "1.2.3") -> Agent:
    return Agent(host, org_id, version)


def finish(database: Database, host: str = "web1", org_id: str | None = None, checks: int = 3) -> NotedPass:
    note = PassNote(2.5, checks, {"checked": checks, "keys": ["k_1"]})
    noted = passes.finish(database, agent(host, org_id), note)
    passes.prune(database, noted)
    return noted


def long_ago(database: Database, seconds: int) -> None:
    for column in ("started_at", "finished_at"):
        shift(database, column, seconds, "agent_passes")


def test_a_pass_is_one_row_of_its_agent(database: Database) -> None:
    """Each host has one row, which is overwritten; its passes and checks add up; its start is the agent's."""
    first, second = finish(database), finish(database, checks=4)
    assert [(one.passes, one.checks) for one in (first, second)] == [(1, 3), (2, 7)]
    (row,) = agent_passes.agents(database)
    assert (row.host, row.org_id, row.version, row.passes, row.checks) == ("web1", None, "1.2.3", 2, 7)
    assert row.last == {"checked": 4, "keys": ["k_1"]}
    assert row.started_at is not None and row.finished_at is not None and row.age_s is not None
    assert 2.4 <= (row.finished_at - row.started_at).total_seconds() <= 2.7
    assert 0 <= row.age_s < 60


def test_a_pass_whose_note_got_no_answer_counts_once(database: Database) -> None:
    """A note that is written again is recognised by its metadata; another pass of the agent is a new note."""

    def note(pass_id: str, again: bool) -> tuple[int, int]:
        metadata = {"checked": 3, "duration_s": 2.5, "pass_id": pass_id}
        noted = passes.finish(database, agent(), PassNote(2.5, 3, metadata), again=again)
        return noted.passes, noted.checks

    assert [note("p1", True), note("p1", True)] == [(1, 3), (1, 3)]
    assert [note("p2", True), note("p2", True)] == [(2, 6), (2, 6)]


def test_a_pass_that_hangs_is_seen_by_its_start(database: Database) -> None:
    """The start is noted before the first check; the last finish stays what it was."""
    finish(database)
    long_ago(database, 600)
    passes.begin(database, agent(version="1.2.4"))
    (row,) = agent_passes.agents(database)
    assert row.started_at is not None and row.finished_at is not None
    assert (row.started_at - row.finished_at).total_seconds() > 500
    assert (row.version, row.passes) == ("1.2.4", 1)


def test_a_failure_stands_until_a_pass_is_completed(database: Database) -> None:
    """A failed pass records reason and time; a completed pass clears them, a failure keeps the last finish."""
    passes.fail(database, agent(), duration_s=1.0, failure="No encryption key.")
    (row,) = agent_passes.agents(database)
    assert (row.failure, row.finished_at, row.age_s) == ("No encryption key.", None, None)
    assert row.failed_at is not None
    finish(database)
    (row,) = agent_passes.agents(database)
    assert (row.failure, row.failed_at) == (None, None)
    finished_at = row.finished_at
    passes.fail(database, agent(), duration_s=1.0, failure="No encryption key.")
    (row,) = agent_passes.agents(database)
    assert (row.failure, row.finished_at, row.passes) == ("No encryption key.", finished_at, 1)


def test_agents_of_one_host_and_of_one_organisation(database: Database, org_id: str) -> None:
    """An agent of one organisation has a row of its own; --org lists only the agents that serve it."""
    other = "0" * 8 + org_id[8:]
    for host, serves in (("web2", None), ("web1", org_id), ("web1", None), ("web1", other)):
        finish(database, host, serves)
    listed = [(row.host, row.org_id) for row in agent_passes.agents(database)]
    assert sorted(listed, key=str) == sorted(
        [("web1", None), ("web1", org_id), ("web1", other), ("web2", None)], key=str
    )
    assert [host for host, _ in listed] == ["web1", "web1", "web1", "web2"]
    assert {(row.host, row.org_id) for row in agent_passes.agents(database, org_id)} == {
        ("web1", None),
        ("web1", org_id),
        ("web2", None),
    }


def test_a_host_that_is_gone_is_forgotten(database: Database) -> None:
    """After a month without a pass an agent is no longer listed; one of sixty passes deletes it."""
    finish(database, "gone")
    long_ago(database, passes.KEPT_S + 1)
    for _ in range(59):
        finish(database)
    assert len(agent_passes.agents(database)) == 2
    finish(database)
    assert [row.host for row in agent_passes.agents(database)] == ["web1"]


def test_gauges_show_the_newest_check_of_each(database: Database, target: Target, org_id: str) -> None:
    """Gauges have every living integration once, with its newest check, if it was ever checked."""
    add(target, org_id, "Email")
    check(database, REJECTED)
    check(database, OK)
    add(target, org_id, "New")
    gone = add(target, org_id, "Gone")
    database.run("UPDATE integrations SET deleted_at = {now} WHERE id = :id", {"id": gone})
    rows = {row.name: row for row in gauges.gauges(database)}
    assert set(rows) == {"Email", "New"}
    assert (rows["Email"].status, rows["Email"].error_count) == ("active", 0)
    assert (rows["Email"].newest.code, rows["Email"].response_time_ms) == ("ok", 7)
    assert (rows["New"].newest, rows["New"].response_time_ms) == (NO_METADATA, None)
    assert rows["New"].last_health_check is None
    assert (rows["Email"].is_current, rows["New"].is_current) == (True, False)
    assert gauges.gauges(database, "0" * 8 + org_id[8:]) == []
    assert len(gauges.gauges(database, org_id)) == 2
