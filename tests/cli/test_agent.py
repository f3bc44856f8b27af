"""Agents as processes: signals, death, concurrency, a lost database; and check during a pass."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from intctl.db import lease
from intctl.db.connect import connect
from intctl.db.url import SQLITE, Target
from intctl.store import changes, claims

from ..agent_rig import Fleet, Host, each_once, finished, until
from ..conftest import ORG_ID
from .test_basics import imported


def hanging(fleet: Fleet, provider: Host, names: str = "abc", answer: str = "hang:200", **more: str) -> None:
    """Integrations whose provider does not answer, and `more` by name with the given answer."""
    for name in names:
        provider.behaviour[f"/{name}"] = [answer, "200"]
    for name, other in more.items():
        provider.behaviour[f"/{name}"] = [other]
    fleet.add({name: f"{provider.url}/{name}" for name in [*names, *more]})


# --- an agent that is ended


def test_sigterm_gives_back_and_exits_0(fleet: Fleet, provider: Host) -> None:
    """SIGTERM ends an agent within ten seconds: it records known results and releases the rest unchanged."""
    hanging(fleet, provider, quick="401")
    agent = fleet.start("agent", "--once", "--timeout", "60")
    until(lambda: sum(provider.hits.values()) == 4 and fleet.logs(), "four requests and a result")
    agent.send_signal(signal.SIGTERM)
    out, err = agent.communicate(timeout=10)
    assert (agent.returncode, out, err) == (0, "checked 1: 1 misconfigured; 3 given back\n", "")
    assert [log["name"] for log in fleet.logs()] == ["quick"]
    assert fleet.leases() == [(False, 0)] * 4
    assert fleet.once().line() == "checked 3: 3 healthy"


def test_a_second_sigterm_ends_at_once(fleet: Fleet, provider: Host) -> None:
    """After a second signal the agent waits for nothing, not even its database, and exits 130."""
    hanging(fleet, provider)
    agent = fleet.start("agent", "--once", "--timeout", "60")
    until(lambda: sum(provider.hits.values()) == 3, "three requests")
    with connect(fleet.target) as database, database.transaction():
        if database.dialect != SQLITE:  # there, the transaction has the lock
            database.run("LOCK TABLE integration_schedules")
        agent.send_signal(signal.SIGTERM)
        with pytest.raises(Exception, match="timed out"):
            agent.wait(0.5)  # it tries to release its leases and fails
        agent.send_signal(signal.SIGTERM)
        assert finished(agent)[0] == 130
    assert fleet.leases() == [(True, 1)] * 3


def test_a_killed_agent_loses_nothing(fleet: Fleet, provider: Host) -> None:
    """After SIGKILL the leases expire, the next pass checks each integration, and no check is logged twice."""
    hanging(fleet, provider)
    agent = fleet.start("agent", "--once", "--timeout", "60")
    until(lambda: sum(provider.hits.values()) == 3, "three requests")
    agent.kill()
    assert finished(agent)[0] == -signal.SIGKILL
    assert fleet.once().line() == "checked 0"
    fleet.pass_time("lease_expires_at", 60 + lease.MARGIN_S + 1)
    assert fleet.once().line() == "checked 3: 3 healthy"
    assert sorted((log["name"], log["lease_token"]) for log in fleet.logs()) == [("a", 2), ("b", 2), ("c", 2)]
    assert fleet.leases() == [(False, 0)] * 3


def test_a_stopped_agent_that_wakes_writes_nothing_stale(fleet: Fleet, provider: Host) -> None:
    """A result that arrives after its lease expired is dropped and counted; the newer result is kept."""
    hanging(fleet, provider, "ab", "hang:401")
    agent = fleet.start("agent", "--once", "--timeout", "60")
    until(lambda: sum(provider.hits.values()) == 2, "two requests")
    agent.send_signal(signal.SIGSTOP)
    fleet.pass_time("lease_expires_at", 60 + lease.MARGIN_S + 1)
    assert fleet.once().line() == "checked 2: 2 healthy"
    provider.release()
    agent.send_signal(signal.SIGCONT)
    assert finished(agent) == (0, "checked 0; 2 results dropped (lease lost)\n", "")
    assert fleet.statuses() == {"a": "active", "b": "active"}
    assert [(log["status"], log["lease_token"]) for log in fleet.logs()] == [("success", 2)] * 2


def test_two_agents_check_each_once(fleet: Fleet, provider: Host) -> None:
    """Two concurrent agents share the due integrations: each is checked once and recorded once."""
    names = [f"n{i:02}" for i in range(40)]
    provider.delay_s = 0.1
    fleet.add({name: f"{provider.url}/{name}" for name in names})
    agents = [fleet.start("agent", "--once", "--concurrency", "4") for _ in range(2)]
    ends = [finished(agent) for agent in agents]
    assert [(code, err) for code, _, err in ends] == [(0, "")] * 2
    assert provider.hits == each_once([f"/{name}" for name in names])
    assert Counter(log["name"] for log in fleet.logs()) == each_once(names)
    assert sum(int(out.split()[1].rstrip(":")) for _, out, _ in ends) == 40


def test_a_pass_exits_0_whatever_it_found(fleet: Fleet, provider: Host) -> None:
    """A failing provider is a finding, not a failure of the agent."""
    hanging(fleet, provider, "", a="401", b="500", c="200")
    assert finished(fleet.start("agent", "--once")) == (0, "checked 3: 1 healthy, 1 down, 1 misconfigured\n", "")


def test_nothing_to_do_imports_no_event_loop(fleet: Fleet) -> None:
    """An idle pass reports it and imports neither asyncio nor a client; on SQLite, no driver either."""
    ended = finished(fleet.start("agent", "--once"))
    assert ended == (0, "checked 0\n", "")
    unwanted = ("asyncio", "httpx", "aiosmtplib", "sqlmodel", "sqlalchemy", "intctl.probes.run")
    code, found = imported("agent --once", unwanted, fleet.environ)
    # psycopg imports asyncio itself.
    assert (code, set(found) - ({"asyncio"} if fleet.target.dialect != SQLITE else set())) == (0, set())


# --- the service


def test_the_service_takes_up_what_falls_due_and_ends_on_sigterm(fleet: Fleet, provider: Host) -> None:
    """Without --once the agent keeps checking new and newly due integrations; SIGTERM exits 0."""
    fleet.add({"a": f"{provider.url}/a"})
    agent = fleet.start("agent", "--every", "1")
    until(lambda: provider.hits["/a"] == 1, "the first check")
    fleet.add({"b": f"{provider.url}/b"})
    until(lambda: provider.hits["/b"] == 1 and len(fleet.logs()) == 2, "the new one's check")
    fleet.all_due()
    until(lambda: len(fleet.logs()) == 4, "both again")
    agent.send_signal(signal.SIGTERM)
    out, err = agent.communicate(timeout=10)
    assert (agent.returncode, err) == (0, "")
    assert sum(int(line.split()[1].rstrip(":")) for line in out.splitlines()) == 4


def test_the_service_outlives_its_database(fleet: Fleet, provider: Host, request: pytest.FixtureRequest) -> None:
    """A lost database is reported once, not in every pass; when it is back, the agent resumes."""
    fleet.add({"a": f"{provider.url}/a"})
    agent = fleet.start("agent", "--every", "1")
    until(lambda: len(fleet.logs()) == 1, "the first check")
    away, back = doors(fleet.target, request)
    away()
    assert agent.stderr is not None
    told = agent.stderr.readline()
    if "History maintenance" in told:  # the database was lost just after the checks were recorded
        told = agent.stderr.readline()
    assert "Retrying every 1 seconds." in told
    with pytest.raises(Exception, match="timed out"):
        agent.wait(2.5)  # two more passes
    back()
    fleet.all_due()
    until(lambda: len(fleet.logs()) == 2, "a check after it came back")
    agent.send_signal(signal.SIGTERM)
    _, err = agent.communicate(timeout=10)
    assert (agent.returncode, err) == (0, "")


def doors(target: Target, request: pytest.FixtureRequest) -> tuple[Callable[[], None], Callable[[], None]]:
    """Actions that stop the database and start it again."""
    if target.dialect == SQLITE:
        aside = target.path.with_name("elsewhere.db")

        def move(old: Path, new: Path) -> None:
            for ending in ("", "-wal", "-shm"):
                if Path(f"{old}{ending}").exists():
                    os.rename(f"{old}{ending}", f"{new}{ending}")

        return lambda: move(target.path, aside), lambda: move(aside, target.path)
    server: Target = request.getfixturevalue("postgresql_server")
    name = target.parameters["dbname"]

    def allow(yes: bool) -> None:
        with psycopg.connect(**server.parameters, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(
                sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(sql.Identifier(name), sql.Literal(yes))
            )
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    return lambda: allow(False), lambda: allow(True)


@pytest.mark.parametrize("words", [["agent", "--every", "1"], ["agent", "--once"]])
def test_a_database_that_was_never_prepared_ends_the_agent(fleet: Fleet, tmp_path: Path, words: list[str]) -> None:
    """A service without a usable database fails at startup with the exit code of the database."""
    code, out, err = finished(fleet.start(*words, INTCTL_DATABASE_URL=f"sqlite:///{tmp_path / 'none.db'}"))
    assert (code, out) == (5, "")
    assert "intctl init" in err and err.count("\n") == 1


# --- a manual check


def test_check_waits_for_the_agent_that_is_at_it(fleet: Fleet, provider: Host) -> None:
    """A check during an agent's check shows the agent's result; the provider is contacted once."""
    hanging(fleet, provider, "a")
    agent = fleet.start("agent", "--once", "--timeout", "60")
    until(lambda: provider.hits["/a"] == 1, "the agent's request")
    fleet.add({"b": f"{provider.url}/b"})
    check = fleet.start("check", "a", "b", "-o", "json")
    until(lambda: len(fleet.logs()) == 1, "b's result: by then a was found to be busy")
    provider.release()
    code, out, err = finished(check)
    assert (code, err) == (0, "")
    assert [(row["integration"], row["verdict"]) for row in json.loads(out)] == [("a", "healthy"), ("b", "healthy")]
    assert finished(agent)[0] == 0
    assert provider.hits == {"/a": 1, "/b": 1}
    assert {(log["name"], log["check_type"]) for log in fleet.logs()} == {("a", "scheduled"), ("b", "manual")}


def test_a_verdict_on_an_earlier_config_is_no_answer(fleet: Fleet, provider: Host) -> None:
    """A result for the config before an edit is outdated: check runs again."""
    provider.behaviour["/a"] = ["hang:200", "401"]
    id = fleet.add({"a": f"{provider.url}/a"})["a"]
    agent = fleet.start("agent", "--once", "--timeout", "60")
    until(lambda: provider.hits["/a"] == 1, "the agent's request")
    sealed = fleet.rows("SELECT config FROM integrations")[0]["config"]
    with changes.unit_of_work(fleet.target) as session:
        changes.update_integration(
            session, id=id, org_id=ORG_ID, expected_version=1, changed=changes.Changed(config=sealed)
        )
    fleet.add({"b": f"{provider.url}/b"})
    check = fleet.start("check", "a", "b", "-o", "json")
    until(lambda: len(fleet.logs()) == 1, "b's result: by then a was found to be busy")
    provider.release()
    code, out, _ = finished(check)
    assert (code, json.loads(out)[0]["code"]) == (1, "http.auth.rejected")
    assert finished(agent)[0] == 0
    assert provider.hits == {"/a": 2, "/b": 1}
    old, new = [log for log in fleet.logs() if log["name"] == "a"]
    assert (old["status"], old["metadata"]["verdict"]) == ("unknown", "healthy"), "no uptime for what was never tried"
    assert (new["status"], new["now"]) == ("failure", "error")


def test_check_takes_over_what_the_agent_gives_back(fleet: Fleet, provider: Host) -> None:
    """If the lease holder gives up without a result, this process checks."""
    hanging(fleet, provider, "a")
    agent = fleet.start("agent", "--once", "--timeout", "60")
    until(lambda: provider.hits["/a"] == 1, "the agent's request")
    fleet.add({"b": f"{provider.url}/b"})
    check = fleet.start("check", "a", "b", "-o", "name")
    until(lambda: len(fleet.logs()) == 1, "b's result")
    agent.send_signal(signal.SIGTERM)
    assert finished(agent)[:2] == (0, "checked 0; 1 given back\n")
    assert finished(check)[0] == 0
    assert [(log["name"], log["check_type"]) for log in fleet.logs()] == [("b", "manual"), ("a", "manual")]


def test_check_of_what_never_ends_is_busy(fleet: Fleet, provider: Host) -> None:
    """If the holder has no result by the deadline, check exits 7 and names it; several share one deadline."""
    fleet.add({name: f"{provider.url}/{name}" for name in "abcdefgh"})
    with connect(fleet.target) as database:
        assert len(claims.claim_due(database, "other", free_slots=9, deadline_s=60.0)) == 8
    code, out, err = finished(fleet.start("check", "--all", "--timeout", "2"))
    assert (code, out) == (7, "")
    assert "did not finish in time; try again later: a, b, c, d, e, f, g, h" in err
    assert not provider.hits


def test_ctrl_c_while_checking(fleet: Fleet, provider: Host) -> None:
    """Ctrl-C during check --all exits 130; known results are recorded, the other leases are released."""
    hanging(fleet, provider, quick="200")
    check = fleet.start("check", "--all", "--timeout", "60")
    until(lambda: sum(provider.hits.values()) == 4 and fleet.logs(), "four requests and a result")
    check.send_signal(signal.SIGINT)
    assert finished(check) == (130, "", "\nintctl: interrupted\n")
    assert fleet.leases() == [(False, 0)] * 4
    assert [log["name"] for log in fleet.logs()] == ["quick"]


def test_ctrl_c_while_waiting_for_another(fleet: Fleet, provider: Host) -> None:
    """Ctrl-C immediately ends a wait for another process's result."""
    fleet.add({"a": f"{provider.url}/a"})
    with connect(fleet.target) as database:
        claims.claim_due(database, "other", free_slots=9, deadline_s=60.0)
    fleet.add({"b": f"{provider.url}/b"})
    check = fleet.start("check", "a", "b", "--timeout", "60")
    until(lambda: len(fleet.logs()) == 1, "b's result")
    check.send_signal(signal.SIGINT)
    assert finished(check) == (130, "", "\nintctl: interrupted\n")
    assert sorted(fleet.leases()) == [(False, 0), (True, 1)]


def test_ctrl_c_while_adding(fleet: Fleet, provider: Host) -> None:
    """Ctrl-C during the test of an add exits 130, and nothing of it is stored."""
    provider.behaviour["/new"] = ["hang:200"]
    manifest = json.dumps({"name": "New", "provider": "http", "config": {"url": f"{provider.url}/new"}})
    adding = fleet.start("add", "http", "-f", "-", "--timeout", "60", stdin=manifest)
    until(lambda: provider.hits["/new"] == 1, "its request")
    adding.send_signal(signal.SIGINT)
    assert finished(adding) == (130, "", "\nintctl: interrupted\n")
    for table in ("integrations", "integration_schedules", "integration_health_logs", "oauth_tokens"):
        assert fleet.rows(f"SELECT * FROM {table}") == []


def test_org_keeps_an_agent_to_one_organisation(fleet: Fleet, provider: Host) -> None:
    """--org limits the agent; with an unknown organisation it checks nothing."""
    fleet.add({"a": f"{provider.url}/a"})
    assert finished(fleet.start("agent", "--once", "--org", "0" * 8 + ORG_ID[8:]))[1] == "checked 0\n"
    assert finished(fleet.start("agent", "--once", "--org", "acme"))[1] == "checked 1: 1 healthy\n"
