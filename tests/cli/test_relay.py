"""A mail relay without a login, from `add` to the schedule; and the exit code of a test mail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from intctl.db.connect import connect

from ..probes.test_smtp_relay import speaking
from ..servers import RawServer, raw_server
from .conftest import Intctl, MailHost


class Relay:
    """A relay whose replies can be changed."""

    def __init__(self) -> None:
        self.replies: dict[str, str] = {}
        self.server: RawServer

    def manifest(self, **config: Any) -> str:
        given = {"host": "127.0.0.1", "port": self.server.port, "security": "none", **config}
        return json.dumps({"name": "Relay", "provider": "smtp", "health_check_interval_minutes": 5, "config": given})

    @property
    def asked(self) -> int:
        return bytes(self.server.got).count(b"RCPT TO:")


@pytest.fixture
def relay() -> Iterator[Relay]:
    found = Relay()
    with raw_server(speaking(found.replies)) as found.server:
        yield found


ADDRESSES = {"from_email": "app@ours.example", "probe_recipient": "postmaster@else.example"}


def due(intctl: Intctl) -> dict[str, Any]:
    """Run a pass in which everything is due. Return the newest log."""
    with connect(intctl.target) as database:
        database.run("UPDATE integration_schedules SET next_check_at = {now}")
    intctl("agent", "--once")
    found: dict[str, Any] = intctl("logs", "Relay", "-o", "json").json[0]
    return found


@pytest.mark.case("real F1")
def test_a_relay_is_proven_when_added_and_once_an_hour(intctl: Intctl, relay: Relay) -> None:
    """Passes between ask nothing and keep what was proven; a person's check asks; an edit forgets it."""
    intctl("add", "smtp", "-f", "-", stdin=relay.manifest(**ADDRESSES))
    assert relay.asked == 1
    assert due(intctl)["code"] == "ok"
    asked = relay.asked
    assert asked == 1
    for _ in range(3):
        assert due(intctl)["code"] == "ok"
    assert relay.asked == asked
    with connect(intctl.target) as database:
        for row in database.rows("SELECT id, metadata FROM integration_health_logs"):
            row["metadata"]["facts"]["relay_asked_at"] = "2026-01-01T00:00:00+00:00"
            database.run("UPDATE integration_health_logs SET metadata = :metadata WHERE id = :id", row)
    due(intctl)
    assert relay.asked == asked + 1
    intctl("check", "Relay")
    assert relay.asked == asked + 2
    intctl("edit", "Relay", "--set", "helo_name=a.example", "--no-test")
    due(intctl)
    assert relay.asked == asked + 3


@pytest.mark.case("real F1")
def test_a_relay_that_refuses_is_not_added(intctl: Intctl, relay: Relay) -> None:
    """What was healthy by EHLO and NOOP alone is now the server's refusal."""
    relay.replies["RCPT"] = "554 5.7.1 <postmaster@else.example>: Relay access denied"
    said = intctl("add", "smtp", "-f", "-", stdin=relay.manifest(**ADDRESSES), code=1).err
    assert "554 5.7.1 <postmaster@else.example>: Relay access denied" in said
    assert intctl("list", "-o", "json").json == []


@pytest.mark.case("real F1")
def test_a_refusal_is_not_forgotten_between_two_questions(intctl: Intctl, relay: Relay) -> None:
    """After a refusal each check asks: EHLO alone would turn it green. It is asked less and less often."""
    intctl("add", "smtp", "-f", "-", stdin=relay.manifest(**ADDRESSES))
    relay.replies["RCPT"] = "554 5.7.1 Relay access denied"
    intctl("check", "Relay", code=1)
    for _ in range(2):
        asked = relay.asked
        assert due(intctl)["code"] == "relay.denied"
        assert relay.asked == asked + 1
    with connect(intctl.target) as database:
        (row,) = database.rows("SELECT next_check_at, {now} AS now_at FROM integration_schedules")
    assert row["next_check_at"] is None or (row["next_check_at"] - row["now_at"]).total_seconds() > 900
    relay.replies.clear()
    intctl("reconnect", "Relay")
    assert due(intctl)["code"] == "ok"


@pytest.mark.case("real F1")
def test_a_relay_without_a_probe_recipient_is_degraded(intctl: Intctl, relay: Relay) -> None:
    """It is saved, and says what is missing."""
    said = intctl("add", "smtp", "-f", "-", stdin=relay.manifest(from_email="app@ours.example"))
    assert "probe_recipient" in said.out + said.err
    assert due(intctl)["code"] == "relay.unproven"
    found = due(intctl)
    assert (found["code"], "probe_recipient is not set" in found["error_message"]) == ("relay.unproven", True)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"probe_recipient": "x@else.example"}, "requires a sender"),
        ({"probe_recipient": "x@OURS.example", "from_email": "app@ours.example"}, "another domain"),
        ({**ADDRESSES, "username": "u", "password": {"env": "MAIL_PASSWORD"}}, "only a relay without a login"),
        ({**ADDRESSES, "helo_name": "a b"}, "helo_name"),
    ],
)
def test_addresses_that_prove_nothing_are_refused(
    intctl: Intctl, relay: Relay, config: dict[str, Any], words: str
) -> None:
    """Before anything is sent."""
    ran = intctl("add", "smtp", "-f", "-", stdin=relay.manifest(**config), code=2, MAIL_PASSWORD="geheim123")
    assert words in ran.err
    assert relay.server.connections == 0


SENT = [
    ({}, 0, "was accepted (250 ok)"),
    ({"MAIL": "450 4.1.8 Sender address rejected: Domain not found"}, 1, "was not accepted at MAIL, and nothing"),
    ({"RCPT": "450 4.2.0 Greylisted"}, 1, "was not accepted at RCPT, and nothing was sent"),
    ({"RCPT": "554 5.7.1 Relay access denied"}, 1, "was not accepted at RCPT, and nothing was sent"),
    ({"DATA": "452 4.3.1 Insufficient system storage"}, 1, "was not accepted at DATA, and nothing was sent"),
    ({"EHLO": "550 no", "HELO": "550 no"}, 1, "was not sent"),
]


@pytest.mark.case("real F5")
@pytest.mark.case("F05")
@pytest.mark.parametrize(("replies", "code", "words"), SENT)
def test_a_test_mail_that_was_not_taken_is_no_success(
    intctl: Intctl, relay: Relay, replies: dict[str, str], code: int, words: str
) -> None:
    """Exit code 0 means that the server took the mail; else the step is named."""
    relay.replies |= {"DATA": "354 go on", ".": "250 ok", **replies}
    stdin = relay.manifest(**ADDRESSES)
    ran = intctl("test", "-f", "-", "--send-to", "you@else.example", stdin=stdin, code=code)
    assert f"the test mail to you@else.example {words}" in ran.err


def test_a_login_is_asked_no_such_question(intctl: Intctl, email: MailHost) -> None:
    """With a login, neither sender nor recipient is named."""
    assert intctl("check", "Email", "-o", "json").json[0]["facts"].keys().isdisjoint({"relay_asked_at"})
