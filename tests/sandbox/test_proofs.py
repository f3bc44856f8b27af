"""A reply with status 200 proves nothing by itself: each provider requires a field of its own answer."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from intctl.probes import http
from intctl.probes.reply import Judgement, Reply, judge
from intctl.probes.spec import HttpProbe
from intctl.probes.trace import Trace
from intctl.sandbox.box import Sandbox

from .test_contract import asked, items

FOREIGN: dict[str, object] = {
    "an empty object": {},
    "an empty list": [],
    "an OAuth token": {"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "scope": "x"},
    "an OAuth error": {"error": "invalid_token", "error_description": "expired"},
    "an error with a code": {"error": {"code": 429, "message": "limit"}},
    "a list of errors": {"errors": [{"code": "UNAUTHORIZED", "message": "no"}]},
    "a fault": {"Fault": {"Error": [{"Message": "no", "code": "3200"}], "type": "AUTHENTICATION"}},
    "a message": {"message": "Unauthorized", "status": 401, "code": 401},
    "no success": {"success": False, "ok": False, "error": "no"},
    "a status": {"status": "ok", "success": True, "ok": True},
    "a page": {"data": [], "results": [], "items": [], "content": [], "total": 0},
}


#: Both are lists of objects with an id, and nothing else of Greenhouse's users is sure.
ALIKE = {f"{one}: {two}" for one in ("greenhouse", "greenhouse-v1") for two in ("xero", "xero-custom-connection")}


def ways(box: Sandbox) -> Iterator[tuple[str, HttpProbe]]:
    """Each way of each provider that proves its credential by a request to the API."""
    for name, item in items(box).items():
        probe = item.provider.probe(item.config)
        if isinstance(probe, HttpProbe) and probe.url and item.provider.name not in ("http", "caldav", "s3"):
            yield name, probe


def code(probe: HttpProbe, body: object) -> str:
    return judged(probe, probe.expect_status, body)[0]


def judged(probe: HttpProbe, status: int, body: object) -> tuple[str, str]:
    """Code and detail of a reply."""
    reply = Reply(status, {"content-type": "application/json"}, json.dumps(body).encode(), cut=False)
    return judge(probe, reply, Trace(), 1_796_000_000.0)[:2]


@pytest.fixture
def good(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The body that proves each way, as the sandbox gives it."""
    found: dict[str, object] = {}
    probes = dict(ways(box))
    names = {id(probe): name for name, probe in probes.items()}

    def kept(probe: HttpProbe, reply: Reply, trace: Trace, now: float) -> Judgement:
        if reply.status == probe.expect_status and id(probe) in names:
            found[names[id(probe)]] = reply.json()
        return judge(probe, reply, trace, now)

    monkeypatch.setattr(http, "judge", kept)
    assert {outcome.verdict for outcome in asked(probes).values()} == {"healthy"}
    assert found.keys() == probes.keys()
    return found


@pytest.mark.case("vendors S9")
def test_no_foreign_body_is_a_proof(box: Sandbox, good: dict[str, object]) -> None:
    """Neither an empty one, nor an error, nor a token, nor another vendor's; and its own is one."""
    found = dict(ways(box))
    assert len(found) > 35
    provider = {name: item.provider.name for name, item in items(box).items()}
    healthy = []
    for name, probe in found.items():
        bodies = FOREIGN | {other: body for other, body in good.items() if provider[other] != provider[name]}
        healthy += [f"{name}: {what}" for what, body in bodies.items() if code(probe, body) == "ok"]
        assert code(probe, good[name]) == "ok", name
    assert [one for one in healthy if one not in ALIKE] == []


@pytest.mark.case("vendors S3")
def test_an_account_that_may_not_act_is_not_healthy(box: Sandbox) -> None:
    """Checkr's key lives and may not order: with the vendor's reason. Twilio's in each of its forms."""
    found = dict(ways(box))
    account = {"id": "1", "object": "account", "authorized": True, "api_authorized": True}
    assert code(found["checkr"], account) == "ok"
    for fact in ("authorized", "api_authorized"):
        body = {**account, fact: False, "account_deauthorization": {"reason": "nonpayment"}}
        told, detail = judged(found["checkr"], 200, body)
        assert (told, detail) == ("http.account_inactive", f"it may not order: {fact} is false: nonpayment")
    assert judged(found["twilio"], 403, {"code": 20403})[0] == "http.account_inactive"
    assert judged(found["twilio"], 200, {"sid": "AC1", "status": "suspended"})[0] == "http.account_inactive"


SCOPES = [
    ("ashby", 403, {"errors": ["missing_endpoint_permission"]}),
    ("ashby", 200, {"success": False, "errors": ["missing_endpoint_permission"]}),
    ("bamboohr", 403, {}),
    ("calendly", 403, {"title": "Permission Denied"}),
    ("google", 403, {"error": {"errors": [{"reason": "insufficientPermissions"}]}}),
    ("google", 403, {"error": {"errors": [{"reason": "accessNotConfigured"}]}}),
    ("google", 403, {"error": {"details": [{"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}]}}),
    ("greenhouse", 403, {}),
    ("greenhouse", 200, []),
    ("hibob", 403, {}),
    ("hubspot", 403, {"category": "MISSING_SCOPES", "message": "needs oauth"}),
    ("lever", 403, {}),
    ("linkedin", 403, {}),
    ("microsoft", 403, {}),
    ("paychex", 403, {}),
    ("pipedrive", 403, {}),
    ("quickbooks", 403, {}),
    ("resend", 401, {"name": "restricted_api_key"}),
    ("rippling", 403, {}),
    ("sendgrid-api", 403, {}),
    ("slack", 200, {"ok": False, "error": "missing_scope"}),
    ("smartrecruiters", 403, {}),
    ("telnyx", 403, {"errors": [{"code": "10010"}]}),
    ("twilio-api-key", 401, {"code": 70051}),
    ("ukg-hcm", 403, {}),
    ("zoom", 401, {"code": 4700}),
    ("zoom", 400, {"code": 4711}),
]


@pytest.mark.case("vendors S8")
@pytest.mark.parametrize(("name", "status", "body"), SCOPES)
def test_a_missing_permission_is_no_refusal(box: Sandbox, name: str, status: int, body: object) -> None:
    """The vendor says that the key lives: degraded, so that a narrow key can be provisioned."""
    assert judged(dict(ways(box))[name], status, body)[0] == "http.scope_missing"


@pytest.mark.case("vendors S2")
def test_a_wrong_key_of_ashby_is_told_by_403(box: Sandbox) -> None:
    """403 without the word about a permission; and other vendors' words for a wrong key."""
    found = dict(ways(box))
    assert judged(found["ashby"], 403, {"errors": ["invalid"]})[0] == "http.auth.rejected"
    assert judged(found["postmark"], 422, {"ErrorCode": 10})[0] == "http.auth.rejected"
    assert judged(found["resend"], 400, {"message": "API key is invalid"})[0] == "http.auth.rejected"
    for error in ("internal_error", "fatal_error", "service_unavailable"):
        assert judged(found["slack"], 200, {"ok": False, "error": error})[0] == "server.error"
