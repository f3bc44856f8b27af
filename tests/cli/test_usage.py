"""Recorded usage in show, metrics and the dashboard, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from intctl.db.connect import connect
from intctl.render.dashboard import dashboard_page
from intctl.sandbox import Sandbox
from intctl.sandbox.manifests import manifests
from intctl.store import clock, integrations
from intctl.store.stats import Stats
from intctl.store.usages import Usage, usages
from intctl.views.maintenance import Listed
from intctl.views.overview import Overview

from .. import records
from ..conftest import ORG_ID
from ..records import NOW
from ..test_metrics import add_integration, add_log
from .conftest import CANARY, Intctl, MailHost

USAGE: dict[str, Any] = {
    "kind": "quota", "used": 247, "limit": 25000, "remaining": 24753, "percent": 0, "period": "day", "unit": "emails",
}  # fmt: skip
HIGH = {**USAGE, "used": 21340, "remaining": 3660, "percent": 85}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("box"), faults={"brevo": "quota.high", "plivo": "balance.empty"}) as box:
        yield box


def environ(box: Sandbox) -> dict[str, Any]:
    """The variables of all manifests, as keywords of `intctl(…)`."""
    return {**box.environ()}


def added(intctl: Intctl, box: Sandbox, *names: str) -> None:
    texts = manifests(box)
    for name in names:
        intctl("add", name, "-f", "-", stdin=texts[name], **environ(box))


def line(page: str, label: str) -> str:
    """The value of this label on a page."""
    (found,) = [one.strip() for one in page.splitlines() if one.startswith(f"  {label}  ")]
    return found.removeprefix(label).strip()


def test_a_check_records_what_the_vendor_tells(intctl: Intctl, box: Sandbox) -> None:
    """add and check store usage; show, metrics and the dashboard show the newest, with its time."""
    added(intctl, box, "mailgun", "brevo", "plivo", "zoom")
    ran = intctl("check", "Brevo", "-o", "json", **environ(box))
    (row,) = ran.json
    assert (row["verdict"], row["code"]) == ("degraded", "quota.high")
    assert row["message"].endswith("255 of 300 emails today are used (85 %)")
    shown = intctl("show", "Brevo", "-o", "json").json
    as_of = shown["usage"].pop("as_of")
    assert shown["usage"] == {
        "kind": "quota",
        "used": 255,
        "limit": 300,
        "remaining": 45,
        "percent": 85,
        "period": "day",
        "unit": "emails",
    }
    assert list(shown["usage"]) == ["kind", "used", "limit", "remaining", "percent", "period", "unit"]
    assert datetime.fromisoformat(as_of) and "usage" not in shown["facts"]
    assert line(intctl("show", "Brevo").out, "Usage") == "255 of 300 emails today (85 %)"
    told = {row["integration"]: row["usage"] for row in intctl("metrics", "-o", "json").json}
    assert {name: one and one["percent"] for name, one in told.items()} == {
        "Brevo": 85,
        "Mailgun": 2,
        "Plivo": None,
        "Zoom": None,
    }
    assert told["Zoom"] is None and told["Plivo"]["unit"] == "credits"
    assert "255 of 300 emails today (85 %), " in intctl("metrics", "Brevo").out
    assert "Usage" not in intctl("metrics", "Zoom").out
    lines = intctl("dashboard").out.partition("ALL INTEGRATIONS")[2].splitlines()
    under = {above.split()[1]: below for above, below in pairwise(lines) if "Active" in above}
    assert under["Brevo"] == "   Usage: 255 of 300 emails today (85 %)"
    assert under["Plivo"] == "   Usage: balance 0.00 credits"
    assert lines[-1].split()[1] == "Zoom"
    assert set(intctl("list", "-o", "json").json[0]) & {"usage", "facts"} == set()


def test_the_newest_figures_of_the_config_as_it_is(intctl: Intctl) -> None:
    """Usage of the newest check, or else of the last success; none from before an edit, none malformed."""
    with connect(intctl.target) as database:
        ids = {name: add_integration(database, name) for name in ("Newest", "Failing", "Used up", "Edited", "Odd")}
        version = integrations.find(database, ORG_ID, "Newest").config_version

        def log(name: str, status: str, seconds_ago: int, usage: object, version: int = version) -> None:
            add_log(
                database,
                ids[name],
                status,
                1,
                seconds_ago=seconds_ago,
                config_version=version,
                facts={"usage": usage, "http_status": 200} if usage else {},
            )

        log("Newest", "success", 60, HIGH)
        log("Newest", "success", 120, USAGE)
        log("Failing", "failure", 60, None)
        log("Failing", "success", 3600, HIGH)
        log("Used up", "failure", 60, HIGH)
        log("Used up", "success", 120, USAGE)
        log("Edited", "success", 60, HIGH, version - 1)
        log("Odd", "success", 60, {**HIGH, "used": "many"})
        found = usages(database, ORG_ID)
        assert {name: getattr(found.get(id), "percent", None) for name, id in ids.items()} == {
            "Newest": 85,
            "Failing": 85,
            "Used up": 85,
            "Edited": None,
            "Odd": None,
        }
        assert usages(database, ORG_ID, id=ids["Failing"]).keys() == {ids["Failing"]}
        assert usages(database, ORG_ID.replace("0a", "0b")) == {}
        age = clock.now(database) - found[ids["Failing"]].as_of
        assert 3000 < age.total_seconds() < 4200
        database.run("UPDATE integrations SET last_health_check = {now} WHERE id = :id", {"id": ids["Failing"]})
    assert line(intctl("show", "Failing").out, "Usage") == "21,340 of 25,000 emails today (85 %), 1 hour ago"


def test_quota_used_up_is_an_error_with_an_alert(intctl: Intctl, tmp_path: Path) -> None:
    """An exhausted quota: add does not save; a later check finds an error with an alert."""
    for place, faults in enumerate(({}, {"resend": "quota.exhausted"})):
        folder = tmp_path / str(place)
        folder.mkdir()
        with Sandbox(folder, faults=faults) as box:
            text = manifests(box)["resend"].replace("Resend", f"Resend {place}", 1)
            ran = intctl("add", "resend", "-f", "-", stdin=text, code=place and 1, **environ(box))
            if place:
                assert "100 of 100 emails today are used (100 %)" in ran.err + ran.out
                intctl("add", "resend", "-f", "-", "--no-test", stdin=text, **environ(box))
                intctl("check", "Resend 1", code=1, **environ(box))
    (alert,) = intctl("alerts", "-o", "json").json
    assert (alert["name"], alert["code"], alert["impact"]) == ("Resend 1", "quota.exhausted", "Emails not sending")
    assert intctl("show", "Resend 1", "-o", "json").json["usage"]["remaining"] == 0
    assert "100 of 100" in intctl("dashboard").out


def test_own_limits_are_shown_as_what_they_are(intctl: Intctl, email: MailHost) -> None:
    """The limits of the config are shown as not counted, and never as usage."""
    text = intctl("show", "Email").out
    said = "at most 1,000 per hour, 25,000 per day by the config (intctl does not count sent mail)"
    assert line(text, "Own limits") == said and "Usage" not in text
    assert intctl("show", "Email", "-o", "json").json["usage"] is None
    intctl("edit", "Email", "-f", "-", stdin=email.manifest(max_emails_per_hour=None), MAIL_PASSWORD=CANARY)
    assert "at most 25,000 per day by the config" in intctl("show", "Email").out


@pytest.mark.parametrize("plain", [True, False])
def test_the_dashboard_puts_each_usage_under_its_integration(plain: bool) -> None:
    """Usage is one line below its row, for any order, icons and width, never wider than the terminal."""
    stored = [records.integration(id=name, name=name, last_health_check=NOW, last_success_at=NOW) for name in "ABC"]
    view = Overview(
        organisation="Acme",
        now=NOW,
        stats=Stats(total=3, active=3, error=0, disabled=0),
        alerts=[],
        integrations=[Listed(one) for one in stored],
        usages={name: Usage(**USAGE, as_of=NOW) for name in ("A", "C")},
    )
    for width in (None, 30):
        text = dashboard_page(view, width=width, plain=plain)
        lines = text.partition("ALL INTEGRATIONS\n")[2].splitlines()
        assert len(lines) == 7 and text.endswith("\n") and not text.endswith("\n\n")
        said = "   Usage: 247 of 25,000 emails today (0 %)"[:width]
        assert [lines[3], lines[6]] == [said, said]
        assert " B " in f" {lines[4]} " or "B" in lines[4]
        assert "C" in lines[5]
