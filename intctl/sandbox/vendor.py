"""The parts of a vendor in the sandbox: credentials, routes, proofs and replies."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from time import time
from urllib.parse import parse_qsl

from intctl.sandbox.authority import private_key, signed_by
from intctl.sandbox.http import Reply, Request


class Account:
    """One vendor's account in a sandbox: its valid credentials and the tokens issued."""

    def __init__(self, vendor: Vendor, random_bytes: RandomBytes = secrets.token_bytes) -> None:
        self.vendor = vendor
        patterns = {**vendor.credentials, **vendor.more}
        self.credentials = {name: random_text(text, random_bytes) for name, text in patterns.items()}
        self.access_tokens: set[str] = set()
        self.refresh_tokens = {self.credentials[n] for n in ("refresh_token",) if n in self.credentials}

    def fill(self, text: str) -> str:
        """Insert this account's credentials into `text`."""
        return text.format_map(self.credentials)

    def answer(self, request: Request) -> Reply:
        """Return the vendor's reply to a request."""
        if request.headers.get("user-agent", "") == "" and self.vendor.wants_user_agent:
            return Reply(403, {"error": "Request blocked"})
        for route in self.vendor.routes:
            same_method = request.method in (route.method, "HEAD" if route.method == "GET" else "")
            if same_method and fnmatchcase(request.path, self.fill(route.path)):
                return route.answer(request, self)
        return Reply(404, self.vendor.not_found)


RandomBytes = Callable[[int], bytes]
Answer = Callable[[Request, Account], Reply]
Proof = Callable[[Request, Account], bool]


@dataclass(frozen=True, slots=True)
class Route:
    """One request that the vendor supports. `path` may contain `*`; the first matching route replies."""

    method: str
    path: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Way:
    """Another way to log in than the example's.

    `credentials` are its credentials, `config` its other fields (`{url}` is the vendor's address in the
    sandbox); `mail` says that it uses the mail server.
    """

    credentials: tuple[str, ...]
    config: Mapping[str, str] = field(default_factory=dict)
    mail: bool = False


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor. `credentials` maps a config field to its pattern, in which `{hex}` and `{token}` are random.

    `variables` maps the variables in the vendor's example to fields among them. `more` are the patterns of
    credentials that only other ways to log in need, and `ways` those ways.
    """

    credentials: Mapping[str, str]
    variables: Mapping[str, str]
    routes: tuple[Route, ...] = ()
    scheme: str = "https"
    client_certificate: bool = False
    wants_user_agent: bool = False
    not_found: object = field(default_factory=lambda: {"error": "not_found"})
    #: The figures in a good reply when the fault is a quota, by cause code: JSON pointers and headers.
    quota_faults: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)
    ways: Mapping[str, Way] = field(default_factory=dict)
    #: The reply to a valid credential without the permission.
    scope_refusal: Reply = Reply(403, {"error": "insufficient_scope"})  # noqa: RUF009 -- immutable


@dataclass(frozen=True, slots=True)
class MailAccount:
    """A vendor that is reached by SMTP.

    It has a user name (a pattern), the variables of its example, and the refusal of a wrong password.
    `challenge` makes it accept XOAUTH2 with an access token of the vendor's row: it is the 334 challenge
    with the reason, "" for none. Without `password` it accepts only XOAUTH2.
    """

    username: str
    variables: Mapping[str, str]
    refusal: str
    challenge: str | None = None
    password: bool = True
    #: The credential of the vendor's row that is also the password, if any.
    same_as: str = ""
    #: The other fields of the example's config, as `Way.config`.
    config: Mapping[str, str] = field(default_factory=dict)


#: A password that is not checked.
ANYTHING = "*"


# --- proofs of a route ----------------------------------------------------------------------------


def basic(username: str, password: str) -> Proof:
    """Require HTTP Basic with these two."""

    def proof(request: Request, account: Account) -> bool:
        given_user, given_password = _basic(request)
        right = same(given_user, account.fill(username))
        return right and (password == ANYTHING or same(given_password, account.fill(password)))

    return proof


def bearer(credential: str = "") -> Proof:
    """Require a bearer token: the credential of that name, or by default an issued access token."""

    def proof(request: Request, account: Account) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        right = {account.credentials[credential]} if credential else account.access_tokens
        return scheme.lower() == "bearer" and any(same(token, one) for one in right)

    return proof


def either(*proofs: Proof) -> Proof:
    """Require any of these."""
    return lambda request, account: any(proof(request, account) for proof in proofs)


def both(*proofs: Proof) -> Proof:
    """Require all of these."""
    return lambda request, account: all(proof(request, account) for proof in proofs)


def header(name: str, value: str) -> Proof:
    """Require this header with this value (a pattern)."""

    def proof(request: Request, account: Account) -> bool:
        return same(request.headers.get(name.lower(), ""), account.fill(value))

    return proof


# --- replies of a route ---------------------------------------------------------------------------


def guarded(proof: Proof, refusal: Reply, body: object, headers: Mapping[str, str] | None = None) -> Answer:
    """Reply with `body` and `headers` to the valid credential, with `refusal` to everything else."""

    def answer(request: Request, account: Account) -> Reply:
        return Reply(200, _filled(body, account), headers or {}) if proof(request, account) else refusal

    return answer


def token(
    *grants: str,
    wrong_client: Reply = Reply(401, {"error": "invalid_client"}),  # noqa: B008 -- immutable
    wrong_grant: Reply = Reply(400, {"error": "invalid_grant"}),  # noqa: B008
    rotates: bool = False,
    revokes: bool = False,
) -> Answer:
    """An OAuth token endpoint.

    `rotates`: each reply has a new refresh token; as at Microsoft, the older ones stay valid, unless it `revokes` the
    one that was used.
    """

    def answer(request: Request, account: Account) -> Reply:
        form = fields_of(request)
        client = (form["client_id"], form.get("client_secret", "")) if "client_id" in form else _basic(request)
        right = (account.credentials["client_id"], account.credentials["client_secret"])
        if not all(map(same, client, right)):
            return wrong_client
        grant = form.get("grant_type", "")
        if grant not in grants:
            return Reply(400, {"error": "unsupported_grant_type"})
        if grant.endswith("password-realm") and not _user(form, account):
            return wrong_grant
        if grant == "refresh_token" and form.get("refresh_token") not in account.refresh_tokens:
            return wrong_grant
        body = granted(account)
        if grant == "refresh_token" and rotates:
            body["refresh_token"] = successor = random_text("rt-{token}")
            account.refresh_tokens.add(successor)
            if revokes:
                account.refresh_tokens.discard(form["refresh_token"])
        return Reply(200, body, {"Cache-Control": "no-store"})

    return answer


def granted(account: Account) -> dict[str, object]:
    """Issue a new access token. Return the body of the token endpoint's reply."""
    access = random_text("at-{token}")
    account.access_tokens.add(access)
    return {"access_token": access, "token_type": "Bearer", "expires_in": 3600}


