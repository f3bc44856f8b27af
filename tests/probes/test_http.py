"""HTTP: the request sent, the meaning of a reply, and the facts kept."""

from __future__ import annotations

import asyncio
import base64
import gzip
import time
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from intctl import __version__
from intctl.probes.http import Transport
from intctl.probes.network import Network
from intctl.probes.reply import MISSING, retry_after, value_at
from intctl.probes.spec import Answer as Special
from intctl.probes.spec import Basic, Bearer, Header, HttpProbe
from intctl.probes.tls import context
from intctl.probes.trace import Trace
from intctl.text import MASK, Secret
from tests.probes import check
from tests.servers import Answer, Authority, RawServer, Request, http_server, in_days, raw_server

TOKEN = Secret("tok-geheim-123")


def _found(answer: Answer, **changes: Any) -> Any:
    """The outcome of a bearer probe against this answer."""
    with http_server({"/v1/me": answer}) as server:
        return check(HttpProbe(server.url + "/v1/me", Bearer(TOKEN), **changes))


def test_a_good_answer_is_healthy_with_its_facts() -> None:
    """The expected status and JSON is healthy; only pointed-at scalars are kept of the body."""
    body = {"account": {"name": "Acme\x1b[31m", "quota": [7]}, "secret": "in the body", "admin": True}
    facts = {
        "account": "/account/name",
        "quota": "/account/quota/0",
        "whole": "/account",
        "none": "/x",
        "admin": "/admin",
    }
    outcome = _found(Answer(200, body), facts=facts, require=("/account",), expect_json={"/account/quota/0": 7})
    assert (outcome.code, outcome.phase, outcome.verdict) == ("ok", "api", "healthy")
    assert set(outcome.phases_ms) == {"dns", "tcp", "api"}
    assert outcome.facts == {
        "address": "127.0.0.1",
        "http_status": 200,
        "account": "Acme[31m",
        "quota": 7,
        "admin": True,
    }


@pytest.mark.parametrize("figure", ["1" + "0" * 400, "1e999"])
def test_a_figure_beyond_all_measure_is_no_fact(figure: str) -> None:
    """An integer of 400 digits, and what Python reads as infinity, are left out; the verdict stays."""
    outcome = _found(Answer(200, f'{{"balance": {figure}, "more": 1}}'.encode()), facts={"b": "/balance", "m": "/more"})
    assert outcome.code == "ok" and "b" not in outcome.facts and outcome.facts["m"] == 1


def test_what_is_sent() -> None:
    """One request that names intctl, asks for no compression, closes, and has the credential; nothing else."""
    with http_server({"/v1/me": Answer(200, {})}) as server:
        probe = HttpProbe(server.url + "/v1/me?a=b%20c", Bearer(TOKEN), headers={"X-Version": "3"})
        assert check(probe).code == "ok"
        (request,) = server.requests
    assert (request.method, request.target, request.body) == ("GET", "/v1/me?a=b%20c", b"")
    assert request.headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": f"intctl/{__version__}",
        "accept": "application/json, */*;q=0.5",
        "accept-encoding": "identity",
        "connection": "close",
        "x-version": "3",
        "authorization": "Bearer tok-geheim-123",
    }


@pytest.mark.parametrize(
    ("auth", "name", "value"),
    [
        (
            Basic("user", Secret("pass:wört")),
            "authorization",
            "Basic " + base64.b64encode("user:pass:wört".encode()).decode(),
        ),
        (Basic(Secret("sk_1"), ""), "authorization", "Basic " + base64.b64encode(b"sk_1:").decode()),
        (Header("X-Server-Token", TOKEN), "x-server-token", "tok-geheim-123"),
    ],
)
def test_the_credential_in_its_place(auth: Any, name: str, value: str) -> None:
    """Each scheme puts the credential where the provider looks for it."""
    with http_server({"/": Answer(200, {})}) as server:
        assert check(HttpProbe(server.url + "/", auth)).code == "ok"
        assert server.requests[0].headers[name] == value


@pytest.mark.parametrize("secret", ["two\nlines", "nul\x00", "a\ud800b"])
def test_a_credential_that_no_header_can_carry_is_not_sent(secret: str) -> None:
    """A line break or a non-ASCII character in a token is reported as such, before any connection."""
    with http_server({"/": Answer(200, {})}) as server:
        outcome = check(HttpProbe(server.url + "/", Header("X-Token", Secret(secret))))
        assert (outcome.code, outcome.verdict) == ("credential.malformed", "misconfigured")
        assert server.requests == []
    assert secret not in repr(outcome)


