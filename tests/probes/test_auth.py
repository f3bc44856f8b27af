"""OAuth token exchanges, and the tokens stored from them."""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest

from intctl.probes.run import Network, run_probe
from intctl.probes.spec import Answer as Special
from intctl.probes.spec import ClientCredentials, HttpProbe, RefreshToken, Tokens
from intctl.text import Secret
from tests.probes import check
from tests.servers import Answer, HttpServer, Request, Route, http_server

ORIGIN = Secret("refresh-origin")
CLIENT_SECRET = Secret("client-geheim")


class Store:
    """A token store in memory that records the calls in order."""

    def __init__(self, tokens: Tokens | None = None) -> None:
        self.tokens = tokens
        self.saved: list[Tokens] = []
        self.broken = False
        self.winner: Tokens | None = None
        self.slow = 0.0
        self.before_save: list[int] = []
        self.server: HttpServer | None = None

    async def load(self) -> Tokens | None:
        return self.tokens

    async def reserve(self) -> bool:
        return True

    async def save(self, tokens: Tokens) -> Tokens:
        if self.server is not None:
            self.before_save.append(len(self.server.requests))
        await asyncio.sleep(self.slow)
        if self.broken:
            raise RuntimeError("the database's words")
        self.saved.append(tokens)
        self.tokens = self.winner or tokens
        return self.tokens


def _granting(**more: Any) -> Answer:
    return Answer(200, {"access_token": "access-1", "token_type": "Bearer", "expires_in": 3600, **more})


def _api(request: Request) -> Answer:
    right = request.headers.get("authorization", "").startswith("Bearer access-")
    return Answer(200 if right else 401, {})


def _serve(token: Route, api: Route = _api) -> Any:
    return http_server({"/token": token, "/me": api})


def _refresh(server: HttpServer, **changes: Any) -> HttpProbe:
    auth = RefreshToken(server.url + "/token", "client-1", CLIENT_SECRET, ORIGIN)
    return HttpProbe(server.url + "/me", replace(auth, **changes))


def _client(server: HttpServer, url: str = "/me", **changes: Any) -> HttpProbe:
    auth = ClientCredentials(server.url + "/token", "client-1", CLIENT_SECRET)
    return HttpProbe(server.url + url if url else "", replace(auth, **changes))


def _form(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.body.decode(), strict_parsing=True).items()}


def test_client_credentials_in_the_form() -> None:
    """The token request has id and secret in the form, then the API gets the token; each has its phase."""
    with _serve(_granting()) as server:
        outcome = check(_client(server, scope="a b"))
        token, api = server.requests
    assert (outcome.code, outcome.phase) == ("ok", "api")
    assert {"auth", "api"} <= set(outcome.phases_ms)
    assert (token.method, token.headers["accept-encoding"]) == ("POST", "identity")
    assert token.headers["user-agent"].startswith("intctl/")
    assert _form(token) == {
        "grant_type": "client_credentials",
        "scope": "a b",
        "client_id": "client-1",
        "client_secret": "client-geheim",
    }
    assert api.headers["authorization"] == "Bearer access-1"


def test_client_credentials_in_the_header() -> None:
    """With `basic` both halves are form-encoded and neither is in the form."""
    with _serve(_granting()) as server:
        secret = Secret("se:cret/ü")
        assert check(_client(server, client_in="basic", client_secret=secret)).code == "ok"
        token = server.requests[0]
    assert token.headers["authorization"] == "Basic " + base64.b64encode(b"client-1:se%3Acret%2F%C3%BC").decode()
    assert _form(token) == {"grant_type": "client_credentials"}


def test_the_token_exchange_alone_can_be_the_proof() -> None:
    """Without a URL the exchange is the probe, and a stored access token does not replace it."""
    store = Store(Tokens(Secret("access-old"), time.time() + 1500))
    with _serve(_granting()) as server:
        outcome = check(_client(server, ""), tokens=store)
        assert [request.path for request in server.requests] == ["/token"]
    assert (outcome.code, outcome.phase) == ("ok", "auth")


