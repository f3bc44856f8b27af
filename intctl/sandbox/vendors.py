"""The vendors, as a table: their own paths, status codes and error bodies, for right and wrong credentials.

A `{name}` in a path or a body stands for one of the vendor's credentials. To add a vendor: one row.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from urllib.parse import parse_qsl

from intctl.sandbox.http import Reply, Request


class Account:
    """One vendor's side of a sandbox: the credentials that are right, and the tokens handed out."""

    def __init__(self, vendor: Vendor, random_bytes: RandomBytes = secrets.token_bytes) -> None:
        self.vendor = vendor
        self.credentials = {name: random_text(text, random_bytes) for name, text in vendor.credentials.items()}
        self.access_tokens: set[str] = set()
        self.refresh_tokens = {self.credentials[n] for n in ("refresh_token",) if n in self.credentials}

    def fill(self, text: str) -> str:
        """`text` with this account's credentials in it."""
        return text.format_map(self.credentials)

    def answer(self, request: Request) -> Reply:
        """What the vendor says to a request."""
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
    """One request that the vendor knows. `path` may hold `*`; the first route that fits answers."""

    method: str
    path: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor. `credentials` maps a config field to its pattern, in which `{hex}` and `{token}` are random.

    `variables` maps the variables that the vendor's example refers to to fields among them.
    """

    credentials: Mapping[str, str]
    variables: Mapping[str, str]
    routes: tuple[Route, ...] = ()
    client_certificate: bool = False
    wants_user_agent: bool = False
    not_found: object = field(default_factory=lambda: {"error": "not_found"})
    #: What a good credential without the permission is told.
    scope_refusal: Reply = Reply(403, {"error": "insufficient_scope"})  # noqa: RUF009 -- immutable


@dataclass(frozen=True, slots=True)
class MailAccount:
    """A vendor that is reached by SMTP: its user name (a pattern), the variables of its example, and
    its words for a wrong password."""

    username: str
    variables: Mapping[str, str]
    refusal: str


#: A password that is not looked at.
ANYTHING = "*"


# --- what a route asks for ------------------------------------------------------------------------


def basic(username: str, password: str) -> Proof:
    """HTTP Basic with these two."""

    def proof(request: Request, account: Account) -> bool:
        given_user, given_password = _basic(request)
        right = same(given_user, account.fill(username))
        return right and (password == ANYTHING or same(given_password, account.fill(password)))

    return proof


def bearer(credential: str = "") -> Proof:
    """A bearer token: the credential of that name, or without one an access token that was handed out."""

    def proof(request: Request, account: Account) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        right = {account.credentials[credential]} if credential else account.access_tokens
        return scheme.lower() == "bearer" and any(same(token, one) for one in right)

    return proof


# --- what a route answers -------------------------------------------------------------------------


def guarded(proof: Proof, refusal: Reply, body: object) -> Answer:
    """`body` for the right credential, `refusal` for everything else."""

    def answer(request: Request, account: Account) -> Reply:
        return Reply(200, _filled(body, account)) if proof(request, account) else refusal

    return answer


def token(
    *grants: str,
    wrong_client: Reply = Reply(401, {"error": "invalid_client"}),  # noqa: B008 -- immutable
    wrong_grant: Reply = Reply(400, {"error": "invalid_grant"}),  # noqa: B008
    rotates: bool = False,
) -> Answer:
    """An OAuth token endpoint. `rotates`: a new refresh token comes with each answer, as at Microsoft
    the older ones go on working."""

    def answer(request: Request, account: Account) -> Reply:
        form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
        client = (form["client_id"], form.get("client_secret", "")) if "client_id" in form else _basic(request)
        right = (account.credentials["client_id"], account.credentials["client_secret"])
        if not all(map(same, client, right)):
            return wrong_client
        grant = form.get("grant_type", "")
        if grant not in grants:
            return Reply(400, {"error": "unsupported_grant_type"})
        if grant == "refresh_token" and form.get("refresh_token") not in account.refresh_tokens:
            return wrong_grant
        access = random_text("at-{token}")
        account.access_tokens.add(access)
        body: dict[str, object] = {"access_token": access, "token_type": "Bearer", "expires_in": 3600}
        if grant == "refresh_token" and rotates:
            body["refresh_token"] = successor = random_text("rt-{token}")
            account.refresh_tokens.add(successor)
        return Reply(200, body, {"Cache-Control": "no-store"})

    return answer


def always(reply: Reply) -> Answer:
    """The same reply to everybody."""
    return lambda _request, _account: reply


def same(given: str, right: str) -> bool:
    """Whether two secrets are equal, in constant time."""
    return hmac.compare_digest(given.encode(), right.encode())


def _basic(request: Request) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return username, password


def random_text(pattern: str, random_bytes: RandomBytes = secrets.token_bytes) -> str:
    """`pattern` with `{hex}` (32 digits) and `{token}` replaced by fresh random text."""
    token = base64.urlsafe_b64encode(random_bytes(24)).decode()
    return pattern.format(hex=random_bytes(16).hex(), token=token)


def _filled(body: object, account: Account) -> object:
    if isinstance(body, dict):
        return {key: _filled(value, account) for key, value in body.items()}
    return account.fill(body) if isinstance(body, str) else body


# --- the table ------------------------------------------------------------------------------------

_TWILIO_REFUSAL = Reply(
    401,
    {
        "code": 20003,
        "message": "Authenticate",
        "more_info": "https://www.twilio.com/docs/errors/20003",
        "status": 401,
    },
)
_GOOGLE_REFUSAL = Reply(
    401, {"error": {"code": 401, "message": "Invalid Credentials", "status": "UNAUTHENTICATED"}}
)
_GOOGLE_SCOPE = Reply(
    403,
    {"error": {
        "code": 403,
        "message": "Request had insufficient authentication scopes.",
        "errors": [{"message": "Insufficient Permission", "domain": "global", "reason": "insufficientPermissions"}],
        "status": "PERMISSION_DENIED",
    }},
)
_GRAPH_SCOPE = Reply(403, {"error": {"code": "ErrorAccessDenied", "message": "Access is denied."}})
_GRAPH_REFUSAL = Reply(
    401, {"error": {"code": "InvalidAuthenticationToken", "message": "Access token is missing or invalid."}}
)


def _entra(status: int, error: str, description: str) -> Reply:
    return Reply(status, {"error": error, "error_description": description})


_NO_TENANT = _entra(400, "invalid_request", "AADSTS90002: Tenant not found.")

VENDORS: dict[str, Vendor] = {
    "twilio": Vendor(
        {"account_sid": "AC{hex}", "auth_token": "{hex}"},
        {"TWILIO_AUTH_TOKEN": "auth_token"},
        (
            Route("GET", "/2010-04-01/Accounts/{account_sid}.json", guarded(
                basic("{account_sid}", "{auth_token}"), _TWILIO_REFUSAL,
                {"sid": "{account_sid}", "status": "active", "friendly_name": "Sandbox", "type": "Full"},
            )),
            Route("GET", "/2010-04-01/Accounts/*", always(_TWILIO_REFUSAL)),
        ),
    ),
    "bamboohr": Vendor(
        {"api_key": "{hex}"},
        {"BAMBOOHR_API_KEY": "api_key"},
        tuple(
            Route("GET", path, guarded(basic("{api_key}", ANYTHING), Reply(401), body))
            for path, body in (
                ("/api/v1/company_information", {"legalName": "Sandbox Ltd"}),
                ("/api/v1/meta/fields", [{"id": 1, "name": "First name", "type": "text"}]),
            )
        ),
    ),
    "adp": Vendor(
        {"client_id": "{hex}", "client_secret": "{token}"},
        {"ADP_CLIENT_SECRET": "client_secret"},
        (
            Route("POST", "/auth/oauth/v2/token", token("client_credentials")),
            Route("GET", "/hr/v2/workers", guarded(bearer(), Reply(401), {"workers": []})),
        ),
        client_certificate=True,
    ),
    "checkr": Vendor(
        {"api_key": "{hex}"},
        {"CHECKR_API_KEY": "api_key"},
        (
            Route("GET", "/v1/account", guarded(
                basic("{api_key}", ""), Reply(401, {"error": "Bad authentication error"}),
                {"object": "account", "name": "Sandbox", "authorized": True},
            )),
        ),
        wants_user_agent=True,
    ),
    "google": Vendor(
        {
            "client_id": "{hex}.apps.googleusercontent.com",
            "client_secret": "GOCSPX-{token}",
            "refresh_token": "1//{token}",
        },
        {"GOOGLE_CLIENT_SECRET": "client_secret", "GOOGLE_REFRESH_TOKEN": "refresh_token"},
        (
            Route("POST", "/token", token(
                "refresh_token",
                wrong_client=Reply(401, {"error": "invalid_client", "error_description": "Unauthorized"}),
                wrong_grant=Reply(
                    400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
                ),
            )),
            Route("GET", "/calendar/v3/users/me/calendarList", guarded(
                bearer(), _GOOGLE_REFUSAL, {"kind": "calendar#calendarList", "items": []}
            )),
        ),
        scope_refusal=_GOOGLE_SCOPE,
    ),
    "microsoft": Vendor(
        {"tenant_id": "{hex}", "client_id": "{hex}", "client_secret": "{token}", "refresh_token": "0.{token}"},
        {"MICROSOFT_CLIENT_SECRET": "client_secret", "MICROSOFT_REFRESH_TOKEN": "refresh_token"},
        (
            Route("POST", "/{tenant_id}/oauth2/v2.0/token", token(
                "refresh_token", "client_credentials", rotates=True,
                wrong_client=_entra(401, "invalid_client", "AADSTS7000215: Invalid client secret provided."),
                wrong_grant=_entra(400, "invalid_grant", "AADSTS70000: The provided grant is invalid or revoked."),
            )),
            Route("POST", "/*/oauth2/v2.0/token", always(_NO_TENANT)),
            Route("GET", "/v1.0/me", guarded(bearer(), _GRAPH_REFUSAL, {"id": "sandbox-user"})),
            Route("GET", "/v1.0/me/calendar", guarded(bearer(), _GRAPH_REFUSAL, {"id": "calendar"})),
            Route("GET", "/v1.0/users/*/calendar", guarded(bearer(), _GRAPH_REFUSAL, {"id": "calendar"})),
        ),
        scope_refusal=_GRAPH_SCOPE,
    ),
    "indeed": Vendor(
        {"client_id": "{hex}", "client_secret": "{token}"},
        {"INDEED_CLIENT_SECRET": "client_secret"},
        (Route("POST", "/oauth/v2/tokens", token("client_credentials")),),
    ),
    "http": Vendor(
        {"token": "{token}"},
        {"STATUS_API_TOKEN": "token"},
        (
            Route("GET", "/v1/me", guarded(
                bearer("token"),
                Reply(401, {"error": "unauthorized"}, {"WWW-Authenticate": "Bearer"}),
                {"status": "active"},
            )),
        ),
    ),
}

MAIL: dict[str, MailAccount] = {
    "smtp": MailAccount("mailer-{hex}", {"SMTP_PASSWORD": "password"}, "535 5.7.8 Authentication credentials invalid"),
    "sendgrid": MailAccount(
        "apikey",
        {"SENDGRID_API_KEY": "password"},
        "535 Authentication failed: The provided authorization grant is invalid, expired, or revoked",
    ),
    "ses": MailAccount(
        "AKIA{hex}",
        {"SES_SMTP_USERNAME": "username", "SES_SMTP_PASSWORD": "password"},
        "535 Authentication Credentials Invalid",
    ),
}
