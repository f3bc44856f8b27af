"""Quotas and balances: the usage from vendors' figures, its warnings, and that invalid figures do no harm."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intctl.health.codes import CODES
from intctl.health.outcome import Outcome
from intctl.probes import http, usage
from intctl.probes.reply import Reply
from intctl.probes.spec import Balance, Bearer, ClientCredentials, HttpProbe, Quota, RefreshToken, TokenGrant, Tokens
from intctl.text import Secret
from tests.probes import check
from tests.servers import Answer, Request, http_server

TOKEN = Secret("tok-geheim-123")
DAILY = Quota(used="/used", remaining="/left", limit="/limit", period="day", unit="emails")


def reply(body: object = None, **headers: str) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(200, httpx.Headers({name.replace("_", "-"): text for name, text in headers.items()}), data, False)


def read(*asks: Quota | Balance, body: object = None, **headers: str) -> tuple[dict[str, Any] | None, str]:
    return usage.read(asks, reply(body, **headers), str)


def told(*asks: Quota | Balance, body: object = None, **headers: str) -> str:
    """The usage in words, "" for none."""
    found, _ = read(*asks, body=body, **headers)
    return usage.worded(found) if found else ""


# --- figures


@pytest.mark.parametrize(
    ("value", "figure"),
    [
        (0, 0),
        (247, 247),
        ("247", 247),
        (" 247 ", 247),
        (1.5, 1.5),
        ("12.50", 12.5),
        (3.0, 3),
        ("-0.42", -0.42),
        (10**15, 10**15),
        (10**15 + 1, None),
        (10**400, None),
        (1e300, None),
        (float("inf"), None),
        (float("nan"), None),
        (True, None),
        (None, None),
        ("", None),
        ("1e3", None),
        ("1,000", None),
        ("0x10", None),
        ("٣", None),
        ("1 000", None),
        ("12.", None),
        ("9" * 16, None),
        ("NaN", None),
        ([1], None),
        ({"a": 1}, None),
    ],
)
def test_a_figure_is_a_sane_number(value: object, figure: object) -> None:
    """Numbers and their plain digits are figures; booleans, huge, odd and empty ones are not."""
    found = usage.number(value)
    assert found == figure and type(found) is type(figure)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"used": 247, "limit": 25000}, "247 of 25,000 emails today (0 %)"),
        ({"used": 250, "limit": 25000}, "250 of 25,000 emails today (1 %)"),
        ({"left": 100, "limit": 300}, "200 of 300 emails today (66 %)"),
        ({"used": 299, "limit": 300}, "299 of 300 emails today (99 %)"),
        ({"used": 300, "limit": 300}, "300 of 300 emails today (100 %)"),
        ({"used": 210, "limit": 200}, "210 of 200 emails today (105 %)"),
        ({"used": "7", "limit": "10"}, "7 of 10 emails today (70 %)"),
        ({"used": 7}, "7 emails today"),
        ({"left": 7}, "7 emails left today"),
        ({"used": 0, "limit": 0}, "0 emails today"),
        ({"used": 7, "limit": -1}, "7 emails today"),
        ({"used": -7, "limit": 10}, ""),
        ({"left": 11, "limit": 10}, "11 emails left today"),
        ({"used": None, "limit": 10}, ""),
        ({"limit": 10}, ""),
        ({"used": True, "limit": 10}, ""),
        ([], ""),
        (None, ""),
        (b"<html>", ""),
        (b'{"used": 1e999, "limit": 10}', ""),
        (b'{"used": NaN, "limit": 10}', ""),
    ],
)
def test_what_the_figures_add_up_to(body: object, words: str) -> None:
    """Percentages are rounded down, no limit is no percentage, and contradictions are left out."""
    assert told(DAILY, body=body) == words


def test_percent_is_rounded_down_and_never_over_nothing() -> None:
    """A limit of zero, or none, has no percentage."""
    assert usage.measured(999, None, 1000) == {
        "kind": "quota",
        "used": 999,
        "limit": 1000,
        "remaining": 1,
        "percent": 99,
        "period": None,
        "unit": None,
    }
    over = usage.measured(1200, None, 1000)
    assert over and (over["remaining"], over["percent"]) == (0, 120)
    whole = usage.measured(0.1, None, 0.1)
    assert whole and (whole["percent"], whole["remaining"]) == (100, 0)
    for limit in (0, -5, None, 1e-300):
        found = usage.measured(5, None, limit)
        assert found and (found["limit"], found["percent"], found["remaining"]) == (None, None, None)


@settings(max_examples=200, deadline=None)
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.dictionaries(st.sampled_from(["used", "left", "limit", "per", "currency"]), inner),
        max_leaves=6,
    ),
    header=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=6),
    hard=st.booleans(),
)
def test_whatever_a_vendor_sends_is_judged_or_nothing(body: object, header: str, hard: bool) -> None:
    """Any JSON and any header: no exception, no figure out of bounds, words for it, and a known code."""
    asks = (
        Quota(used="/used", remaining="/left", limit="/limit", period="/per", hard=hard),
        Quota(used="x-used", limit=100, hard=hard),
        Balance("/left", "/currency", stops=hard),
    )
    data = json.dumps(body).encode()
    for probe in (*((one,) for one in asks), asks):
        found, code = usage.read(probe, Reply(200, httpx.Headers({"x-used": header}), data, False), str)
        assert code in CODES
        if found is None:
            assert code == "ok"
            continue
        assert usage.sound(json.loads(json.dumps(found, allow_nan=False)))
        assert usage.worded(found).isprintable() or not str(found["unit"]).isprintable()
        if found["limit"] is not None:
            assert found["limit"] > 0 and found["used"] >= 0 and found["remaining"] >= 0
            assert found["percent"] <= 100 * found["used"] / found["limit"] < found["percent"] + 1


def test_headers_and_published_limits() -> None:
    """A figure may be in a header, and a limit may be a published number until the vendor exceeds it."""
    probe = Quota(used="x-used", limit=100, period="day", unit="emails", hard=True)
    assert told(probe, x_used="85") == "85 of 100 emails today (85 %)"
    assert read(probe, x_used="85")[1] == "quota.high"
    assert told(probe, x_used="250") == "250 emails today"
    assert read(probe, x_used="250")[1] == "ok"
    assert told(probe) == told(probe, x_used="eighty") == told(probe, x_used="8, 5") == ""


def test_of_several_the_tightest_counts() -> None:
    """The quota closest to its limit is reported; conditions include or exclude one."""
    day = Quota(used="x-day", limit=100, period="day", hard=True)
    month = Quota(used="x-month", limit=3000, period="month", hard=True, only_if=("x-day", None))
    paid = Quota(used="x-month", period="month")
    assert told(day, month, paid, x_day="3", x_month="42") == "3 of 100 today (3 %)"
    assert told(day, month, paid, x_day="3", x_month="2900") == "2,900 of 3,000 this month (96 %)"
    assert told(day, month, paid, x_month="42") == "42 this month"
    free = Quota(remaining="/left", limit=300, only_if=("/type", "free"))
    assert told(free, body={"type": "free", "left": 30}) == "270 of 300 (90 %)"
    assert told(free, body={"type": "paid", "left": 30}) == ""


@pytest.mark.parametrize(("word", "said"), [("monthly", " this month"), ("Daily", " today"), ("weekly", ""), (7, "")])
def test_the_vendors_word_for_a_period(word: object, said: str) -> None:
    """An unknown period is omitted."""
    probe = Quota(used="/n", limit="/m", period="/per")
    assert told(probe, body={"n": 1, "m": 2, "per": word}) == f"1 of 2{said} (50 %)"


def test_balances() -> None:
    """A balance is reported with its currency; at zero it is a warning only if the vendor stops sending."""
    probe = Balance("/amount", "/currency", stops=True)
    assert told(probe, body={"amount": "12.50", "currency": "EUR"}) == "balance 12.50 EUR"
    assert told(Balance("/amount", "credits"), body={"amount": 1003}) == "balance 1,003.00 credits"
    assert told(probe, body={"amount": -0.5}) == "balance -0.50"
    assert read(probe, body={"amount": "0.00", "currency": "EUR"})[1] == "balance.empty"
    assert read(probe, body={"amount": 0.01})[1] == "ok"
    assert read(Balance("/amount"), body={"amount": -3})[1] == "ok"
    assert told(probe, body={"amount": "much"}) == ""
    postpaid = Balance("/amount", stops=True, only_if=("/mode", "prepaid"))
    assert read(postpaid, Balance("/amount"), body={"amount": 0, "mode": "postpaid"})[1] == "ok"
    assert read(postpaid, Balance("/amount"), body={"amount": 0, "mode": "prepaid"})[1] == "balance.empty"


# --- verdicts


@pytest.mark.parametrize(
    ("used", "hard", "code"),
    [
        (0, True, "ok"),
        (800, True, "ok"),
        (801, False, "quota.high"),
        (1000, False, "quota.high"),
        (999, True, "quota.high"),
        (1000, True, "quota.exhausted"),
        (1001, True, "quota.exhausted"),
    ],
)
def test_over_80_percent_is_a_warning(used: int, hard: bool, code: str) -> None:
    """Exactly 80 % is not over it; the limit itself is the end only where the vendor refuses what goes beyond."""
    assert read(Quota(used="/n", limit="/m", hard=hard), body={"n": used, "m": 1000})[1] == code


HIGH = usage.measured(21340, None, 25000) or {}


def test_the_message_has_the_figures() -> None:
    """Used and limit, for which period, and the percentage."""
    found = usage.judged(Outcome("ok"), {**HIGH, "period": "day", "unit": "emails"}, "quota.high")
    assert (found.code, found.verdict) == ("quota.high", "degraded")
    assert found.message == ("It works, but little of the quota is left: 21,340 of 25,000 emails today are used (85 %)")
    empty = usage.judged(Outcome("ok"), read(Balance("/a", "EUR", stops=True), body={"a": 0})[0], "balance.empty")
    assert empty.message.endswith("stops sending: balance 0.00 EUR")


@pytest.mark.parametrize(
    ("before", "code", "after"),
    [
        ("ok", "ok", "ok"),
        ("ok", "quota.high", "quota.high"),
        ("ok", "quota.exhausted", "quota.exhausted"),
        ("tls.expires_soon", "quota.high", "tls.expires_soon"),
        ("http.scope_missing", "balance.empty", "http.scope_missing"),
        ("tls.expires_soon", "quota.exhausted", "quota.exhausted"),
        ("server.error", "quota.exhausted", "server.error"),
        ("http.auth.rejected", "quota.high", "http.auth.rejected"),
        ("self.crash", "quota.high", "self.crash"),
    ],
)
def test_a_worse_verdict_stays(before: str, code: str, after: str) -> None:
    """A quota never hides a worse verdict or an earlier warning; the figures are kept if the check succeeded."""
    found = usage.judged(Outcome(before, facts={"a": 1}), HIGH, code)
    assert found.code == after
    assert ("usage" in found.facts) == (CODES[before].verdict in ("healthy", "degraded"))
    assert found.facts["a"] == 1


# --- the exchange


def found(answer: Answer, **changes: Any) -> Outcome:
    with http_server({"/v1/me": answer}) as server:
        return check(HttpProbe(server.url + "/v1/me", Bearer(TOKEN), **changes))


def test_read_from_the_answer_that_proves_the_credential() -> None:
    """One request: the figures come with the proof, in body or headers, and change the verdict."""
    outcome = found(Answer(200, {"used": 9, "limit": 10}), quotas=(DAILY,))
    assert (outcome.code, outcome.verdict) == ("quota.high", "degraded")
    assert outcome.facts["usage"] == {
        "kind": "quota",
        "used": 9,
        "limit": 10,
        "remaining": 1,
        "percent": 90,
        "period": "day",
        "unit": "emails",
    }
    probe = Quota(used="x-used", limit="x-limit", hard=True)
    outcome = found(Answer(200, {}, {"X-Used": "10", "X-Limit": "10"}), quotas=(probe,))
    assert (outcome.code, outcome.verdict) == ("quota.exhausted", "down")
    assert found(Answer(401, {"used": 9, "limit": 10}), quotas=(DAILY,)).code == "http.auth.rejected"
    assert "usage" not in found(Answer(200, {"other": 1}), quotas=(DAILY,)).facts
    assert "usage" not in found(Answer(200, {"used": 1, "limit": 9})).facts


def test_a_secret_in_the_figures_is_masked() -> None:
    """A vendor that repeats the credential as a currency does not get it shown."""
    outcome = found(Answer(200, {"amount": 3, "currency": TOKEN.reveal()}), quotas=(Balance("/amount", "/currency"),))
    assert outcome.facts["usage"]["remaining"] == 3  # type: ignore[index]
    assert "geheim" not in repr(outcome)


def test_one_more_get_with_the_same_credential() -> None:
    """The quota URL gets one request, after the proof and with its credential, not counted in its time."""
    with http_server({"/v1/me": Answer(200, {}), "/quota": Answer(200, {"used": 9, "limit": 10})}) as server:
        probe = HttpProbe(
            server.url + "/v1/me",
            Bearer(TOKEN),
            quotas=(DAILY,),
            quota_url=server.url + "/quota",
            method="POST",
            body_json={"a": 1},
            headers={"X-Version": "3"},
        )
        outcome = check(probe)
        first, second = server.requests
    assert outcome.code == "quota.high"
    assert (first.method, second.method, second.body) == ("POST", "GET", b"")
    assert second.headers["authorization"] == "Bearer tok-geheim-123" and second.headers["x-version"] == "3"


def test_no_quota_is_asked_of_who_did_not_pass() -> None:
    """After a refusal, a throttle or a warning about the key there is no further request."""
    for status in (401, 403, 429, 500):
        with http_server({"/v1/me": Answer(status, {}), "/quota": Answer(200, {"used": 9, "limit": 10})}) as server:
            check(HttpProbe(server.url + "/v1/me", Bearer(TOKEN), quotas=(DAILY,), quota_url=server.url + "/quota"))
            assert {request.path for request in server.requests} == {"/v1/me"}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(401, {}),
        Answer(403, {"used": 9, "limit": 10}),
        Answer(403, {}, {"X-Used": "9", "X-Limit": "10"}),
        Answer(404, {}),
        Answer(429, {}, {"Retry-After": "99"}),
        Answer(500, b"<html>"),
        Answer(200, b"<html>"),
        Answer(200, b""),
        Answer(200, {"used": "many"}),
        Answer(302, {}, {"Location": "https://elsewhere.example/"}),
        Answer(200, [1, 2]),
        Answer(200, {"used": 9, "limit": 10}, {"Content-Encoding": "gzip"}),
    ],
)
def test_not_to_learn_the_quota_is_no_fault(answer: Answer) -> None:
    """For every reply of the quota URL, the verdict, its time and its facts are those of the proof."""
    with http_server({"/v1/me": Answer(200, {}), "/quota": answer}) as server:
        quotas = (DAILY, Quota(used="x-used", limit="x-limit"))
        outcome = check(HttpProbe(server.url + "/v1/me", Bearer(TOKEN), quotas=quotas, quota_url=server.url + "/quota"))
    assert (outcome.code, outcome.retry_after_s, outcome.facts["http_status"]) == ("ok", None, 200)
    assert "usage" not in outcome.facts


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://no.such.host.invalid/", "nonsense", "ftp://127.0.0.1/"])
def test_a_quota_url_that_leads_nowhere_is_no_fault(url: str) -> None:
    """A refused connection, an unknown name and an invalid URL do not change the verdict."""
    with http_server({"/v1/me": Answer(200, {})}) as server:
        outcome = check(HttpProbe(server.url + "/v1/me", Bearer(TOKEN), quotas=(DAILY,), quota_url=url))
    assert (outcome.code, outcome.phase) == ("ok", "api")


def test_a_quota_that_is_not_answered_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent quota URL has its own timeout; at the deadline of the whole check the verdict stays too."""

    def silent(_request: Request) -> Answer:
        time.sleep(3)
        return Answer(200, {"used": 9, "limit": 10})

    for patience, deadline_s in ((0.2, 60.0), (60.0, 1.0)):
        monkeypatch.setattr(http, "QUOTA_PATIENCE_S", patience)
        with http_server({"/v1/me": Answer(200, {}), "/quota": silent}) as server:
            probe = HttpProbe(server.url + "/v1/me", Bearer(TOKEN), quotas=(DAILY,), quota_url=server.url + "/quota")
            outcome = check(probe, deadline_s=deadline_s)
        assert outcome.code == "ok" and "usage" not in outcome.facts