@pytest.mark.parametrize(
    ("status", "code", "verdict"),
    [
        (401, "http.auth.rejected", "misconfigured"),
        (403, "http.forbidden", "down"),
        (404, "not.found", "misconfigured"),
        (410, "not.found", "misconfigured"),
        (429, "http.rate_limited", "degraded"),
        (500, "server.error", "down"),
        (503, "server.error", "down"),
        (204, "unexpected.reply", "down"),
        (400, "unexpected.reply", "down"),
        (301, "redirect.refused", "down"),
        (302, "redirect.refused", "down"),
        (304, "unexpected.reply", "down"),
    ],
)
def test_each_status_has_its_meaning(status: int, code: str, verdict: str) -> None:
    """A status other than the expected one has its own code, in the api phase, without a retry."""
    with http_server({"/": Answer(status, {"error": "tok-geheim-123"})}) as server:
        outcome = check(HttpProbe(server.url + "/", Bearer(TOKEN)))
        assert len(server.requests) == 1
    assert (outcome.code, outcome.verdict, outcome.phase) == (code, verdict, "api")
    assert outcome.facts["http_status"] == status
    assert "geheim" not in repr(outcome)


@pytest.mark.parametrize("status", [401, 301, 404, 500])
def test_an_expected_status_is_honoured(status: int) -> None:
    """Whatever status the probe expects is the healthy one."""
    assert _found(Answer(status, {}), expect_status=status).code == "ok"


def test_a_redirect_is_not_followed() -> None:
    """The redirect's target gets no request; it is shown without its query and without the secret."""
    with http_server({"/": Answer(200, {})}) as elsewhere:
        location = f"{elsewhere.url}/tok-geheim-123\x07?session=abc"
        outcome = _found(Answer(302, None, {"Location": location}))
        assert elsewhere.requests == []
    assert outcome.code == "redirect.refused"
    assert outcome.detail == f"HTTP 302 to {elsewhere.url}/********"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("99999999999", 3600),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1e3", None),
        ("١٢", None),
    ],
)
def test_retry_after_is_kept_within_reason(header: str, seconds: int | None) -> None:
    """Retry-After is respected from zero to an hour, and ignored if invalid."""
    assert _found(Answer(429, {}, {"Retry-After": header} if header.isascii() else {})).retry_after_s == (
        seconds if header.isascii() else None
    )
    assert retry_after(header, 0.0) == seconds


def test_retry_after_as_a_date() -> None:
    """An HTTP date counts from the clock of this machine; one that has passed means at once."""
    now = 1_700_000_000.0
    assert retry_after(formatdate(now + 90, usegmt=True), now) == 90
    assert retry_after(formatdate(now - 90, usegmt=True), now) == 0
    assert retry_after("Sun, 99 Foo 2026 99:99:99 GMT", now) is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(200, b"<html>Login</html>", {"Content-Type": "text/html"}), "it is a web page, not JSON"),
        (Answer(200, b" <!doctype html>"), "it is a web page, not JSON"),
        (Answer(200, b""), "it is empty"),
        (Answer(200, b"{"), "it is not JSON"),
        (Answer(200, b"\xff\xfe\x00"), "it is not JSON"),
        (Answer(200, b"[" * 60_000), "it is not JSON"),
        (Answer(200, b"9" * 6000), "it is not JSON"),
        (Answer(200, {"ok": False}), "/ok does not have the expected value"),
        (Answer(200, {"ok": 1}), "/ok does not have the expected value"),
        (Answer(200, {}), "/ok is missing"),
        (Answer(200, {"ok": None}), "/ok is missing"),
        (Answer(200, []), "/ok is missing"),
        (Answer(200, None), "/ok is missing"),
    ],
)
def test_a_200_that_says_no(answer: Answer, words: str) -> None:
    """The right status with the wrong body is not healthy, and the body is not shown."""
    outcome = _found(answer, expect_json={"/ok": True}, require=("/ok",))
    assert (outcome.code, outcome.phase, outcome.detail) == ("unexpected.reply", "api", words)


def test_a_body_that_nobody_needs_is_not_judged() -> None:
    """With `json` off the status decides."""
    assert _found(Answer(200, b"<html>"), json=False).code == "ok"


