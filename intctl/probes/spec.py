"""Probes as values. Providers build them; nothing here uses the network.

All of them are frozen and show no secret in their repr: secrets are `text.Secret`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from intctl.text import Secret

Security = Literal["starttls", "tls", "none"]


# The credentials that an HTTP API accepts.


@dataclass(frozen=True, slots=True)
class Basic:
    """`Authorization: Basic`. Either half may be the secret one."""

    username: str | Secret
    password: str | Secret


@dataclass(frozen=True, slots=True)
class Bearer:
    """`Authorization: Bearer TOKEN`."""

    token: Secret


@dataclass(frozen=True, slots=True)
class Header:
    """A vendor-specific header such as `X-Postmark-Server-Token`; `prefix` precedes the value."""

    name: str
    value: Secret
    prefix: str = ""


ClientIn = Literal["body", "basic", "id"]


@dataclass(frozen=True, slots=True)
class SigV4:
    """Each request signed with AWS Signature Version 4. `service` is AWS's name for it, such as `s3`."""

    access_key_id: str
    secret_access_key: Secret
    region: str
    service: str


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """OAuth 2 client credentials (RFC 6749 §4.4): the token request proves the client.

    `client_in` says where id and secret go: fields of the body, `Authorization: Basic`, or `id`,
    Workday's `Authorization: ID` with the pair in base64. `grant` and `extra` are for vendors that
    require another grant_type ("" for none) or more fields, some of them secret; `body` is their format.
    `token_at` is the pointer to the access token in the reply; expires_in is read from the same object.
    `lifetime_s` is how long a token is used, in seconds, if the vendor sends no expires_in.
    """

    token_url: str
    client_id: str
    client_secret: Secret
    scope: str = ""
    client_in: ClientIn = "body"
    grant: str = "client_credentials"
    extra: Mapping[str, str | Secret] = field(default_factory=dict)
    body: Literal["form", "json"] = "form"
    token_at: str = "/access_token"  # noqa: S105 -- a pointer
    lifetime_s: int = 0


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """OAuth 2 refresh token (RFC 6749 §6). `single_use`: the vendor revokes a token when it is used.

    `client_in`, `extra` and `body` as for `ClientCredentials`.
    """

    token_url: str
    client_id: str
    client_secret: Secret
    refresh_token: Secret
    scope: str = ""
    client_in: ClientIn = "body"
    single_use: bool = False
    extra: Mapping[str, str | Secret] = field(default_factory=dict)
    body: Literal["form", "json"] = "form"


@dataclass(frozen=True, slots=True)
class SignedJwt:
    """A statement that intctl signs (RFC 7523 §2.1), RS256, exchanged for an access token.

    `private_key` is a PEM RSA key without passphrase. `subject` is the user on whose behalf, "" for none.
    """

    token_url: str
    issuer: str
    private_key: Secret
    audience: str
    scope: str = ""
    subject: str = ""
    key_id: str = ""