@pytest.mark.case("vendors S10")
@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (Answer(400, {"error": "invalid_client"}), "http.auth.rejected", "invalid_client"),
        (Answer(401, {"error": "invalid_client"}), "http.auth.rejected", "invalid_client"),
        (Answer(401, b"no"), "http.auth.rejected", "HTTP 401"),
        (Answer(400, {"error": "unauthorized_client"}), "oauth.refused", "unauthorized_client"),
        (Answer(400, {"error": "unsupported_grant_type"}), "oauth.refused", "unsupported_grant_type"),
        (Answer(400, {"error": "invalid_request", "error_description": "x"}), "oauth.refused", "invalid_request"),
        (Answer(400, {"message": "client_id=a does not contain a valid client ID suffix"}), "oauth.refused", "suffix"),
        (Answer(400, b"bad"), "unexpected.reply", "HTTP 400"),
        (Answer(503, {"error": "invalid_request"}), "server.error", "HTTP 503"),
        (Answer(429, {"error": "unauthorized_client"}, {"Retry-After": "30"}), "http.rate_limited", "HTTP 429"),
        (Answer(400, {"error": "consent_required"}), "reauthorise", "consent_required"),
        (Answer(401, {"error": "login_required"}), "reauthorise", "login_required"),
        (
            Answer(400, {"error": "interaction_required", "error_description": "AADSTS50076: MFA client-geheim"}),
            "reauthorise",
            "token endpoint: AADSTS50076",
        ),
        (Answer(400, {"error": "invalid_grant"}), "http.auth.rejected", "invalid_grant"),
        (Answer(400, {"error": "invalid_scope"}), "oauth.refused", "invalid_scope"),
        (Answer(400, {"error": "strange client-geheim\x07"}), "oauth.refused", "the reply repeated the credential"),
        (Answer(400, {"error": {"code": 1}}), "oauth.refused", "HTTP 400"),
        (Answer(403, b""), "http.forbidden", "HTTP 403"),
        (Answer(404, b""), "not.found", "HTTP 404"),
        (Answer(429, {}, {"Retry-After": "30"}), "http.rate_limited", "HTTP 429"),
        (Answer(302, {}, {"Location": "http://127.0.0.1:1/?x"}), "redirect.refused", "to http://127.0.0.1:1/"),
        (Answer(502, b"<html>"), "server.error", "HTTP 502"),
        (Answer(200, b"<html>"), "unexpected.reply", "the reply is not JSON"),
        (Answer(200, {}), "unexpected.reply", "no access token"),
        (Answer(200, {"access_token": 5}), "unexpected.reply", "no access token"),
        (
            Answer(400, {"error": "invalid_client", "error_description": "AADSTS7000222: it client-geheim"}),
            "http.auth.rejected",
            "has expired (AADSTS7000222)",
        ),
        (
            Answer(401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid"}),
            "http.auth.rejected",
            "not its ID",
        ),
        (
            Answer(400, {"error": "unauthorized_client", "error_description": "AADSTS700016: App"}),
            "http.auth.rejected",
            "no application",
        ),
        (Answer(400, {"error": "invalid_request", "error_description": "AADSTS90002: Tenant"}), "not.found", "tenant"),
        (
            Answer(400, {"error": "invalid_grant", "error_description": "AADSTS53003: Blocked"}),
            "http.forbidden",
            "AADSTS53003",
        ),
    ],
)
def test_a_refused_exchange(answer: Answer, code: str, words: str) -> None:
    """Each refusal of the token endpoint has its code, in the auth phase; no request to the API, no secret shown."""
    with _serve(answer) as server:
        outcome = check(_client(server))
        assert [request.path for request in server.requests] == ["/token"]
    assert (outcome.code, outcome.phase) == (code, "auth")
    assert words in outcome.detail
    assert "geheim" not in repr(outcome)
    assert outcome.retry_after_s == (30 if code == "http.rate_limited" else None)


def test_a_vendors_answers_hold_for_a_bare_exchange() -> None:
    """If the exchange is the probe, the provider's own answers have priority."""
    with _serve(Answer(400, {"error": "invalid_client", "why": "closed"})) as server:
        probe = replace(_client(server, ""), answers=(Special(400, "http.account_inactive", "/why", "closed"),))
        assert check(probe).code == "http.account_inactive"