def test_head_has_no_body() -> None:
    """A HEAD probe is judged by its status."""
    assert _found(Answer(200, {"a": 1}), method="HEAD").code == "ok"


def _refused(pointer: str, equals: object, *, unless: bool = False) -> Special:
    return Special(200, "http.auth.rejected", pointer, equals, unless)


def _scope(**how: Any) -> Special:
    return Special(403, "http.scope_missing", "/errors/0/code", **how)


@pytest.mark.parametrize(
    ("special", "answer", "code"),
    [
        (_refused("/error", "invalid_auth"), Answer(200, {"error": "invalid_auth"}), "http.auth.rejected"),
        (_refused("/error", "invalid_auth"), Answer(200, {"error": "x"}), "ok"),
        (_refused("/ok", True, unless=True), Answer(200, {"ok": False}), "http.auth.rejected"),
        (_refused("/ok", True, unless=True), Answer(200, {"ok": True}), "ok"),
        (_refused("/ok", True, unless=True), Answer(200, {}), "ok"),
        (Special(403, "http.scope_missing"), Answer(403, b"no"), "http.scope_missing"),
        (_scope(contains="SCOPE"), Answer(403, {"errors": [{"code": "no scope"}]}), "http.scope_missing"),
        (_scope(contains="scope"), Answer(403, {"errors": [{"code": 5}]}), "http.forbidden"),
        (_scope(equals=5), Answer(403, b"not json"), "http.forbidden"),
        (Special(403, "ok"), Answer(403, {}), "ok"),
        (Special(401, "http.account_inactive"), Answer(403, {}), "http.forbidden"),
    ],
)
def test_a_vendors_own_answers_come_first(special: Special, answer: Answer, code: str) -> None:
    """The first matching answer of the provider's file decides, by status, pointer, value or part of it."""
    outcome = _found(answer, answers=(Special(418, "not.found"), special, Special(200, "ok")))
    assert outcome.code == code


def test_a_vendors_answer_brings_its_sentence_and_its_wait() -> None:
    """Detail and Retry-After of a special answer reach the outcome."""
    special = Special(403, "http.rate_limited", "/e", "quota", detail="the daily quota is used up")
    outcome = _found(Answer(403, {"e": "quota"}, {"Retry-After": "60"}), answers=(special,))
    assert (outcome.code, outcome.detail, outcome.retry_after_s) == (
        "http.rate_limited",
        "the daily quota is used up",
        60,
    )


def test_a_probe_that_passes_without_the_credential_proves_nothing() -> None:
    """The second call carries neither the credential nor a session that the first one opened."""

    def strict(request: Request) -> Answer:
        known = "authorization" in request.headers or "cookie" in request.headers
        return Answer(200 if known else 401, {}, {"Set-Cookie": "session=1; Path=/"})

    for route, proven, code in ((strict, True, "ok"), (Answer(200, {}), False, "credential.unproven")):
        with http_server({"/": route}) as server:
            outcome = check(HttpProbe(server.url + "/", Bearer(TOKEN), compare_without=True))
            assert (outcome.code, outcome.facts["credential_proven"]) == (code, proven)
            assert "authorization" not in server.requests[1].headers
            assert len(server.requests) == 2


@pytest.mark.parametrize("status", [201, 204, 304, 408, 409, 425, 429, 503, 2000])
def test_a_busy_server_refuses_no_credential(status: int) -> None:
    """A failure of the second request that may be unrelated to the credential leaves it unproven."""

    def once(request: Request) -> Answer:
        return Answer(200 if "authorization" in request.headers else status, {})

    with http_server({"/": once}) as server:
        outcome = check(HttpProbe(server.url + "/", Bearer(TOKEN), compare_without=True))
        assert len(server.requests) == 2
    assert outcome.code == "credential.uncompared" and "credential_proven" not in outcome.facts


def test_a_comparison_that_does_not_end_takes_nothing_back() -> None:
    """If the deadline ends the comparison, the successful first request is the result."""

    def hangs(request: Request) -> Answer:
        if "authorization" not in request.headers:
            time.sleep(3.0)
        return Answer(200, {})

    with http_server({"/": hangs}) as server:
        outcome = check(HttpProbe(server.url + "/", Bearer(TOKEN), compare_without=True), deadline_s=1.5)
    assert (outcome.code, outcome.phase) == ("credential.uncompared", "api")


#: So long that less than a third is the secret.
PLACE = "http://127.0.0.1/one/page/to/log/in/for/this/application/and/another/one/that/nobody/reads/at/all/l/"


