"""A setting of one host, or its clock, never changes the status that all hosts share."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from intctl.db.connect import connect
from intctl.probes.network import Network

from ..servers import Answer, Authority, http_server, in_days
from .conftest import Intctl


def due(intctl: Intctl, **environ: Any) -> str:
    with connect(intctl.target) as database:
        database.run("UPDATE integration_schedules SET next_check_at = {now}")
    return intctl("agent", "--once", **environ).err


def transitions(intctl: Intctl) -> int:
    with connect(intctl.target) as database:
        (row,) = database.rows("SELECT count(*) AS n FROM integration_transitions")
    return int(row["n"])


def test_two_hosts_that_differ_make_nothing_flap(intctl: Intctl) -> None:
    """One host denies the network: its checks are unknown, the status stays, and agent status has one finding."""
    with http_server({"/": Answer(200, {})}) as server:
        for number in range(4):
            manifest = {"name": f"A{number}", "provider": "http", "config": {"url": f"{server.url}/"}}
            intctl("add", "http", "-f", "-", stdin=json.dumps(manifest))
        for _ in range(3):
            due(intctl)
            assert {row["status"] for row in intctl("list", "-o", "json").json} == {"active"}
            due(intctl, INTCTL_DENY_NETWORKS="loopback")
            assert {row["status"] for row in intctl("list", "-o", "json").json} == {"active"}
            log = intctl("logs", "A1", "-o", "json").json[0]
            assert (log["code"], log["status"]) == ("self.denied_address", "unknown")
            said = intctl("agent", "status").err
            assert said.count("INTCTL_DENY_NETWORKS refuses the address") == 1
    assert transitions(intctl) == 0


def test_a_clock_that_is_wrong_blames_no_certificate(
    intctl: Intctl, ca: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of this machine is compared with the database's before a certificate counts as expired."""
    context = ca.server_context("localhost", not_after=in_days(-1))
    with http_server({"/": Answer(200, {})}, context=context) as server:
        config = {"url": f"https://localhost:{server.port}/", "ca_file": ca.file}
        manifest = {"name": "A", "provider": "http", "config": config}
        intctl("add", "http", "-f", "-", "--no-test", stdin=json.dumps(manifest))
        defaults = Network.__init__.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "clock", lambda: time.time() + 86400)
        due(intctl)
        log = intctl("logs", "A", "-o", "json").json[0]
        assert log["code"] == "self.clock"
        assert intctl("list", "-o", "json").json[0]["status"] == "active"
        monkeypatch.setitem(defaults, "clock", time.time)
        due(intctl)
        assert intctl("logs", "A", "-o", "json").json[0]["code"] == "tls.expired"
        assert intctl("list", "-o", "json").json[0]["status"] == "error"


def test_a_proxy_of_the_environment_reaches_every_command(intctl: Intctl) -> None:
    """test, add, check and the agent take it; what it refuses is unknown, and the log has its name and no password."""
    config = {"url": "https://api.provider.example/me", "auth": "bearer", "token": {"env": "TOK"}}
    manifest = json.dumps({"name": "A", "provider": "http", "config": config})
    with http_server({}) as server:  # it answers CONNECT as an HTTP server does: with an error
        environ: dict[str, Any] = {
            "HTTPS_PROXY": f"http://user:geheim-proxy@127.0.0.1:{server.port}",
            "TOK": "geheim-token",
        }
        said = intctl("test", "-f", "-", stdin=manifest, code=1, **environ)
        assert "proxy.refused" in said.out and f"127.0.0.1:{server.port}" in said.out
        intctl("add", "http", "-f", "-", "--no-test", stdin=manifest, **environ)
        intctl("check", "A", code=1, **environ)
        due(intctl, **environ)
        logs = intctl("logs", "A", "-o", "json").json
        assert [log["code"] for log in logs] == ["proxy.refused"] * 2
        with connect(intctl.target) as database:
            facts = [row["metadata"]["facts"] for row in database.rows("SELECT metadata FROM integration_health_logs")]
        assert [one["via"] for one in facts] == [f"127.0.0.1:{server.port}"] * 2
        assert intctl("list", "-o", "json").json[0]["status"] == "active"
        assert "HTTPS_PROXY" in intctl("agent", "status").err
    assert "geheim" not in intctl.said
    wrong = intctl("check", "A", code=2, HTTPS_PROXY="socks5://user:geheim@127.0.0.1:1")
    assert "HTTPS_PROXY is not the address of an HTTP proxy" in wrong.err
    assert "geheim" not in wrong.err
