"""ADMIN-INT-001 to 010: the specification's test cases, on both databases, against real servers."""

from __future__ import annotations

from email import message_from_bytes, policy
from typing import Any

from intctl.db.connect import connect
from intctl.db.url import POSTGRESQL
from intctl.store import configs

from .conftest import CANARY, Intctl, MailHost


def due_now(intctl: Intctl) -> None:
    """Move the clock until every planned check is due."""
    with connect(intctl.target) as database:
        early = "now() - interval '1 second'" if database.dialect == POSTGRESQL else "'2020-01-01T00:00:00.000000Z'"
        database.run(f"UPDATE integration_schedules SET next_check_at = {early} WHERE next_check_at IS NOT NULL")


def listed(intctl: Intctl) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in intctl("list", "-o", "json").json}


def test_admin_int_001_view_dashboard(intctl: Intctl, email: MailHost) -> None:
    """ADMIN-INT-001: the dashboard shows all integrations with their status, counts and alerts."""
    intctl("add", "smtp", "-f", "-", "--no-test", stdin=email.manifest("Unproven"), MAIL_PASSWORD=CANARY)
    intctl("add", "smtp", "-f", "-", "--no-test", stdin=email.manifest("Broken"), MAIL_PASSWORD="wrong")
    intctl("add", "smtp", "-f", "-", stdin=email.manifest("Switched off"), MAIL_PASSWORD=CANARY)
    intctl("toggle", "Switched off", "--off")
    intctl("check", "Broken", code=1)
    text = intctl("dashboard").out
    lines = {line.split("  ")[0].lstrip("📧 "): line for line in text.splitlines() if line.startswith("📧")}
    assert "🟢 Active" in lines["Email"] and "SendGrid" in lines["Email"]
    assert "⚪ Unchecked" in lines["Unproven"] and "never" in lines["Unproven"]
    assert "🔴 Error" in lines["Broken"] and "(check failed)" in lines["Broken"]
    assert "⚪ Disabled" in lines["Switched off"]
    assert "4        2 (50%)   1 (25%)   1 (25%)" in text
    alert = text.partition("CRITICAL ALERTS")[2].partition("ALL INTEGRATIONS")[0]
    assert "🔴 Broken: The mail server refused user name or password" in alert
    assert "Impact: Emails not sending" in alert
    assert "Cause:  smtp.auth.rejected" in alert
    assert "intctl edit Broken --secret password" in alert


def test_admin_int_002_add_smtp(intctl: Intctl, mail: MailHost) -> None:
    """ADMIN-INT-002: an SMTP integration is created after a real login, and stored sealed."""
    ran = intctl("add", "smtp", "-f", "-", stdin=mail.manifest(), MAIL_PASSWORD=CANARY)
    row = listed(intctl)["Email"]
    assert ran.out.startswith(f"Created Email ({row['id']}): healthy, ")
    assert (row["status"], row["verdict"], row["type"], row["provider"]) == ("active", "healthy", "email", "sendgrid")
    assert [(login[1], login[3]) for login in mail.server.logins] == [("apikey", True)]
    with connect(intctl.target) as database:
        config = configs.sealed(database, row_org(intctl))[0].config
    assert isinstance(config, dict)
    assert set(config) == {"v", "alg", "kid", "n", "ct"}


def row_org(intctl: Intctl) -> str:
    return str(intctl("org", "list", "-o", "json").json[0]["id"])


def test_admin_int_002_a_failed_test_saves_nothing(intctl: Intctl, mail: MailHost) -> None:
    """ADMIN-INT-002: a wrong password has its own code, saves nothing and exits 1."""
    ran = intctl("add", "smtp", "-f", "-", stdin=mail.manifest(), code=1, MAIL_PASSWORD="wrong-" + CANARY[::-1])
    assert ran.out == ""
    assert "misconfigured" in ran.err and "smtp.auth.rejected" in ran.err and "Nothing was saved" in ran.err
    assert listed(intctl) == {}


def test_admin_int_003_test_sends_a_real_mail(intctl: Intctl, mail: MailHost) -> None:
    """ADMIN-INT-003: the test mail arrives, from the configured sender."""
    intctl("add", "smtp", "-f", "-", stdin=mail.manifest(), MAIL_PASSWORD=CANARY)
    intctl("test", "Email", "--send-to", "admin@example.org")
    (sent,) = mail.server.mails
    assert (sent.sender, sent.recipients) == ("noreply@company.com", ["admin@example.org"])
    message = message_from_bytes(sent.content, policy=policy.default)
    assert message["From"] == "InTime Staffing <noreply@company.com>"
    assert message["To"] == "admin@example.org"
    assert "intctl" in message["Subject"]
    assert message["Date"] and message["Message-ID"]


def test_admin_int_003_test_writes_nothing(intctl: Intctl, email: MailHost) -> None:
    """ADMIN-INT-003: a test never changes the database, healthy or not."""
    before = listed(intctl), intctl("logs", "-o", "json").json
    (outcome,) = intctl("test", "Email", "-o", "json").json
    assert (outcome["verdict"], outcome["code"], outcome["integration"]) == ("healthy", "ok", "Email")
    intctl("test", "-f", "-", stdin=email.manifest("New"), MAIL_PASSWORD=CANARY)
    intctl("test", "-f", "-", stdin=email.manifest("New"), code=1, MAIL_PASSWORD="wrong")
    assert (listed(intctl), intctl("logs", "-o", "json").json) == before