@pytest.mark.case("security 20")
def test_a_redirect_that_is_mostly_the_secret() -> None:
    """A target that is mostly the secret is left out."""
    with http_server({"/": Answer(302, None, {"Location": "/l/Tok/half/other/half"})}) as server:
        outcome = check(HttpProbe(server.url + "/", Bearer(Secret("Tok/half/other/half"))))
    assert outcome.detail == "HTTP 302, the reply repeated the credential"


@pytest.mark.parametrize("secret", ["Tok/half?other+half", "Tok/half#other+half"])
def test_a_secret_that_a_redirect_repeats(secret: str) -> None:
    """Masked before the target is cut at its query, in each spelling that servers use."""
    once = quote(secret, safe="")
    twice = quote(once, safe="")
    lower = [text.replace("2F", "2f").replace("3F", "3f").replace("2B", "2b") for text in (once, twice)]
    header = base64.b64encode(f"Bearer {secret}".encode()).decode()
    for shown in (secret, once, twice, *lower, secret.encode().hex(), header):
        with http_server({"/": Answer(302, None, {"Location": f"{PLACE}{shown}"})}) as server:
            outcome = check(HttpProbe(server.url + "/", Bearer(Secret(secret))))
        assert outcome.code == "redirect.refused"
        assert outcome.detail.rstrip("=") == f"HTTP 302 to {PLACE}{MASK}", shown


def test_a_wrong_clock_is_seen() -> None:
    """A Date more than a minute off is reported as skew in seconds, this machine's time minus the server's."""
    late = Answer(200, {}, {"Date": formatdate(time.time() - 600, usegmt=True)})
    assert abs(_found(late).facts["clock_skew_s"] - 600) < 30
    assert "clock_skew_s" not in _found(Answer(200, {})).facts
    assert "clock_skew_s" not in _found(Answer(200, {}, {"Date": "yesterday"})).facts


def test_a_credential_stays_off_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over http:// a credential goes to this machine only; elsewhere no connection is made."""
    probe = HttpProbe("http://192.0.2.1/", Bearer(TOKEN))
    outcome = check(probe)
    assert (outcome.code, outcome.verdict, outcome.phase) == ("http.plain", "misconfigured", "dns")
    assert "tcp" not in outcome.phases_ms
    allowed = HttpProbe("http://192.0.2.1/", Bearer(TOKEN), allow_plain_http=True)
    assert check(allowed, deadline_s=0.2).code != "http.plain"
    assert check(HttpProbe("http://192.0.2.1/", None), deadline_s=0.2).code != "http.plain"


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "file:///etc/passwd", "no url", "http://", "http://u:p@127.0.0.1/", "http://[::1/"]
)
def test_a_url_that_cannot_be_asked(url: str) -> None:
    """An invalid http(s) URL is refused before any connection."""
    outcome = check(HttpProbe(url, None))
    assert (outcome.code, outcome.phase) == ("self.config_invalid", "")


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Proxies and netrc of the environment are not used."""
    (tmp_path / ".netrc").write_text("default login x password y\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    with http_server({"/": Answer(200, {})}) as server:
        assert check(HttpProbe(server.url + "/", None)).code == "ok"
        assert "authorization" not in server.requests[0].headers


def test_https_shows_its_certificate(ca: Authority) -> None:
    """A verified connection records protocol, issuer, names and expiry of the certificate."""
    ends = in_days(40).replace(microsecond=0)
    with http_server({"/": Answer(200, {})}, context=ca.server_context("localhost", not_after=ends)) as server:
        outcome = check(HttpProbe(f"https://localhost:{server.port}/", Bearer(TOKEN), ca_file=ca.file))
    assert (outcome.code, outcome.phase) == ("ok", "api")
    assert list(outcome.phases_ms) == ["dns", "tcp", "tls", "api"]
    assert outcome.facts["tls_version"] == "TLSv1.3"
    assert outcome.facts["certificate_not_after"] == ends.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert outcome.facts["certificate_issuer"] == "Test Authority"
    assert outcome.facts["certificate_names"] == ["localhost"]


DOCUMENT: Any = {"a": [1, {"b": None}], "": 5, "x/y": 6, "m~n": 7, "01": 8}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/a/0", 1),
        ("/a/1/b", None),
        ("/", 5),
        ("/x~1y", 6),
        ("/m~0n", 7),
        ("/01", 8),
        ("/a/01", MISSING),
        ("/a/-", MISSING),
        ("/a/9", MISSING),
        ("/a/-1", MISSING),
        ("/a/0/b", MISSING),
        ("a", MISSING),
        ("/a/²", MISSING),
        ("/a/" + "9" * 5000, MISSING),
    ],
)
def test_json_pointers(pointer: str, value: object) -> None:
    """Pointers are RFC 6901's."""
    assert value_at(DOCUMENT, pointer) is value or value_at(DOCUMENT, pointer) == value


