"""The other token grants of vendors: own fields, JSON, own headers, signed statements."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from email.utils import formatdate
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from intctl.probes.spec import Bearer, ClientCredentials, HttpProbe, RefreshToken, SignedJwt, Tokens
from intctl.text import Secret
from tests.probes import check
from tests.servers import Answer, HttpServer, Request, Route, http_server

GRANTED = Answer(200, {"access_token": "access-1", "expires_in": 3600})


class Store:
    """A token store in memory."""

    tokens: Tokens | None = None

    async def load(self) -> Tokens | None:
        return self.tokens

    async def reserve(self) -> bool:
        return True

    async def save(self, tokens: Tokens) -> Tokens:
        self.tokens = tokens
        return tokens


def _api(request: Request) -> Answer:
    return Answer(200 if request.headers.get("authorization", "").startswith("Bearer access-") else 401, {})


def _serve(token: Route = GRANTED) -> Any:
    return http_server({"/token": token, "/me": _api})


def _client(server: HttpServer, **changes: Any) -> HttpProbe:
    auth = ClientCredentials(server.url + "/token", "client-1", Secret("geheim"))
    return HttpProbe(server.url + "/me", replace(auth, **changes))


def _form(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.body.decode(), strict_parsing=True).items()}


def test_another_grant_with_fields_of_the_vendors_own() -> None:
    """Zoom: its own grant_type, an account field, the client as Basic."""
    with _serve() as server:
        probe = _client(server, grant="account_credentials", extra={"account_id": "a"}, client_in="basic")
        assert check(probe).code == "ok"
        token = server.requests[0]
    assert _form(token) == {"grant_type": "account_credentials", "account_id": "a"}
    assert token.headers["authorization"] == "Basic " + base64.b64encode(b"client-1:geheim").decode()


def test_the_client_as_an_id_header() -> None:
    """Workday: `Authorization: ID`, the pair in base64 and nothing of it in the body."""
    with _serve() as server:
        assert check(_client(server, client_in="id", extra={"tenant_alias": "t"})).code == "ok"
        token = server.requests[0]
    assert token.headers["authorization"] == "ID " + base64.b64encode(b"client-1:geheim").decode()
    assert _form(token) == {"grant_type": "client_credentials", "tenant_alias": "t"}


@pytest.mark.parametrize("refresh", [False, True])
def test_the_fields_as_json(refresh: bool) -> None:
    """`body: json` writes the same fields as a JSON object."""
    with _serve() as server:
        probe = _client(server, body="json", extra={"more": "1"})
        if refresh:
            auth = RefreshToken(
                server.url + "/token", "client-1", Secret("geheim"), Secret("refresh"), body="json", extra={"more": "1"}
            )
            probe = replace(probe, auth=auth)
        assert check(probe, tokens=Store()).code == "ok"
        token = server.requests[0]
    grant = (
        {"grant_type": "refresh_token", "refresh_token": "refresh"} if refresh else {"grant_type": "client_credentials"}
    )
    assert token.headers["content-type"] == "application/json"
    assert json.loads(token.body) == {"client_id": "client-1", "client_secret": "geheim", "more": "1", **grant}


def test_a_token_at_another_place() -> None:
    """Personio: no grant_type; the token and its lifetime below `data`."""
    store = Store()
    with _serve(Answer(200, {"success": True, "data": {"token": "access-9", "expires_in": 900}})) as server:
        outcome = check(_client(server, grant="", token_at="/data/token"), tokens=store)
        assert _form(server.requests[0]) == {"client_id": "client-1", "client_secret": "geheim"}
        assert check(_client(server)).code == "unexpected.reply"
    assert outcome.code == "ok"
    assert store.tokens is not None and store.tokens.access_token == Secret("access-9")
    assert store.tokens.expires_at is not None and 500 < store.tokens.expires_at - time.time() <= 900


def test_a_post_with_a_json_body() -> None:
    """`body_json` is sent with the request, after the token exchange."""
    with http_server({"/info": Answer(200, {"success": True})}) as server:
        probe = HttpProbe(server.url + "/info", Bearer(Secret("key-1")), method="POST", body_json={})
        assert check(probe).code == "ok"
        assert check(replace(probe, body_json=None)).code == "ok"
        with_body, without = server.requests
    assert (with_body.body, with_body.headers["content-type"]) == (b"{}", "application/json")
    assert (without.body, "content-type" in without.headers) == (b"", False)


# --- signed statements


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Secret:
    return Secret(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    )


def _signed(server: HttpServer, key: Secret, **more: str) -> HttpProbe:
    auth = SignedJwt(server.url + "/token", "robot@example", key, "https://example.com/token", "a b", **more)
    return HttpProbe(server.url + "/me", auth)


def _part(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=="))


def test_a_signed_statement() -> None:
    """The assertion is a JWT that intctl signs, RS256, valid for ten minutes; its token is stored like any other."""
    store = Store()
    with _serve() as server:
        probe = _signed(server, _pem(_key()), subject="boss@example", key_id="k1")
        assert check(probe, tokens=store).code == "ok"
        form = _form(server.requests[0])
        assert check(probe, tokens=store).facts["token_exchanged"] is False
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert set(form) == {"grant_type", "assertion"}
    head, claims, signature = form["assertion"].split(".")
    assert _part(head) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    said = _part(claims)
    assert said.pop("exp") - said["iat"] == 600
    assert abs(said.pop("iat") - time.time()) < 300
    assert said == {"iss": "robot@example", "sub": "boss@example", "aud": "https://example.com/token", "scope": "a b"}
    raw = base64.urlsafe_b64decode(signature + "==")
    public = _key().public_key()
    public.verify(raw, f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(InvalidSignature):
        public.verify(raw, b"something else", padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("key", [Secret("no key"), _pem(ec.generate_private_key(ec.SECP256R1()))], ids=["none", "ec"])
def test_a_key_that_cannot_sign(key: Secret) -> None:
    """Nothing is sent if the private key is invalid or not an RSA key."""
    with _serve() as server:
        outcome = check(_signed(server, key))
        assert server.requests == []
    assert (outcome.code, outcome.verdict) == ("credential.malformed", "misconfigured")
    assert key.reveal() not in outcome.message


def test_a_refused_statement() -> None:
    """invalid_grant for a statement is a rejection, not a user who has to agree again."""
    with _serve(Answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})) as server:
        assert check(_signed(server, _pem(_key()))).code == "http.auth.rejected"


@pytest.mark.parametrize(("off_s", "code"), [(-7200, "self.clock"), (300, "self.clock"), (5, "http.auth.rejected")])
def test_a_statement_of_another_time_is_this_clocks_fault(off_s: float, code: str) -> None:
    """A statement has a timestamp: a refusal while the clocks differ proves nothing about the key."""
    date = formatdate(time.time() + off_s, usegmt=True)
    with _serve(Answer(400, {"error": "invalid_grant"}, {"Date": date})) as server:
        outcome = check(_signed(server, _pem(_key())))
        assert outcome.code == code
        assert (outcome.verdict == "unknown") == (code == "self.clock")
        told = f"{'ahead of' if off_s < 0 else 'behind'} the provider's"
        assert (told in outcome.detail) == (code == "self.clock")
        assert check(_client(server)).code == "http.auth.rejected", "a secret has no time"


@pytest.mark.parametrize(
    ("status", "said", "code"),
    [
        (400, "Invalid JWT: Token must be in a reasonable timeframe. Check your iat and exp values.", "self.clock"),
        (400, "Invalid JWT Signature.", "http.auth.rejected"),
        (400, "Invalid grant: account not found", "http.auth.rejected"),
        (429, "Check your iat and exp values.", "http.rate_limited"),
        (500, "Check your iat and exp values.", "server.error"),
    ],
)
def test_a_wrong_clock_excuses_no_other_refusal(status: int, said: str, code: str) -> None:
    """The provider's stated reason counts, also if the clocks differ."""
    date = formatdate(time.time() - 600, usegmt=True)
    body = {"error": "invalid_grant", "error_description": said}
    with _serve(Answer(status, body, {"Date": date})) as server:
        assert check(_signed(server, _pem(_key()))).code == code
