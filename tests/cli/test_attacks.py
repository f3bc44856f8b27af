"""Regressions of attacks: odd numbers, invisible characters, empty paths, damaged rows."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from intctl.db.connect import connect
from intctl.probes.guard import AddressPolicy

from ..servers import Answer, HttpServer, Request, http_server
from .conftest import CANARY, Intctl, MailHost


@pytest.fixture
def hub() -> Iterator[HttpServer]:
    """A vendor with scripted answers."""
    with http_server({"/account-info/2026-09/details": Answer(200, {"portalId": 7})}) as server:
        yield server


def add_hub(intctl: Intctl, hub: HttpServer) -> None:
    config = {"access_token": {"env": "TOK"}, "base_url": hub.url}
    manifest = json.dumps({"name": "Hub", "provider": "hubspot", "config": config})
    intctl("add", "hubspot", "-f", "-", stdin=manifest, TOK=CANARY)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
def test_one_odd_number_spoils_no_batch(intctl: Intctl, email: MailHost, hub: HttpServer, number: bytes) -> None:
    """A value that is no JSON number is never recorded; the pass records all others."""
    add_hub(intctl, hub)
    hub.routes["/account-info/2026-09/details"] = Answer(200, b'{"portalId": ' + number + b"}")
    ran = intctl("check", "--all", "-o", "json", code=None)
    assert {row["integration"] for row in ran.json} == {"Email", "Hub"}
    intctl("check", "Email")


def test_a_secret_with_hidden_letters_between_is_masked(intctl: Intctl, hub: HttpServer) -> None:
    """A credential repeated by a server with invisible characters in it is never shown."""
    add_hub(intctl, hub)
    hidden = CANARY[:6] + "\u200b" + CANARY[6:]
    hub.routes["/account-info/2026-09/details"] = Answer(200, {"portalId": hidden})
    intctl("check", "Hub", code=None)
    for words in (["show", "Hub", "-o", "json"], ["logs"], ["alerts"], ["dashboard"]):
        intctl(*words)  # the fixture searches all output for the canary


def test_a_reason_that_cannot_be_read_is_a_failure_all_the_same(intctl: Intctl, email: MailHost) -> None:
    """A failed sync stays failed, whatever its reason."""
    assert "failed sync" in intctl("synced", "Email", "--failed", "\u200b").out
    assert intctl("list", "-o", "json").json[0]["last_sync_error"]


@pytest.mark.parametrize("words", [["check", "Email", "--timeout", "nan"], ["agent", "--every", "nan"]])
def test_nan_is_no_number_of_seconds(intctl: Intctl, words: list[str]) -> None:
    """NaN is a usage error, not a deadline."""
    assert "is not a number" in intctl(*words, code=2).err


def test_an_empty_path_is_not_this_folder(intctl: Intctl) -> None:
    """An unset variable in a script applies nothing."""
    assert "unset variable" in intctl("apply", "-f", "", code=2).err


def test_a_damaged_time_spoils_no_list(intctl: Intctl, email: MailHost) -> None:
    """An invalid time, written by another program, hides no other row."""
    with connect(intctl.target) as database:
        if database.dialect != "sqlite":
            pytest.skip("PostgreSQL keeps times as times")
        database.run("UPDATE integrations SET last_sync = 'soon', created_at = '-1'")
    for words in (["list", "-o", "json"], ["list"], ["dashboard"], ["show", "Email"]):
        intctl(*words)


def test_a_credential_that_proves_nothing_is_said(intctl: Intctl) -> None:
    """A server that accepts any credential proves nothing: add and each later check report it."""

    def answer(request: Request) -> Answer:
        return Answer(200 if doors["open"] or "authorization" in request.headers else 401, {})

    doors = {"open": True}
    with http_server({"/": answer}) as server:
        config = {"url": f"{server.url}/", "auth": "bearer", "token": {"env": "TOK"}}
        manifest = json.dumps({"name": "Open", "provider": "http", "config": config})
        assert "not proven" in intctl("add", "http", "-f", "-", stdin=manifest, TOK=CANARY).err
        with connect(intctl.target) as database:
            database.run("UPDATE integration_schedules SET next_check_at = {now}")
        asked = len(server.requests)
        intctl("agent", "--once")
        assert len(server.requests) == asked + 1, "the agent does not knock without the credential"
        shown = intctl("show", "Open", "-o", "json").json
        assert (shown["verdict"], shown["code"]) == ("degraded", "credential.unproven")
        assert shown["facts"]["credential_proven"] is False
        doors["open"] = False
        assert intctl("check", "Open", "-o", "json").json[0]["code"] == "ok"


def test_the_agent_tries_each_config_without_its_credential_once(intctl: Intctl) -> None:
    """Saved untested, throttled or edited: no pass reports healthy before the verification, none verifies twice."""
    doors: dict[str, int] = {"with": 429, "without": 200}
    with http_server(
        {"/": lambda request: Answer(doors["with" if "authorization" in request.headers else "without"], {})}
    ) as server:
        config = {"url": f"{server.url}/", "auth": "bearer", "token": {"env": "TOK"}}
        manifest = {"name": "Late", "provider": "http", "config": config}

        def passes() -> tuple[str, int]:
            """The verdict of a pass, and its number of requests."""
            with connect(intctl.target) as database:
                database.run("UPDATE integration_schedules SET next_check_at = {now}")
            server.requests.clear()
            intctl("agent", "--once")
            return intctl("show", "Late", "-o", "json").json["code"], len(server.requests)

        intctl("add", "http", "-f", "-", "--no-test", stdin=json.dumps(manifest), TOK=CANARY)
        assert passes() == ("provider.busy", 1)
        doors["with"] = 200
        assert passes() == ("credential.unproven", 2)
        assert passes() == ("credential.unproven", 1)
        manifest["config"] = config | {"method": "HEAD"}
        doors["without"] = 503
        intctl("edit", "Late", "-f", "-", "--no-test", stdin=json.dumps(manifest), TOK=CANARY)
        assert [passes(), passes()] == [("credential.uncompared", 2)] * 2
        doors["without"] = 401
        assert [passes(), passes()] == [("ok", 2), ("ok", 1)]
        doors["without"] = 503
        assert intctl("check", "Late", "-o", "json").json[0]["code"] == "ok", "what is known stays known"
        assert passes() == ("ok", 1)


def test_who_is_only_put_off_proves_no_new_config(intctl: Intctl) -> None:
    """A wrong token at a throttling provider: unknown, exit 1, nothing saved without --no-test."""
    doors = {"status": 429}
    with http_server({"/": lambda _: Answer(doors["status"], {})}) as server:
        config = {"url": f"{server.url}/", "auth": "bearer", "token": {"env": "TOK"}}
        manifest = json.dumps({"name": "Busy", "provider": "http", "config": config})
        for words in (["add", "http"], ["apply"], ["test"]):
            said = intctl(*words, "-f", "-", stdin=manifest, TOK=CANARY, code=1)
            assert "is throttling requests" in said.out + said.err, words
        assert intctl("list", "-o", "json").json == []
        intctl("add", "http", "-f", "-", "--no-test", stdin=manifest, TOK=CANARY)
        assert intctl("check", "Busy", "-o", "json", code=1).json[0]["verdict"] == "unknown"
        doors["status"] = 401
        intctl("check", "Busy", code=1)
        doors["status"] = 429
        intctl("check", "Busy", code=1)
        assert [one["code"] for one in intctl("alerts", "-o", "json").json] == ["http.auth.rejected"]
        assert intctl("test", "Busy", "-o", "json", code=1).json[0]["code"] == "provider.busy"


@pytest.mark.parametrize("address", ["::ffff:0:169.254.169.254", "64:ff9b:1:a9fe:a9:fe00:808:808"])
def test_translated_metadata_addresses_are_refused(address: str) -> None:
    """SIIT and the local NAT64 prefix also map to IPv4 addresses."""
    assert AddressPolicy().refusal(address)