def test_the_transport_serves_any_httpx_client() -> None:
    """It is an ordinary httpx transport: a client over it gets status, headers and body."""

    async def fetch(url: str) -> httpx.Response:
        transport = Transport(Network(), Trace(), lambda: context(None), max_body=1024, plain_ok=True)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            return await client.post(url, json={"a": 1})

    with http_server({"/": lambda request: Answer(201, {"echo": request.body.decode()})}) as server:
        response = asyncio.run(fetch(server.url + "/"))
    assert (response.status_code, response.json()) == (201, {"echo": '{"a":1}'})


@pytest.mark.parametrize(
    "bare", [*map(Answer, (400, 401, 403, 404)), Answer(302, None, {"Location": "/login"}), Answer(200, {"ok": 0})]
)
def test_what_refuses_who_has_no_credential(bare: Answer) -> None:
    """A refusal, a redirect to a login page, or a refusal in the body proves that the credential mattered."""

    def answer(request: Request) -> Answer:
        return Answer(200, {"ok": 1}) if "authorization" in request.headers else bare

    with http_server({"/": answer}) as server:
        probe = HttpProbe(server.url + "/", Bearer(TOKEN), compare_without=True, expect_json={"/ok": 1})
        assert (check(probe).code, check(probe).facts["credential_proven"]) == ("ok", True)


@pytest.mark.case("F02")
@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer(403, {"message": "API rate limit exceeded for user"}, {"X-RateLimit-Remaining": "0"}), None),
        (Answer(403, b"", {"Retry-After": "60"}), 60),
        (Answer(403, b"", {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "120"}), 120),
        (Answer(403, b"", {"RateLimit": "limit=100, remaining=0, reset=50"}), None),
        (Answer(403, b"", {"RateLimit": '"default";r=0;t=50'}), None),
        (Answer(403, {"message": "You have exceeded a secondary rate limit"}), None),
        (Answer(403, {"error": {"errors": [{"reason": "rateLimitExceeded"}], "code": 403}}), None),
        (Answer(403, {"error": {"errors": [{"reason": "quotaExceeded"}]}}), None),
        (Answer(403, {"error": {"errors": [{"reason": "dailyLimitExceeded"}]}}), None),
        (Answer(403, {"error": {"errors": [{"reason": "calendarUsageLimitsExceeded"}]}}), None),
        (Answer(403, {"error": {"details": [{"@type": "x", "reason": "RATE_LIMIT_EXCEEDED"}]}}), None),
        (Answer(403, {"error": {"status": "RESOURCE_EXHAUSTED"}}), None),
    ],
)
def test_a_rate_limit_may_be_told_as_403(answer: Answer, seconds: int | None) -> None:
    """It is no refusal, even where a provider states that each 403 is a missing permission."""
    for answers in ((), (Special(403, "http.scope_missing"),)):
        outcome = _found(answer, answers=answers)
        assert (outcome.code, outcome.retry_after_s) == ("http.rate_limited", seconds)


@pytest.mark.case("F02")
@pytest.mark.parametrize(
    "answer",
    [
        Answer(403, {"message": "Forbidden"}),
        Answer(403, b"", {"X-RateLimit-Remaining": "10"}),
        Answer(403, b"", {"RateLimit": "limit=100, remaining=05"}),
        Answer(403, {"message": "IP address not allowed"}, {"X-RateLimit-Reset": "5"}),
        Answer(403, {"error": {"errors": [{"reason": "forbidden"}]}}),
    ],
)
def test_other_403s_are_refusals(answer: Answer) -> None:
    """Headers that each reply has, and other reasons, tell of no limit."""
    assert _found(answer).code == "http.forbidden"