@pytest.mark.parametrize("lifetime", ["3600", 3600, 3600.0, 60 * 86400, 1])
def test_a_sane_lifetime_is_no_news(lifetime: object) -> None:
    """A number of seconds, also one written as text, is taken as it is."""
    with _serve(_granting(expires_in=lifetime)) as server:
        store = Store()
        assert check(_client(server), tokens=store).code == "ok"
    left = (store.saved[0].expires_at or 0) - time.time()
    assert 0 < left <= 1800


@pytest.mark.parametrize("lifetime", [None, -1, 0, 10**12, "soon", True, [], "1e999", "nan"])
def test_an_odd_lifetime_is_a_warning(lifetime: object) -> None:
    """An invalid lifetime degrades the verdict, every time: such a token is not stored."""
    body = {"access_token": "access-1"} if lifetime is None else {"access_token": "access-1", "expires_in": lifetime}
    with _serve(Answer(200, body)) as server:
        store = Store()
        outcomes = [check(_client(server), tokens=store) for _ in range(2)]
    assert [(outcome.code, outcome.verdict) for outcome in outcomes] == [("odd.token", "degraded")] * 2
    assert store.saved == []


def test_a_stored_access_token_is_used_while_it_is_good() -> None:
    """A token with more than a minute left is sent to the API without an exchange; an older one is replaced."""
    with _serve(_granting()) as server:
        store = Store(Tokens(Secret("access-old"), time.time() + 120))
        outcome = check(_client(server), tokens=store)
        assert (outcome.code, outcome.facts["token_exchanged"]) == ("ok", False)
        assert [request.path for request in server.requests] == ["/me"]
        store.tokens = Tokens(Secret("access-old"), time.time() + 30)
        assert check(_client(server), tokens=store).facts["token_exchanged"] is True
        assert [request.path for request in server.requests] == ["/me", "/token", "/me"]


def test_a_stored_token_that_died_is_exchanged_once() -> None:
    """A 401 on a stored token gets one fresh exchange; a 401 on a fresh one is the verdict."""
    with _serve(_granting()) as server:
        store = Store(Tokens(Secret("revoked"), time.time() + 1500))
        assert check(_client(server), tokens=store).code == "ok"
        assert [request.path for request in server.requests] == ["/me", "/token", "/me"]
    with _serve(_granting(access_token="wrong")) as server:
        assert check(_client(server), tokens=store).code == "ok"  # the stored one is good
        store.tokens = None
        outcome = check(_client(server), tokens=store)
        assert (outcome.code, outcome.phase) == ("http.auth.rejected", "api")


def test_a_rotated_refresh_token_is_saved_before_its_access_token_is_used() -> None:
    """The successor is durable before the API sees the new access token."""
    with _serve(_granting(refresh_token="refresh-2")) as server:
        store = Store()
        store.server = server
        assert check(_refresh(server), tokens=store).code == "ok"
        assert store.before_save == [1]
        assert _form(server.requests[0])["refresh_token"] == "refresh-origin"
        saved = store.saved[0]
        assert (saved.refresh_token, saved.origin) == (Secret("refresh-2"), ORIGIN)
        store.tokens = replace(saved, access_token=None, expires_at=None)
        assert check(_refresh(server), tokens=store).code == "ok"
        assert _form(server.requests[2])["refresh_token"] == "refresh-2"


def test_a_new_token_in_the_manifest_beats_the_stored_successor() -> None:
    """Tokens that descend from another origin are not used."""
    stored = Tokens(Secret("access-x"), time.time() + 1500, Secret("refresh-9"), Secret("another origin"))
    with _serve(_granting()) as server:
        store = Store(stored)
        assert check(_refresh(server), tokens=store).code == "ok"
        assert _form(server.requests[0])["refresh_token"] == "refresh-origin"
    assert store.saved[0].refresh_token == ORIGIN


def test_a_token_that_cannot_be_saved_is_not_used() -> None:
    """If the store fails the API gets no request, and the verdict blames intctl."""
    with _serve(_granting(refresh_token="refresh-2")) as server:
        store = Store()
        store.broken = True
        outcome = check(_refresh(server), tokens=store)
        assert [request.path for request in server.requests] == ["/token"]
    assert (outcome.code, outcome.verdict, outcome.phase) == ("self.token_not_saved", "unknown", "auth")
    assert "words" not in repr(outcome)