def statement(audience: str, scope: str, otherwise: Answer) -> Answer:
    """A token endpoint that also accepts a statement signed by the account's service_account (RFC 7523)."""
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"

    def answer(request: Request, account: Account) -> Reply:
        form = fields_of(request)
        if form.get("grant_type") != grant:
            return otherwise(request, account)
        problem = _statement_problem(form.get("assertion", ""), account, audience, scope)
        if problem:
            return Reply(400, {"error": "invalid_grant", "error_description": problem})
        return Reply(200, granted(account), {"Cache-Control": "no-store"})

    return answer


def _statement_problem(assertion: str, account: Account, audience: str, scope: str) -> str:
    text, _, signature = assertion.rpartition(".")
    try:
        head, claims = (json.loads(_decoded(part)) for part in text.split("."))
        key = account.credentials["private_key"]
        if head["alg"] != "RS256" or not signed_by(key, _decoded(signature), text.encode()):
            return "Invalid JWT Signature."
        if claims["iss"] != account.credentials["service_account"]:
            return "Invalid grant: account not found"
        if claims["aud"] != audience:
            return "Invalid JWT: aud is not this endpoint."
        if not claims["iat"] - 300 <= time() <= claims["exp"] <= claims["iat"] + 3600:
            return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
        return "" if scope in claims["scope"].split() else "Invalid OAuth scope or ID token audience provided."
    except (ValueError, KeyError, TypeError, AttributeError):
        return "Invalid JWT: it cannot be read."


def _decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _user(form: Mapping[str, str], account: Account) -> bool:
    return all(same(form.get(name, ""), account.credentials[name]) for name in ("username", "password"))


def always(reply: Reply) -> Answer:
    """The same reply to every request."""
    return lambda _request, _account: reply


def same(given: str, right: str) -> bool:
    """Whether two secrets are equal, in constant time."""
    return hmac.compare_digest(given.encode(), right.encode())


def fields_of(request: Request) -> dict[str, str]:
    """Return the fields of a token request, sent as a form or as JSON."""
    text = request.body.decode("utf-8", "replace")
    if not request.headers.get("content-type", "").startswith("application/json"):
        return dict(parse_qsl(text, keep_blank_values=True))
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _basic(request: Request) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() not in ("basic", "id"):  # the second is Workday's
        return "", ""
    try:
        username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return username, password


def random_text(pattern: str, random_bytes: RandomBytes = secrets.token_bytes) -> str:
    """Replace `{hex}` (32 digits), `{token}` and `{upper}` (18 characters) in `pattern` with new random text.

    The pattern `{rsa}` is a private key.
    """
    if pattern == "{rsa}":
        return private_key()
    token = base64.urlsafe_b64encode(random_bytes(24)).decode()
    digits = random_bytes(16).hex()
    return pattern.format(hex=digits, token=token, upper=digits[:18].upper())


def _filled(body: object, account: Account) -> object:
    if isinstance(body, dict):
        return {key: _filled(value, account) for key, value in body.items()}
    return account.fill(body) if isinstance(body, str) else body