@pytest.mark.parametrize("proof", ["", "/v1/me"])
@pytest.mark.parametrize("status", [200, 401])
def test_no_token_is_asked_for_again(proof: str, status: int) -> None:
    """The access token of the proof is used, the exchange alone or before a call; a refusal spends no other."""
    token = Answer(200, {"access_token": "at-1", "expires_in": 3600})
    routes = {"/token": token, "/v1/me": Answer(200, {}), "/quota": Answer(status, {"used": 9, "limit": 10})}
    for grant in (ClientCredentials, RefreshToken):
        with http_server(routes) as server:
            token_url = server.url + "/token"
            if grant is RefreshToken:
                auth: TokenGrant = RefreshToken(token_url, "client", TOKEN, Secret("rt-geheim"))
            else:
                auth = ClientCredentials(token_url, "client", TOKEN)
            url = server.url + proof if proof else ""
            outcome = check(HttpProbe(url, auth, quotas=(DAILY,), quota_url=server.url + "/quota"))
            paths = [request.path for request in server.requests]
            shown = [r.headers["authorization"] for r in server.requests if r.path == "/quota"]
        assert outcome.code == ("quota.high" if status == 200 else "ok")
        assert outcome.facts.get("token_exchanged", True) is True
        assert paths == ["/token", *filter(None, [proof]), "/quota"]
        assert shown == ["Bearer at-1"]


