"""The declaration of a provider: identity, config fields, and the proof of its credential.

A provider only declares; `probes` performs. It turns a config into a probe value and uses no
sockets. Facts about a vendor are in the class docstring, with their source and confidence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar, Literal, NamedTuple
from urllib.parse import urlsplit

from intctl.probes.spec import (
    Auth,
    Basic,
    Bearer,
    ClientCredentials,
    Header,
    HttpProbe,
    NoProbe,
    Probe,
    RefreshToken,
    TokenGrant,
)
from intctl.text import Secret

#: What a person must know of a vendor that revokes a refresh token when it is used.
OWN_GRANT = (
    "a refresh token of this provider can be used only once, and intctl uses it. The application needs a grant of its "
    "own: a copy of this token no longer works there."
)

Kind = Literal["text", "integer", "boolean", "choice", "host", "port", "url", "email", "pem", "path", "json"]

#: The types of providers.
TYPES = (
    "email",
    "sms",
    "calendar",
    "video",
    "hris",
    "payroll",
    "background_check",
    "job_board",
    "messaging",
    "storage",
    "crm",
    "custom",
)

#: The sources of the facts about a vendor's proof, the most reliable first.
CONFIDENCE: dict[str, str] = {
    "vendor": "the vendor's own description, documents or client",
    "standard": "the standard of the protocol",
    "in use": "not the vendor; other products prove the credential in this way",
    "third-party": "only third-party code and pages",
    "none": "no source says how the credential could be proven",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a manifest's `config`.

    `secret` values are references in the manifest, sealed at rest and masked wherever shown.
    `destination` says that the field decides where a secret is sent: changing it requires re-entering
    the secret. For a url, `choices` are the allowed schemes (http and https when empty). `pattern`
    must match the whole value; `example` shows a valid one. `beside` names a field without which this
    one has no meaning, or such a field and its values, as in `api: v2, v3`. `needed_with`, in the same
    form, names a field that requires this one. A value that the pattern `usual` does not match may be right, but is
    hardly what the vendor gives: the warning `unusual` says so. It is not shown where base_url leads elsewhere.
    """

    name: str
    help: str
    kind: Kind = "text"
    secret: bool = False
    required: bool = False
    default: object = None
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    pattern: str = ""
    destination: bool = False
    example: str = ""
    beside: str = ""
    needed_with: str = ""
    usual: str = ""
    unusual: str = ""

    def replace(self, **changes: object) -> Field:
        """Return this field with some of its attributes changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


class FieldProblem(NamedTuple):
    """A problem of a field together with `others`: changing any of them can resolve it."""

    field: str
    message: str
    others: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """The field and the others, each once."""
        return tuple(dict.fromkeys((self.field, *self.others)))


BASE_URL = Field(
    "base_url",
    "Override the scheme and host of every provider URL",
    kind="url",
    destination=True,
    pattern=r"[^?#]*",
    example="https://sandbox.example.com",
)
CA_FILE = Field("ca_file", "PEM file of a private certificate authority", kind="path", destination=True)
API_KEY = Field("api_key", "API key", secret=True, required=True)
CLIENT = (
    Field("client_id", "OAuth client id", required=True),
    Field("client_secret", "OAuth client secret", secret=True, required=True),
)
REFRESH_TOKEN = Field("refresh_token", "Refresh token", secret=True, required=True)
SCOPE = Field("scope", "OAuth scopes, separated by blanks")
#: The fields of a client and a user's refresh token, as a way to log in.
OAUTH = ("client_id", "client_secret", "refresh_token")


def asked(config: Mapping[str, object], url: str) -> str:
    """Return `url`, moved below the config's `base_url` if one is given."""
    base = config.get("base_url")
    if not base:
        return url
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{str(base).rstrip('/')}{parts.path}{query}"


def text_of(config: Mapping[str, object], name: str) -> str:
    """Return a text field of a config; "" if it is missing."""
    value = config.get(name)
    return "" if value is None else str(value)