def test_admin_int_004_view_details(intctl: Intctl, email: MailHost) -> None:
    """ADMIN-INT-004: details show the config with its secrets masked, and the health."""
    text = intctl("show", "Email").out
    assert "********" in text and "healthy (ok)" in text and "InTime Staffing" in text
    shown = intctl("show", "Email", "-o", "json").json
    assert shown["config"]["password"] == "********"
    assert shown["config"]["host"] == email.server.host
    assert (shown["verdict"], shown["metrics"]["checks"], shown["metrics"]["uptime_percent"]) == ("healthy", 1, 100.0)
    assert intctl("show", "Email", "--reveal", code=2).out == ""


def test_admin_int_004_reveal_after_a_yes(intctl: Intctl, email: MailHost) -> None:
    """ADMIN-INT-004: secrets are shown only on request and after confirmation."""
    ran = intctl("show", "Email", "--reveal", "--yes", "-o", "json")
    assert ran.json["config"]["password"] == CANARY
    intctl.said = intctl.said.replace(CANARY, "")


def test_admin_int_005_update_config(intctl: Intctl, email: MailHost) -> None:
    """ADMIN-INT-005: an update is tested again before it is saved."""
    logins = len(email.server.logins)
    intctl("edit", "Email", "--set", "max_emails_per_hour=500")
    assert len(email.server.logins) == logins + 1
    assert intctl("show", "Email", "-o", "json").json["config"]["max_emails_per_hour"] == 500
    ran = intctl("edit", "Email", "--secret", "password", stdin="wrong\n", code=1)
    assert "smtp.auth.rejected" in ran.err
    assert listed(intctl)["Email"]["status"] == "active"
    intctl("check", "Email")
    email.server.users["apikey"] = "a-new-one"
    intctl("edit", "Email", "--secret", "password", stdin="a-new-one\n")
    intctl("check", "Email")


def test_admin_int_006_disable(intctl: Intctl, email: MailHost) -> None:
    """ADMIN-INT-006: a disabled integration is inactive and no pass checks it, until it is enabled."""
    intctl("toggle", "Email", "--off")
    due_now(intctl)
    logins = len(email.server.logins)
    assert intctl("agent", "--once").out == "checked 0\n"
    assert intctl("check", "--all").out == ""
    assert len(email.server.logins) == logins
    assert listed(intctl)["Email"]["status"] == "inactive"
    intctl("toggle", "Email")
    assert intctl("agent", "--once").out == "checked 1: 1 healthy\n"
    assert listed(intctl)["Email"]["status"] == "active"


def test_admin_int_007_view_logs(intctl: Intctl, email: MailHost) -> None:
    """ADMIN-INT-007: the logs show the checks, newest first, with type, verdict, code, phase and time."""
    intctl("check", "Email")
    email.server.users.clear()
    email.server.users["apikey"] = "changed"
    intctl("check", "Email", code=1)
    due_now(intctl)
    intctl("agent", "--once")
    logs = intctl("logs", "Email", "-o", "json").json
    assert [(log["check_type"], log["status"], log["verdict"]) for log in logs] == [
        ("scheduled", "failure", "misconfigured"),
        ("manual", "failure", "misconfigured"),
        ("manual", "success", "healthy"),
        ("auto", "success", "healthy"),
    ]
    assert {log["code"] for log in logs[:2]} == {"smtp.auth.rejected"}
    assert {log["phase"] for log in logs[:2]} == {"auth"}
    assert len(intctl("logs", "--failures", "--limit", "1", "-o", "json").json) == 1
    assert "smtp.auth.rejected" in intctl("logs", "Email").out


def test_admin_int_008_manual_check(intctl: Intctl, email: MailHost) -> None:
    """ADMIN-INT-008: a manual check runs a real exchange and writes a log."""
    logins = len(email.server.logins)
    (outcome,) = intctl("check", "Email", "-o", "json").json
    assert outcome["verdict"] == "healthy" and outcome["phases_ms"].keys() >= {"tcp", "tls", "greet", "auth", "api"}
    assert len(email.server.logins) == logins + 1
    assert intctl("logs", "-o", "json").json[0]["check_type"] == "manual"


def test_admin_int_009_check_all(intctl: Intctl, email: MailHost) -> None:
    """ADMIN-INT-009: all enabled integrations are checked, including those in error; disabled ones are not."""
    for name in ("Second", "Third", "Off"):
        intctl("add", "email", "-f", "-", stdin=email.manifest(name), MAIL_PASSWORD=CANARY)
    intctl("toggle", "Off", "--off")
    intctl("add", "email", "-f", "-", "--no-test", stdin=email.manifest("Wrong"), MAIL_PASSWORD="wrong")
    ran = intctl("check", "--all", "-o", "json", code=1)
    assert {row["integration"]: row["verdict"] for row in ran.json} == {
        "Email": "healthy",
        "Second": "healthy",
        "Third": "healthy",
        "Wrong": "misconfigured",
    }
    assert "Wrong" in {row["integration"] for row in intctl("check", "--all", "-o", "json", code=1).json}


def test_admin_int_010_delete(intctl: Intctl, email: MailHost) -> None:
    """ADMIN-INT-010: deletion is soft: not listed or checked, its name is free, and restore works."""
    intctl("delete", "Email", code=2)
    id = listed(intctl)["Email"]["id"]
    intctl("delete", "Email", "--yes")
    assert listed(intctl) == {}
    intctl("show", "Email", code=3)
    due_now(intctl)
    assert intctl("agent", "--once").out == "checked 0\n"
    intctl("add", "smtp", "-f", "-", stdin=email.manifest(), MAIL_PASSWORD=CANARY)
    assert "already" in intctl("restore", id, code=4).err
    intctl("restore", id, "--as", "Old email")
    assert listed(intctl)["Old email"]["status"] == "inactive"
    assert len(intctl("logs", "Old email", "-o", "json").json) == 1
