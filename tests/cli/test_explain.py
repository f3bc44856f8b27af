"""The commands explain and troubleshoot: causes, and an exchange phase by phase."""

from __future__ import annotations

import pytest

from intctl.health.codes import CODES
from intctl.providers import catalogue

from ..servers import Answer, http_server
from .conftest import CANARY, Intctl, MailHost


def test_explain_knows_every_code(intctl: Intctl) -> None:
    """Each code is explained alone and in the list, with verdict, actor, meaning, next step and a place in the docs."""
    rows = intctl("explain", "-o", "json").json
    assert [row["code"] for row in rows] == list(CODES)
    assert all(all(row.values()) for row in rows)
    text = intctl("explain", "tls.expired").out
    assert "certificate has expired" in text and "docs/codes.md#tlsexpired" in text
    assert 'did you mean "tls.expired"?' in intctl("explain", "tls.expird", code=3).err


def test_anchors_are_those_of_the_docs() -> None:
    """The anchor in explain matches the heading in docs/codes.md."""
    from pathlib import Path

    from intctl.health.codes import anchor

    text = (Path(__file__).parents[2] / "docs" / "codes.md").read_text("utf-8")
    headings = {line[3:].replace(".", "") for line in text.splitlines() if line.startswith("## ")}
    assert {anchor(code) for code in CODES} == headings


def test_troubleshoot_walks_to_where_it_stopped(intctl: Intctl, email: MailHost) -> None:
    """Each phase has its time and evidence, or is marked as not reached; the steps are numbered."""
    email.server.users["apikey"] = "changed"
    intctl("check", "Email", code=1)
    intctl("check", "Email", code=1)
    logs = intctl("logs", "-o", "json").json
    found = intctl("troubleshoot", "Email", "-o", "json", code=1).json
    assert [(walk["phase"], walk["state"]) for walk in found["phases"]] == [
        ("dns", "done"),
        ("tcp", "done"),
        ("tls", "done"),
        ("greet", "done"),
        ("auth", "stopped here"),
        ("api", "not reached"),
    ]
    assert all(walk["ms"] is not None for walk in found["phases"][:5])
    assert found["code"] == "smtp.auth.rejected"
    assert found["pattern"] == "2 failures in a minute, auth phase: the credential"
    assert "mail.example" in found["phases"][3]["evidence"]["greeting"]
    assert found["phases"][2]["evidence"]["tls_version"].startswith("TLSv1.")
    text = intctl("troubleshoot", "Email", code=1).out
    assert "✗  auth" in text and "  1. " in text and "intctl edit Email --secret password" in text
    assert intctl("logs", "-o", "json").json == logs


def test_troubleshoot_of_a_healthy_one_has_no_steps(intctl: Intctl, email: MailHost) -> None:
    """Healthy: every phase done, nothing to do, exit 0."""
    found = intctl("troubleshoot", "Email", "-o", "json").json
    assert {walk["state"] for walk in found["phases"]} == {"done"}
    assert (found["steps"], found["pattern"], found["status_page"]) == ([], None, None)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(200, {"status": {"indicator": "major", "description": "Partial outage"}}), "Partial outage"),
        (Answer(503, {}), "unknown: the page could not be read (server.error)"),
        (Answer(200, b"<html>"), "unknown: the page could not be read (unexpected.reply)"),
    ],
)
def test_the_status_page_is_asked_only_on_request_and_without_credentials(
    intctl: Intctl, email: MailHost, monkeypatch: pytest.MonkeyPatch, answer: Answer, says: str
) -> None:
    """An unreadable status page is unknown; no credential is sent to it."""
    provider = catalogue.get("sendgrid")
    assert provider is not None
    with http_server({"/status.json": answer}) as page:
        monkeypatch.setattr(type(provider), "status_page", f"{page.url}/status.json")
        intctl("troubleshoot", "Email")
        assert page.requests == []
        found = intctl("troubleshoot", "Email", "--status-page", "-o", "json").json
        assert found["status_page"]["says"] == says
        (request,) = page.requests
        assert "authorization" not in request.headers and CANARY not in repr(request)
    bare = intctl("troubleshoot", "Email", "--status-page").out
    assert "status page says" in bare


def test_without_a_known_status_page_it_says_so(intctl: Intctl, mail_starttls: MailHost) -> None:
    """A provider without a status page is no error."""
    manifest = mail_starttls.manifest().replace('"sendgrid"', '"smtp"')
    intctl("add", "smtp", "-f", "-", stdin=manifest, MAIL_PASSWORD=CANARY)
    found = intctl("troubleshoot", "Email", "--status-page", "-o", "json").json
    assert "no status page is known" in found["status_page"]["says"]