def secret_of(config: Mapping[str, object], name: str) -> Secret:
    """Return a secret field that the config must have."""
    value = config[name]
    if not isinstance(value, Secret):
        raise TypeError(f"{name} is not a secret")
    return value


def client_credentials(config: Mapping[str, object], token_url: str, **more: Any) -> ClientCredentials:
    """Return the grant of the client itself, exchanged at `token_url`."""
    return ClientCredentials(token_url, text_of(config, "client_id"), secret_of(config, "client_secret"), **more)


def refresh_token(config: Mapping[str, object], token_url: str, **more: Any) -> RefreshToken:
    """Return the grant of a user's refresh token, exchanged at `token_url`."""
    client = text_of(config, "client_id"), secret_of(config, "client_secret")
    return RefreshToken(token_url, *client, secret_of(config, "refresh_token"), **more)


def auth_from_config(config: Mapping[str, object]) -> Auth | None:
    """Return the credential in the config.

    That is `token` as bearer, `username` and `password` as HTTP Basic, or `header_value` in the
    header `header_name`.
    """
    if "token" in config:
        return Bearer(secret_of(config, "token"))
    if "password" in config:
        return Basic(text_of(config, "username"), secret_of(config, "password"))
    if "header_value" in config:
        return Header(text_of(config, "header_name"), secret_of(config, "header_value"))
    return None


def plain_http_problem(config: Mapping[str, object], name: str) -> list[FieldProblem]:
    """Return a problem if the credential would be sent over http:// to another machine."""
    parts = urlsplit(text_of(config, name))
    host = parts.hostname or ""
    if parts.scheme != "http" or host in ("localhost", "::1") or host.startswith("127."):
        return []
    return [FieldProblem(name, "http:// would send the credential in plaintext: use https://")]