#: The credentials that are exchanged for an access token.
TokenGrant = ClientCredentials | RefreshToken | SignedJwt
Auth = Basic | Bearer | Header | SigV4 | TokenGrant


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client certificate and its key, both PEM text, for mutual TLS."""

    certificate: str
    private_key: Secret


@dataclass(frozen=True, slots=True)
class Answer:
    """A special reply of one vendor and its cause code. The first match wins.

    Matches when the HTTP status is `status` and, if `pointer` is given, the JSON body's value
    there (RFC 6901) equals `equals`, or differs from it when `unless` is set; or contains
    `contains` (case-insensitive, text values). Without `pointer`, `equals` is the whole JSON body
    and `contains` a part of the body's text, in any format. `detail` is added to the outcome's message, and
    the vendor's own text at the pointer `detail_at`.
    """

    status: int
    code: str
    pointer: str = ""
    equals: object = None
    unless: bool = False
    contains: str = ""
    detail: str = ""
    detail_at: str = ""


Period = Literal["", "hour", "day", "month"]


@dataclass(frozen=True, slots=True)
class Quota:
    """The places of a quota's figures in a reply.

    Each figure is a JSON pointer or a header's name. `limit` may also be a number that the vendor
    publishes; it is ignored if a figure exceeds it. One of `used` and `remaining` is enough.
    `period` is fixed, or a pointer to the vendor's word for it. `hard`: the vendor refuses
    everything beyond the limit. `only_if` names a pointer or header and the value that it must
    have (None: any value).
    """

    used: str = ""
    remaining: str = ""
    limit: str | int = ""
    period: Period | str = ""
    unit: str = ""
    hard: bool = False
    only_if: tuple[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """The places of a prepaid balance in a reply: pointers to the amount and its currency.

    `currency` may also be the currency itself. `stops`: the vendor documents that it sends nothing
    once the balance is zero. `only_if` as for `Quota`.
    """

    amount: str
    currency: str = ""
    stops: bool = False
    only_if: tuple[str, object] | None = None


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """One read-only HTTP request, or only the token exchange when `url` is empty.

    Healthy: the status is `expect_status`, the body is JSON when `json` is set, every pointer in
    `expect_json` has its value, and the body contains `expect_text`. `facts` maps a fact's name to
    a pointer into the body, for values that may be shown (account name, quota): never a secret.
    `answers` are the vendor's special cases.
    `compare_without` sends a second request without the credential: if it succeeds too, the
    credential is not proven (`credential.unproven`, `facts["credential_proven"] = False`); if the
    comparison fails, neither (`credential.uncompared`, no such fact). `body_json` is sent with POST
    as JSON, `body_text` unchanged, with the Content-Type in `headers`. A header's value may be secret.
    `quotas` are read from the same reply, or from one more GET of `quota_url`, whose failure does
    not change the verdict; of several, the one closest to its limit counts.
    """

    url: str
    auth: Auth | None
    method: Literal["GET", "HEAD", "POST", "PROPFIND"] = "GET"
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    body_json: object = None
    body_text: str = ""
    expect_status: int = 200
    json: bool = True
    expect_json: Mapping[str, object] = field(default_factory=dict)
    expect_text: str = ""
    require: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    answers: tuple[Answer, ...] = ()
    ca_file: str | None = None
    client_certificate: ClientCertificate | None = None
    compare_without: bool = False
    quotas: tuple[Quota | Balance, ...] = ()
    quota_url: str = ""
    allow_plain_http: bool = False
    max_body_bytes: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class SmtpProbe:
    """Greeting, EHLO, STARTTLS or TLS; then AUTH, NOOP, QUIT, or for a relay MAIL, RCPT, QUIT. Never DATA.

    With `auth` the login is XOAUTH2: its access token instead of a password, over TLS only.
    A relay has no user name. It is asked to take a mail from `sender` to `recipient`, if `asks_relay` is set.
    `helo_name` is the name in EHLO; "" for this machine's name. `on_demand`: a person waits, so that a server that
    says nothing is also asked whether it speaks TLS from the start.
    """

    host: str
    port: int
    security: Security
    username: str | None = None
    password: Secret | None = None
    ca_file: str | None = None
    auth: TokenGrant | None = None
    sender: str = ""
    recipient: str = ""
    helo_name: str = ""
    asks_relay: bool = True
    on_demand: bool = True

    @property
    def is_relay(self) -> bool:
        """Whether there is no login, so that only the taking of a mail proves anything."""
        return self.username is None and self.auth is None


@dataclass(frozen=True, slots=True)
class TcpProbe:
    """A connection, and a TLS handshake with `security` "tls". No credential, and no data is sent."""

    host: str
    port: int
    security: Literal["tls", "none"]
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class NoProbe:
    """No probe: no read-only proof is known. The verdict is `unknown`, never healthy."""


Probe = HttpProbe | SmtpProbe | TcpProbe | NoProbe


@dataclass(frozen=True, slots=True)
class TestMail:
    """One real mail, for `intctl test --send-to`."""

    __test__ = False  # not a pytest class

    sender: str
    sender_name: str
    recipient: str
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """OAuth tokens of one integration, as the token store holds them (sealed at rest).

    `origin` is the refresh token in the manifest; `refresh_token` its latest successor.
    `expires_at` is a UNIX time in seconds. `origin` is None for client credentials.
    """

    access_token: Secret | None
    expires_at: float | None
    refresh_token: Secret | None = None
    origin: Secret | None = None
    scope: str = ""
