"""Integrations that cannot be checked are reported: alerts, a lost keyring, a monitoring plugin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from intctl import keyring

from .conftest import CANARY, Intctl, MailHost


def test_what_cannot_be_checked_is_an_alert(intctl: Intctl, email: MailHost) -> None:
    """Enabled and unknown: shown by alerts and dashboard, with exit code 1, but never as a failure."""
    assert intctl("alerts", "--exit-code").out == "No alerts: nothing is in error.\n"
    (intctl.home / "keyring.json").unlink()
    keyring.write_file(intctl.home / "keyring.json", [keyring.new_key()])
    intctl("check", "Email", code=1)
    (alert,) = intctl("alerts", "--exit-code", "-o", "json", code=1).json
    assert (alert["verdict"], alert["code"], alert["impact"]) == (
        "unknown",
        "self.key_missing",
        "Unknown: it cannot be checked",
    )
    assert "⚪ Email: The key that this config is sealed with is not in the keyring" in intctl("dashboard").out
    assert intctl("list", "-o", "json").json[0]["status"] == "active"


def test_an_alert_tells_of_one_failure(intctl: Intctl, email: MailHost) -> None:
    """Message, cause and next step come from the failure, even if a later check had no result."""
    email.server.users["apikey"] = "changed"
    intctl("check", "Email", code=1)
    (intctl.home / "keyring.json").unlink()
    keyring.write_file(intctl.home / "keyring.json", [keyring.new_key()])
    intctl("check", "Email", code=1)
    (alert,) = intctl("alerts", "-o", "json").json
    assert alert["code"] == "smtp.auth.rejected" and "password" in alert["message"]


def test_a_lost_keyring_is_not_replaced_in_silence(intctl: Intctl, email: MailHost) -> None:
    """If sealed rows exist, init creates no second keyring, and apply seals nothing with another key."""
    path = intctl.home / "keyring.json"
    kid = keyring.read_file(path).primary.kid
    path.unlink()
    ran = intctl("init", code=6)
    assert kid in ran.err and "--new-key" in ran.err
    assert not path.exists()
    assert intctl("init", "--new-key").out.count("Keyring: created") == 1
    manifest = email.manifest(from_name="Other")
    assert kid in intctl("apply", "-f", "-", stdin=manifest, code=6, MAIL_PASSWORD=CANARY).err
    intctl("edit", "Email", "-f", "-", stdin=manifest, MAIL_PASSWORD=CANARY)
    intctl("check", "Email")


@pytest.mark.parametrize("words", [("nobody",), ("--all", "x"), ()])
def test_a_plugin_always_answers_on_standard_output(intctl: Intctl, words: tuple[str, ...]) -> None:
    """--nagios prints one line and exits 0 to 3, whatever the error."""
    ran = intctl("check", "--nagios", *words, code=3)
    assert ran.out.startswith("INTCTL UNKNOWN - ") and ran.out.count("\n") == 1


def test_a_plugin_without_a_database(intctl: Intctl) -> None:
    """A missing database is UNKNOWN."""
    ran = intctl("check", "--nagios", "--all", code=3, INTCTL_DATABASE_URL="sqlite:////nowhere/at/all.db")
    assert ran.out.startswith("INTCTL UNKNOWN - ") and "intctl init" in ran.out


def test_a_sync_is_neither_in_the_future_nor_undone(intctl: Intctl, email: MailHost) -> None:
    """A sync in the future is rejected; an older report does not replace a later one."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert "future" in intctl("synced", "Email", "--at", tomorrow, code=2).err
    intctl("synced", "Email", "--at", "2026-01-02T00:00:00Z")
    assert "later sync" in intctl("synced", "Email", "--at", "2026-01-01T00:00:00Z").out
    assert intctl("list", "-o", "json").json[0]["last_sync"].startswith("2026-01-02")


def test_deleted_ones_can_be_listed(intctl: Intctl, email: MailHost) -> None:
    """Deleted integrations can be listed."""
    intctl("delete", "Email", "--yes")
    assert intctl("list", "-o", "name").out == ""
    assert intctl("list", "--deleted", "-o", "name").out == "Email\n"


def test_an_accepted_test_mail_is_said(intctl: Intctl, email: MailHost) -> None:
    """The output of --send-to has the recipient and the server's reply."""
    said = intctl("test", "Email", "--send-to", "you@example.org").err
    assert "the test mail to you@example.org was accepted (250" in said
    intctl("test", "Email", "--send-to", "you@example.org>\r\nX: y", code=2)


def test_a_short_piece_of_an_id_is_no_name(intctl: Intctl, email: MailHost) -> None:
    """An id prefix has at least eight characters: a short typo must not select an integration."""
    id = intctl("list", "-o", "json").json[0]["id"]
    intctl("show", id[:3], code=3)
    intctl("show", id[:8])


def test_the_second_organisation_is_announced(intctl: Intctl) -> None:
    """With two organisations, commands require --org."""
    assert "--org" in intctl("org", "create", "Other").err
    intctl("list", code=2)


def test_a_plugin_does_not_count_what_cannot_be_proven(intctl: Intctl, email: MailHost) -> None:
    """An integration without a known probe is never OK, so it says nothing about the others; alone it is UNKNOWN."""
    manifest = '{"name": "Shelf", "provider": "hireright", "config": {"password": {"env": "K"}}}'
    intctl("add", "hireright", "-f", "-", "--no-test", stdin=manifest, K="geheim-12345")
    ran = intctl("check", "--all", "--nagios")
    assert ran.out.startswith("INTCTL OK - 1 healthy; 1 cannot be proven | ")
    intctl("check", "Shelf", "--nagios", code=3)
