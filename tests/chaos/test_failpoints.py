"""One agent with a fault at one place of the protocol: the invariants hold, and nothing is lost.

At each place: a kill, a stop until the lease has expired, an exception, and lost connections. SQLite has no
connection to lose.
"""

from __future__ import annotations

import signal
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from intctl.db import lease
from intctl.errors import StoreError
from intctl.failpoint import ACTIONS, POINTS, Failpoint, arm, hit

from ..agent_rig import Fleet, Host, finished, host, until
from ..servers import Authority, authority
from .invariants import CANARY, broken, runner

NAMES = ("a", "b", "c")
#: The deadline of the faulty agent, and the time until its leases have expired, in seconds.
DEADLINE_S = 20
LEASE_GONE_S = DEADLINE_S + lease.MARGIN_S + 1
#: The provider's first reply, if the faulty agent has one to write. All later ones succeed.
STALE = ("before_record", "in_record", "after_record")


@pytest.fixture
def fleet(fleet: Fleet) -> Fleet:
    """The usual fleet; each change of a lease is recorded."""
    runner(fleet.target)
    return fleet


@pytest.fixture(scope="module")
def ca() -> Iterator[Authority]:
    with authority() as made:
        yield made


@pytest.fixture
def serve(ca: Authority) -> Iterator[Callable[[str], Host]]:
    """A provider host for a failpoint: with TLS for the one in the TLS handshake."""
    opened = []

    def make(point: str) -> Host:
        context: ssl.SSLContext | None = ca.server_context() if point == "in_tls" else None
        opened.append(host(context))
        return opened[-1].__enter__()

    yield make
    for one in opened:
        one.__exit__(None, None, None)


def begin(fleet: Fleet, provider: Host, ca: Authority, point: str, action: str) -> subprocess.Popen[str]:
    """Start an agent with a fault on three due integrations."""
    for name in NAMES:
        if point == "give_back":
            provider.behaviour[f"/{name}"] = ["hang:200", "200"]
        elif point in STALE:
            provider.behaviour[f"/{name}"] = ["401", "200"]
    fleet.add({name: f"{provider.url}/{name}" for name in NAMES}, auth="bearer", token=CANARY, ca_file=ca.file)
    agent = fleet.start(
        "agent",
        "--once",
        "--timeout",
        str(DEADLINE_S),
        INTCTL_FAILPOINT=f"{point}:{action}",
        INTCTL_TEST_FAILPOINTS="1",
    )
    if point == "give_back":
        until(lambda: len(provider.hits) == len(NAMES), "all requests")
        agent.send_signal(signal.SIGTERM)
    return agent


def all_is_well(fleet: Fleet) -> None:
    """Run a last pass over everything; the invariants hold, and all are active."""
    fleet.pass_time("lease_expires_at", LEASE_GONE_S)
    fleet.all_due()
    assert fleet.once().recorded == len(NAMES)
    assert broken(fleet.target) == []
    assert fleet.statuses() == dict.fromkeys(NAMES, "active")
    assert fleet.leases() == [(False, 0)] * len(NAMES)
    assert {log["name"] for log in fleet.logs()} == set(NAMES)


@pytest.mark.parametrize("point", POINTS)
def test_killed(fleet: Fleet, serve: Callable[[str], Host], ca: Authority, point: str) -> None:
    """After SIGKILL and the end of the leases, everything is checked; recorded results are not duplicated."""
    agent = begin(fleet, serve(point), ca, point, "kill")
    assert finished(agent)[0] == -signal.SIGKILL
    recorded = len(fleet.logs())
    assert recorded == (len(NAMES) if point == "after_record" else 0)
    held = sum(owned for owned, _ in fleet.leases())
    assert held == (0 if point in ("before_claim", "after_record") else len(NAMES))
    assert fleet.once().recorded == (len(NAMES) if point == "before_claim" else 0)
    all_is_well(fleet)


