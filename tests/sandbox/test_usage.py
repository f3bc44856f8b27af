"""Every provider that reports a quota or a balance, against the vendor's own format in the sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from intctl.probes import usage
from intctl.probes.spec import Balance, HttpProbe, Quota
from intctl.providers import catalogue
from intctl.sandbox import Sandbox
from intctl.sandbox.vendors import VENDORS
from intctl.text import Secret
from tests.probes import check
from tests.servers import Answer, authority, http_server

from .test_contract import Store, asked, items

#: The usage that each vendor of the sandbox reports.
TOLD = {
    "brevo": "3 of 300 emails today (1 %)",
    "hubspot": "247 of 500,000 requests today (0 %)",
    "mailgun": "247 of 10,000 emails this month (2 %)",
    "messagebird": "balance 103.00 euros",
    "pipedrive": "250 of 150,000 API tokens today (0 %)",
    "plivo": "balance 98.13 credits",
    "resend": "3 of 100 emails today (3 %)",
    "salesforce": "18 of 15,000 requests today (0 %)",
    "telnyx": "balance 400.00 USD",
    "twilio": "balance 12.50 USD",
}
#: The usage that is reported with the fault.
FAULTY = {
    ("brevo", "quota.high"): "255 of 300 emails today (85 %)",
    ("hubspot", "quota.high"): "471,000 of 500,000 requests today (94 %)",
    ("mailgun", "quota.high"): "8,534 of 10,000 emails this month (85 %)",
    ("pipedrive", "quota.high"): "141,000 of 150,000 API tokens today (94 %)",
    ("plivo", "balance.empty"): "balance 0.00 credits",
    ("resend", "quota.high"): "85 of 100 emails today (85 %)",
    ("resend", "quota.exhausted"): "100 of 100 emails today (100 %)",
    ("salesforce", "quota.high"): "13,800 of 15,000 requests today (92 %)",
    ("twilio", "balance.empty"): "balance -0.42 USD",
}


def quotas(name: str, box: Sandbox) -> tuple[Quota | Balance, ...]:
    item = items(box).get(name)
    ask = item.provider.probe(item.config) if item else None
    return ask.quotas if isinstance(ask, HttpProbe) else ()


def words(box: Sandbox, *names: str) -> dict[str, str]:
    """The usage that the providers report, and its code unless that is "ok"."""
    probes = {name: item.provider.probe(item.config) for name, item in items(box).items() if name in names}
    found = asked(probes, {name: Store() for name in probes})
    told = {name: outcome.facts.get("usage") for name, outcome in found.items()}
    return {name: usage.worded(one) for name, one in told.items() if isinstance(one, dict)}


def test_every_provider_that_tells_is_told_of_here(box: Sandbox) -> None:
    """All providers that declare a quota read one from the vendor's reply; the others have none."""
    assert {name for name in catalogue.names() if quotas(name, box)} == set(TOLD)
    assert words(box, *catalogue.names()) == TOLD


def test_every_figure_of_a_fault_is_read(tmp_path: Path) -> None:
    """With each provider's quota fault, its code comes with the figures that are wrong."""
    assert {(name, code) for name, vendor in VENDORS.items() for code in vendor.quota_faults} == set(FAULTY)
    for place, code in enumerate(("quota.high", "quota.exhausted", "balance.empty")):
        folder = tmp_path / str(place)
        folder.mkdir()
        expected = {name: told for (name, fault), told in FAULTY.items() if fault == code}
        with Sandbox(folder, faults=dict.fromkeys(expected, code)) as box:
            assert words(box, *expected) == expected


def test_quotas_follow_base_url(box: Sandbox) -> None:
    """No quota request goes to another host than the config's."""
    for name, item in items(box).items():
        ask = item.provider.probe(item.config)
        if isinstance(ask, HttpProbe) and ask.quota_url:
            assert ask.quota_url.startswith(box.url(item.provider.name)), name
            assert ask.quotas


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (
            Answer(
                200,
                {
                    "remain": 24753,
                    "total": 25000,
                    "overage": 0,
                    "used": 247,
                    "last_reset": "2026-01-01",
                    "next_reset": "2026-02-01",
                    "reset_frequency": "monthly",
                },
            ),
            "ok",
            "247 of 25,000 emails this month (0 %)",
        ),
        (
            Answer(200, {"remain": 0, "total": 100, "overage": 20, "used": 120, "reset_frequency": "daily"}),
            "quota.high",
            "120 of 100 emails today (120 %)",
        ),
        (Answer(403, {"errors": [{"field": None, "message": "access forbidden"}]}), "ok", ""),
    ],
)
def test_sendgrid_by_its_api(answer: Answer, code: str, told: str) -> None:
    """SendGrid's credits, which a plan may exceed; a key without access to them stays healthy."""
    provider = catalogue.get("sendgrid")
    assert provider is not None
    scopes = Answer(200, {"scopes": ["mail.send"]})
    with authority() as ca, http_server({"/v3/scopes": scopes, "/v3/user/credits": answer}, ca) as server:
        found = check(provider.probe({"api_key": Secret("SG.k"), "base_url": server.url, "ca_file": ca.file}))
        assert [request.headers["authorization"] for request in server.requests] == ["Bearer SG.k"] * 2
    assert found.code == code
    known = found.facts.get("usage")
    assert (usage.worded(known) if isinstance(known, dict) else "") == told


def test_resend_on_a_paid_plan_tells_what_was_sent() -> None:
    """Without the daily header the limit is unknown, and there is no warning."""
    provider = catalogue.get("resend")
    assert provider is not None
    reply = Answer(200, {"object": "list", "data": []}, {"x-resend-monthly-quota": "2900"})
    with authority() as ca, http_server({"/domains": reply}, ca) as server:
        found = check(provider.probe({"api_key": Secret("re_k"), "base_url": server.url, "ca_file": ca.file}))
    assert found.code == "ok" and isinstance(found.facts["usage"], dict)
    assert usage.worded(found.facts["usage"]) == "2,900 emails this month"