def test_the_winner_of_a_race_is_used() -> None:
    """If another process saved first, its access token is sent to the API."""
    with _serve(_granting(refresh_token="refresh-2")) as server:
        store = Store()
        store.winner = Tokens(Secret("access-winner"), time.time() + 1500, Secret("refresh-3"), ORIGIN)
        assert check(_refresh(server), tokens=store).code == "ok"
        assert server.requests[1].headers["authorization"] == "Bearer access-winner"


def test_a_spent_refresh_token_wants_a_person() -> None:
    """invalid_grant on a refresh token is `reauthorise`, after one call."""
    with _serve(Answer(400, {"error": "invalid_grant"})) as server:
        outcome = check(_refresh(server), tokens=Store())
        assert len(server.requests) == 1
    assert (outcome.code, outcome.verdict, outcome.phase) == ("reauthorise", "down", "auth")


REFUSALS = [
    (Answer(500, {"error": "invalid_grant"}), "server.error", "down", None),
    (Answer(502, b"<html>Bad gateway</html>"), "server.error", "down", None),
    (Answer(503, {}, {"Retry-After": "120"}), "server.error", "down", 120),
    (Answer(429, {"error": "slow_down"}, {"Retry-After": "30"}), "http.rate_limited", "degraded", 30),
    (Answer(429, b"<html>", {"Retry-After": "99999"}), "http.rate_limited", "degraded", 3600),
    (Answer(429, {"error": "invalid_grant"}), "http.rate_limited", "degraded", None),
    (Answer(200, b"<!doctype html><title>Sign in</title>"), "unexpected.reply", "down", None),
    (Answer(200, b""), "unexpected.reply", "down", None),
    (Answer(200, []), "unexpected.reply", "down", None),
    (Answer(200, {"refresh_token": "refresh-2"}), "unexpected.reply", "down", None),
    (Answer(400, {"error": "invalid_grant"}), "reauthorise", "down", None),
    (Answer(401, {"error": "invalid_client"}), "http.auth.rejected", "misconfigured", None),
    (Answer(200, {"access_token": "access-\n1", "expires_in": 60}), "unexpected.reply", "down", None),
]


@pytest.mark.parametrize(("answer", "code", "verdict", "wait"), REFUSALS)
def test_a_refresh_that_yields_nothing(answer: Answer, code: str, verdict: str, wait: int | None) -> None:
    """Each reply without a token has its verdict, code and phase, after one request; the API gets none."""
    with _serve(answer) as server:
        outcome = check(_refresh(server), tokens=Store())
        assert [request.path for request in server.requests] == ["/token"]
    assert (outcome.code, outcome.verdict, outcome.phase, outcome.retry_after_s) == (code, verdict, "auth", wait)
    assert outcome.facts["token_exchanged"] is (b"access-" in answer.written("POST"))


@pytest.mark.parametrize("lifetime", ["-1", "0", "1000000000000", "true", "null", '"soon"', "NaN", "-Infinity", None])
@pytest.mark.parametrize("url", ["/me", ""])
def test_an_odd_lifetime_loses_no_refresh_token(lifetime: str | None, url: str) -> None:
    """Whatever expires_in is, JSON or not: the new refresh token is kept and the verdict is a warning."""
    expires = "" if lifetime is None else f', "expires_in": {lifetime}'
    body = f'{{"access_token": "access-1", "refresh_token": "refresh-2"{expires}}}'.encode()
    store = Store()
    with _serve(Answer(200, body)) as server:
        probe = _refresh(server)
        outcome = check(replace(probe, url=server.url + url if url else ""), tokens=store)
    assert (outcome.code, outcome.verdict) == ("odd.token", "degraded")
    assert outcome.facts["token_exchanged"] is outcome.facts["refresh_token_replaced"] is True
    assert store.tokens == Tokens(None, None, Secret("refresh-2"), ORIGIN)


def test_a_lifetime_written_as_text_is_none_of_them() -> None:
    """ "3600" is how some providers write a number."""
    store = Store()
    with _serve(_granting(expires_in="3600", refresh_token="refresh-2")) as server:
        assert check(_refresh(server), tokens=store).code == "ok"
    assert store.tokens is not None and store.tokens.access_token == Secret("access-1")