_FRAMING = {"host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "expect"}


def header_name_problem(config: Mapping[str, object], field: str) -> list[FieldProblem]:
    """Return the problem with a field that names a header: HTTP itself, or a cloud's metadata service, uses it.

    Metadata services require a header, so that a request that is only redirected to them reads no credential. Each has
    the word in its name: `Metadata`, `Metadata-Flavor`, `Metadata-Token`, `X-aws-ec2-metadata-token`,
    `X-Google-Metadata-Request`, `X-aliyun-ecs-metadata-token` (the vendors' documents of their metadata services).
    """
    name = text_of(config, field).lower()
    if name in _FRAMING:
        return [FieldProblem(field, "HTTP itself uses this header: set the API's own")]
    if "metadata" in name:
        return [FieldProblem(field, "cloud metadata services use this header: it is refused")]
    return []


def header_problem(config: Mapping[str, object], *names: str) -> list[FieldProblem]:
    """Return a problem for each of `names` whose secret is not allowed in a header."""
    given = [name for name in names if name in config]
    wrong = [name for name in given if not secret_of(config, name).reveal().isascii()]
    return [FieldProblem(name, "a header allows only ASCII characters") for name in wrong]


def and_(names: tuple[str, ...]) -> str:
    """Join names for a sentence."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


class Provider(ABC):
    """One kind of external service. Subclasses are declarations: class attributes and `build_probe`.

    Every provider has `ca_file` and `base_url`: a class that does not declare them gets the defaults.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    type: ClassVar[str]
    #: "smtp" or "oauth" if the provider uses it (for `intctl add smtp|oauth`), else "".
    speaks: ClassVar[str] = ""
    fields: ClassVar[tuple[Field, ...]]
    #: Alternative sets of fields: a config must have exactly one of them, complete.
    ways: ClassVar[tuple[tuple[str, ...], ...]] = ()
    #: How the credential is proven, in one line, for people.
    proof: ClassVar[str]
    #: The permission that a check requires, "none" if any valid credential is enough.
    scopes: ClassVar[str] = "unknown"
    #: The cost of one check, in requests and, if any, money.
    cost: ClassVar[str] = "1 request"
    #: The vendor's rate limit.
    limits: ClassVar[str] = "unknown"
    #: The URL of the vendor's documentation, "" if none is published.
    docs: ClassVar[str] = ""
    #: The source of the proof: a key of CONFIDENCE.
    confidence: ClassVar[str] = "none"
    #: The vendor's public status page, if one is known: the JSON of Atlassian Statuspage's API v2.
    status_page: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        if "fields" in vars(cls):
            stated = {field.name for field in cls.fields}
            cls.fields += tuple(field for field in (CA_FILE, BASE_URL) if field.name not in stated)

    def check(self, config: Mapping[str, object]) -> list[FieldProblem]:
        """Return the problems of this config beyond its single fields."""
        found = plain_http_problem(config, "base_url") + self._check_ways(config)
        for field in self.fields:
            place = field.needed_with or field.beside
            other, stated, values = place.partition(": ")
            there = other in config and (not stated or text_of(config, other) in values.split(", "))
            if field.name in config and place and not there:
                found.append(FieldProblem(field.name, f"belongs to {place}", (other,)))
            if field.name not in config and field.needed_with and there:
                found.append(FieldProblem(field.name, f"is required with {place}", (other,)))
        return found

    def complete(self, config: Mapping[str, object]) -> dict[str, object]:
        """Return the config with the defaults that depend on other fields."""
        return dict(config)

    def probe(self, config: Mapping[str, object]) -> Probe:
        """Return the probe of this config, below its `base_url` and with its `ca_file`. Pure."""
        found = self.build_probe(config)
        if isinstance(found, NoProbe):
            return found
        changes: dict[str, Any] = {}
        if ca_file := text_of(config, "ca_file"):
            changes["ca_file"] = ca_file
        if isinstance(found, HttpProbe) and "base_url" in config:
            urls = {"url": found.url, "quota_url": found.quota_url}
            changes |= {name: asked(config, url) for name, url in urls.items() if url}
            if isinstance(found.auth, TokenGrant):
                changes["auth"] = replace(found.auth, token_url=asked(config, found.auth.token_url))
        return replace(found, **changes) if changes else found

    @abstractmethod
    def build_probe(self, config: Mapping[str, object]) -> Probe:
        """Return the probe at the vendor's own address. Pure: the same config gives the same probe."""

    def _check_ways(self, config: Mapping[str, object]) -> list[FieldProblem]:
        """Return problems unless the config has exactly one way to log in, complete."""
        given = {way: [name for name in way if name in config] for way in self.ways}
        if not any(given.values()):
            if not self.ways:
                return []
            first, others = self.ways[0][0], self.ways[1:]
            choice = " or ".join(and_(way) for way in others)
            return [FieldProblem(first, f"is missing (or set {choice})", tuple(chain.from_iterable(others)))]
        whole = [way for way in self.ways if len(given[way]) == len(way)]
        way = whole[0] if whole else max(self.ways, key=lambda way: len(given[way]))
        missing = [name for name in way if name not in config]
        found = [FieldProblem(name, f"is missing: {and_(way)} must be set together", way) for name in missing]
        choice = ", or ".join(and_(way) for way in self.ways)
        strangers = [name for other in self.ways for name in given[other] if name not in way]
        every = tuple(chain.from_iterable(self.ways))
        return found + [FieldProblem(name, f"set {choice}, not both", every) for name in strangers[:1]]

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the secret fields."""
        return frozenset(field.name for field in self.fields if field.secret)

    @property
    def destinations(self) -> frozenset[str]:
        """The names of the fields that decide where a secret is sent."""
        return frozenset(field.name for field in self.fields if field.destination)


class Unproven(Provider):
    """A provider whose credential is stored but never verified: no read-only call is known."""

    proof: ClassVar[str] = "None: no read-only call is known that proves the credential; it is never shown as healthy"
    cost: ClassVar[str] = "nothing: no request is sent"
    confidence: ClassVar[str] = "none"

    def build_probe(self, config: Mapping[str, object]) -> NoProbe:  # noqa: ARG002 -- no request is sent
        return NoProbe()