@pytest.mark.case("F10")
@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"HTTP/1.1 401 no\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "http.auth.rejected"),
        (b"HTTP/1.1 401 no\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", "http.auth.rejected"),
        (b"HTTP/1.1 429 no\r\nX/Y: z\r\nContent-Length: 9\r\n\r\n", "http.rate_limited"),
        (b'HTTP/1.1 200 OK\r\nX Y: z\r\nContent-Length: 10\r\n\r\n{"ok": 1}\n', "ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", "protocol.error"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"ok": 1}', "connection.closed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "protocol.error"),
    ],
)
def test_an_odd_reply_is_judged_by_its_status(raw: bytes, code: str) -> None:
    """A refusal stays one; and nothing is healthy without the body that is required."""

    async def serve(reader: Any, writer: Any, server: RawServer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)

    with raw_server(serve) as server:
        probe = HttpProbe(f"http://127.0.0.1:{server.port}/", Bearer(Secret("geheim-123")), require=("/ok",))
        outcome = check(probe)
    assert outcome.code == code
    assert outcome.facts.get("header_lines_dropped", 0) == (b"X/Y" in raw or b"X Y" in raw)


@pytest.mark.case("F23")
def test_a_body_that_was_compressed_unasked_proves_as_much() -> None:
    """Identity was asked for; some servers and proxies compress all the same."""
    body = gzip.compress(b'{"ok": 1}')
    answer = Answer(200, body, {"Content-Encoding": "gzip", "Content-Type": "application/json"})
    assert _found(answer, require=("/ok",)).code == "ok"
    assert _found(answer, require=("/other",)).code == "unexpected.reply"


@pytest.mark.case("real F12")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (b"<center>No required SSL certificate was sent</center>", "tls.client_certificate"),
        (b"<center>The SSL certificate error</center>", "tls.client_certificate"),
        (b"<center>The plain HTTP request was sent to HTTPS port</center>", "tls.from_start"),
        (b"Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />", "tls.from_start"),
        (b"Client sent an HTTP request to an HTTPS server.\n", "tls.from_start"),
        (b"<center>Bad Request</center>", "unexpected.reply"),
    ],
)
def test_a_400_may_speak_of_tls(words: bytes, code: str) -> None:
    """The pages of nginx, Apache and Go."""
    outcome = _found(Answer(400, b"<html>" + words + b"</html>", {"Content-Type": "text/html"}))
    assert outcome.code == code


BASIC, BEARER = Basic("user", Secret("geheim-123")), Bearer(Secret("geheim-123"))


@pytest.mark.case("real F13")
@pytest.mark.parametrize(
    ("auth", "asked", "code"),
    [
        (BASIC, 'Digest realm="a, Basic b", nonce="x", qop="auth"', "auth.method"),
        (BASIC, "Negotiate", "auth.method"),
        (BASIC, "Negotiate, NTLM", "auth.method"),
        (BASIC, 'Bearer realm="api"', "auth.method"),
        (BASIC, 'Digest realm="a", nonce="x", Basic realm="a"', "http.auth.rejected"),
        (BASIC, 'basic realm="a"', "http.auth.rejected"),
        (BASIC, "", "http.auth.rejected"),
        (BEARER, "Digest realm=a, nonce=b", "auth.method"),
        (BEARER, 'Basic realm="api"', "http.auth.rejected"),
        (BEARER, 'Bearer error="invalid_token"', "http.auth.rejected"),
        (BEARER, 'Bearer realm="a", error="insufficient_scope", scope="b"', "http.scope_missing"),
        (Header("X-Key", Secret("geheim-123")), "Digest realm=a", "http.auth.rejected"),
    ],
)
def test_a_401_may_want_another_login(auth: Any, asked: str, code: str) -> None:
    """A right password is refused where the server wants Digest: the password is not to blame."""
    headers = {"WWW-Authenticate": asked} if asked else {}
    with http_server({"/": Answer(401, {}, headers)}) as server:
        assert check(HttpProbe(server.url + "/", auth)).code == code


@pytest.mark.parametrize(
    ("answer", "auth"),
    [
        (Answer(403, b"rate limit exceeded", {"Retry-After": "5"}), BEARER),
        (Answer(401, b"", {"WWW-Authenticate": "Digest realm=a"}), BASIC),
        (Answer(400, b"No required SSL certificate was sent"), BEARER),
    ],
)
def test_an_expected_status_is_no_refusal(answer: Answer, auth: Any) -> None:
    """A config may expect any status: what servers say in their words counts for the others only."""
    with http_server({"/": answer}) as server:
        assert check(HttpProbe(server.url + "/", auth, expect_status=answer.status, json=False)).code == "ok"