def test_a_stored_token_is_used_for_both() -> None:
    """A valid stored access token is used for proof and quota, and nothing is exchanged."""

    class Kept:
        async def load(self) -> Tokens:
            return Tokens(Secret("at-kept"), time.time() + 1200)

        async def reserve(self) -> bool:
            return True

        async def save(self, tokens: Tokens) -> Tokens:
            raise AssertionError("nothing is to be saved")

    with http_server({"/v1/me": Answer(200, {}), "/quota": Answer(200, {"used": 9, "limit": 10})}) as server:
        auth = ClientCredentials(server.url + "/token", "client", TOKEN)
        probe = HttpProbe(server.url + "/v1/me", auth, quotas=(DAILY,), quota_url=server.url + "/quota")
        assert check(probe, tokens=Kept()).code == "quota.high"
        shown = [(request.path, request.headers["authorization"]) for request in server.requests]
    assert shown == [("/v1/me", "Bearer at-kept"), ("/quota", "Bearer at-kept")]


# --- stored, and shown


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"kind": "other"},
        {"used": "9"},
        {"used": True},
        {"used": None, "remaining": None, "limit": None},
        {"percent": None},
        {"unit": 7},
        {"period": ["day"]},
        {"limit": 10**20},
        {"more": 1},
    ],
)
def test_what_another_program_stored_is_not_trusted(wrong: dict[str, object]) -> None:
    """Only a well-formed usage is formatted."""
    assert usage.sound(HIGH)
    assert not usage.sound({**HIGH, **wrong} if wrong else {})