@pytest.mark.parametrize("point", POINTS)
def test_stopped_past_its_lease(fleet: Fleet, serve: Callable[[str], Host], ca: Authority, point: str) -> None:
    """After SIGSTOP, checks by another agent, and SIGCONT, the stale results are not written."""
    agent = begin(fleet, serve(point), ca, point, "stop")
    state = Path(f"/proc/{agent.pid}/stat")
    until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", "the agent stopped")
    # Stopped inside SQLite's transaction it holds the file: no other agent can claim its leases, or needs to.
    if (fleet.target.dialect, point) != ("sqlite", "in_record"):
        recorded: list[int] = []

        def all_checked() -> bool:
            # On PostgreSQL its open transaction keeps the rows, until the server ends it after 10 s.
            with suppress(StoreError):
                fleet.pass_time("lease_expires_at", LEASE_GONE_S)
                if point == "after_record" and not recorded:
                    fleet.all_due()
                recorded.append(fleet.once().recorded)
            return sum(recorded) == len(NAMES)

        until(all_checked, "the others' checks")
        assert fleet.statuses() == dict.fromkeys(NAMES, "active")
    agent.send_signal(signal.SIGCONT)
    code, out, _ = finished(agent)
    assert code == 0
    if (fleet.target.dialect, point) != ("sqlite", "in_record"):
        assert fleet.statuses() == dict.fromkeys(NAMES, "active")
        assert {log["lease_token"] for log in fleet.logs()} <= {1, 2}
        if point in ("after_claim", "in_dns", "in_connect", "in_tls", "before_record", "in_record"):
            assert out == "checked 0; 3 results dropped (lease lost)\n"
    all_is_well(fleet)


@pytest.mark.parametrize("point", POINTS)
def test_an_error_is_raised(fleet: Fleet, serve: Callable[[str], Host], ca: Authority, point: str) -> None:
    """A bug in a probe is one unknown result; elsewhere it ends the pass, and unrecorded claims are released."""
    agent = begin(fleet, serve(point), ca, point, "raise")
    code, out, err = finished(agent)
    if point.startswith("in_") and point != "in_record":
        assert (code, out) == (0, "checked 3: 2 healthy, 1 unknown\n")
        assert [log["metadata"]["code"] for log in fleet.logs()].count("self.crash") == 1
    else:
        assert code == 70 and "Failpoint" in err and CANARY not in out + err
        # A claim whose reply was lost with the error can't be given back.
        held = len(NAMES) if point in ("after_claim", "give_back") else 0
        assert [owned for owned, _ in fleet.leases()].count(True) == held
        assert len(fleet.logs()) == (len(NAMES) if point == "after_record" else 0)
    all_is_well(fleet)


@pytest.mark.parametrize("point", POINTS)
def test_its_connections_are_cut(fleet: Fleet, serve: Callable[[str], Host], ca: Authority, point: str) -> None:
    """After all connections are lost, the database is reconnected, and each result is recorded once."""
    agent = begin(fleet, serve(point), ca, point, "cut")
    code, out, err = finished(agent)
    assert (code, err) == (0, "")
    if point == "give_back":
        assert out == "checked 0; 3 given back\n"
        assert fleet.logs() == []
    else:
        assert out.startswith("checked 3")
        assert sorted(log["name"] for log in fleet.logs()) == sorted(NAMES)
    all_is_well(fleet)


def test_failpoints_need_two_words() -> None:
    """Without the second variable, or with an unknown place or action, nothing happens."""
    for environ in (
        {"INTCTL_FAILPOINT": "in_dns:raise"},
        {"INTCTL_FAILPOINT": "in_dns:raise", "INTCTL_TEST_FAILPOINTS": "yes"},
        {"INTCTL_FAILPOINT": "nowhere:raise", "INTCTL_TEST_FAILPOINTS": "1"},
        {"INTCTL_FAILPOINT": "in_dns:explode", "INTCTL_TEST_FAILPOINTS": "1"},
        {"INTCTL_TEST_FAILPOINTS": "1"},
    ):
        arm(environ)
        for point in POINTS:
            hit(point)
    assert ACTIONS == ("kill", "stop", "raise", "cut")
    arm({"INTCTL_FAILPOINT": "in_dns:raise", "INTCTL_TEST_FAILPOINTS": "1"})
    hit("in_tls")
    with pytest.raises(Failpoint):
        hit("in_dns")
    hit("in_dns")  # once only