def test_a_refresh_token_beside_a_token_that_cannot_be_sent_is_kept() -> None:
    """An access token that cannot be sent is refused after its refresh token, maybe the only valid one, is saved."""
    store = Store()
    with _serve(_granting(access_token="access 1", refresh_token="refresh-2")) as server:
        outcome = check(_refresh(server), tokens=store)
    assert outcome.code == "unexpected.reply"
    assert store.tokens == Tokens(None, None, Secret("refresh-2"), ORIGIN)


def test_a_spent_single_use_token_says_what_may_have_happened() -> None:
    """The detail names both causes, a revoked token and a lost reply, because intctl cannot distinguish them."""
    with _serve(Answer(400, {"error": "invalid_grant"})) as server:
        outcome = check(_refresh(server, single_use=True), tokens=Store())
    assert outcome.detail == "revoked, expired, or used by an exchange whose reply was lost"


def test_a_stored_token_from_the_future_is_not_used() -> None:
    """A clock that was set back does not make an hour longer."""
    with _serve(_granting()) as server:
        store = Store(Tokens(Secret("access-old"), time.time() + 7200))
        assert check(_client(server), tokens=store).facts["token_exchanged"] is True


@pytest.mark.parametrize("minutes", [5, 28, 35, 90])
def test_the_exchange_is_made_at_least_once_an_hour(minutes: int) -> None:
    """Over four hours of checks, exchanges are at most an hour or one interval apart."""
    store, now, exchanges = Store(), [time.time()], []
    start = now[0]
    with _serve(_granting(expires_in=86400)) as server:
        while now[0] < start + 4 * 3600:
            outcome = check(_client(server), tokens=store, network={"clock": lambda: now[0]})
            if outcome.facts["token_exchanged"]:
                exchanges.append(now[0])
            now[0] += minutes * 60
    apart = [later - earlier for earlier, later in itertools.pairwise(exchanges)]
    assert max(apart) <= max(3600, minutes * 60)
    assert min(apart) >= min(1200, minutes * 60)  # and not at each check


def test_the_second_attempt_uses_what_the_first_one_got() -> None:
    """After a reset by the API the exchange is not repeated, and the fact that it was made stays."""

    def api(_request: Request) -> Answer:
        if len(server.requests) == 2:
            raise OSError  # the connection ends without a reply
        return Answer(200, {})

    with _serve(_granting(refresh_token="refresh-2"), api) as server:
        outcome = check(_refresh(server), tokens=Store())
        assert [request.path for request in server.requests] == ["/token", "/me", "/me"]
    assert (outcome.code, outcome.facts["attempts"]) == ("ok", 2)
    assert outcome.facts["token_exchanged"] is outcome.facts["refresh_token_replaced"] is True


def test_the_access_token_of_who_was_first_is_used() -> None:
    """On invalid_grant, another process's new access token is sent to the API; its refresh token is not used."""
    theirs = Tokens(Secret("access-theirs"), time.time() + 1800, Secret("refresh-2"), ORIGIN)

    class Behind(Store):
        async def load(self) -> Tokens | None:
            found, self.tokens = self.tokens, theirs
            return found

    with _serve(Answer(400, {"error": "invalid_grant"})) as server:
        outcome = check(_refresh(server), tokens=Behind())
        assert [request.path for request in server.requests] == ["/token", "/me"]
        assert server.requests[1].headers["authorization"] == "Bearer access-theirs"
    assert (outcome.code, outcome.facts["token_exchanged"]) == ("ok", False)


class Overtaken(Store):
    """A store in which another process saves between the first load and the next."""

    async def load(self) -> Tokens | None:
        found, self.tokens = self.tokens, Tokens(None, None, Secret("refresh-2"), ORIGIN)
        return found


@pytest.mark.parametrize("url", ["/me", ""])
def test_a_refresh_token_that_another_runner_spent(url: str) -> None:
    """On invalid_grant the store is read again, and a successor found there is tried once."""

    def token(request: Request) -> Answer:
        fresh = _form(request)["refresh_token"] == "refresh-2"
        return _granting() if fresh else Answer(400, {"error": "invalid_grant"})

    for route, code, calls in ((token, "ok", 2), (Answer(400, {"error": "invalid_grant"}), "reauthorise", 2)):
        with _serve(route) as server:
            probe = _refresh(server)
            assert check(replace(probe, url=server.url + url if url else ""), tokens=Overtaken()).code == code
            assert len([request for request in server.requests if request.path == "/token"]) == calls


def test_without_a_store_a_single_use_token_is_not_spent() -> None:
    """A single-use token is only used if its successor can be stored."""
    with _serve(_granting(refresh_token="refresh-2")) as server:
        outcome = check(_refresh(server, single_use=True))
        assert (outcome.code, outcome.verdict) == ("self.token_single_use", "unknown")
        assert server.requests == []
        assert check(_refresh(server)).code == "ok"


def test_a_deadline_does_not_lose_a_token_that_was_given() -> None:
    """A save in progress at the deadline, or when the probe is cancelled, is completed."""
    with _serve(_granting(refresh_token="refresh-2")) as server:
        store = Store()
        store.slow = 0.6
        outcome = check(_refresh(server), tokens=store, deadline_s=0.3)
        assert outcome.code == "deadline"
        assert store.saved[0].refresh_token == Secret("refresh-2")


def test_a_store_that_cannot_be_read_is_our_fault() -> None:
    """A database that is unavailable while tokens are loaded is no verdict on the provider."""

    class Away(Store):
        async def load(self) -> Tokens | None:
            raise RuntimeError("secret words")

    with _serve(_granting()) as server:
        outcome = check(_refresh(server), tokens=Away())
    assert (outcome.code, outcome.verdict) == ("self.database", "unknown")


def test_no_token_is_ever_shown() -> None:
    """An API that echoes every secret shows none of them in the outcome."""

    def echo(request: Request) -> Answer:
        words = f"{request.headers['authorization']} access-1 client-geheim refresh-2 refresh-origin"
        return Answer(200, {"said": f"{'so it is. ' * 12}{words}"})

    with _serve(_granting(refresh_token="refresh-2"), echo) as server:
        outcome = check(replace(_refresh(server), facts={"said": "/said"}), tokens=Store())
    assert outcome.facts["said"] == f"{'so it is. ' * 12}Bearer ******** ******** ******** ******** ********"


@pytest.fixture
def silent() -> Iterator[HttpServer]:
    with _serve(Answer(200, {})) as server:
        yield server


def test_a_wrong_token_url_is_told(silent: HttpServer) -> None:
    """An invalid token URL is a fault of the config."""
    outcome = check(_client(silent, token_url="http://[::1/"))
    assert outcome.code == "self.config_invalid"


def test_two_probes_of_one_pass_share_nothing_but_names() -> None:
    """Cookies and tokens of one integration never reach another."""
    with _serve(_granting(), Answer(200, {}, {"Set-Cookie": "a=b; Path=/"})) as server:

        async def both() -> None:
            network = Network()
            for _ in range(2):
                assert (await run_probe(_client(server), network)).code == "ok"

        asyncio.run(both())
        assert all("cookie" not in request.headers for request in server.requests)
        assert len(server.requests) == 4


@pytest.mark.parametrize(("status", "code"), [(200, "ok"), (401, "http.auth.rejected"), (403, "http.forbidden")])
def test_a_header_in_another_alphabet_changes_no_verdict(status: int, code: str) -> None:
    """The status decides; invalid headers do not change the verdict."""
    with _serve(_granting(), Answer(status, {}, {"X-Region": "München"})) as server:
        assert check(_refresh(server), tokens=Store()).code == code


@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
def test_half_a_character_loses_no_refresh_token(name: str) -> None:
    """Half of a surrogate pair, which JSON allows but no encoding does, does not prevent saving the rest."""
    tokens = {"access_token": "access-1", "refresh_token": "refresh-2"}
    tokens[name] += "\ud800"
    store = Store()
    with _serve(_granting(**tokens)) as server:
        outcome = check(_refresh(server), tokens=store)
    assert outcome.code == ("ok" if name == "refresh_token" else "unexpected.reply")
    assert store.tokens is not None and store.tokens.refresh_token == Secret(tokens["refresh_token"])
