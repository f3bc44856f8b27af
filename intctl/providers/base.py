"""What a provider is: identity, config fields, and how its credential is proven.

Data declares, `probes` performs: a provider turns a config into a probe value and knows nothing
of sockets. Facts about a vendor stand in the class docstring with their source and confidence.
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

Kind = Literal["text", "integer", "boolean", "choice", "host", "port", "url", "email", "pem", "path", "json"]

#: What a provider is for.
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

#: Where what is known of a vendor's proof comes from, the surest first.
CONFIDENCE: dict[str, str] = {
    "vendor": "the vendor's own description, documents or client",
    "standard": "the standard that the protocol is",
    "in use": "not the vendor; other products prove the credential in this way",
    "third-party": "seen in other people's code and pages only",
    "none": "no source says how the credential could be proven",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a manifest's `config`.

    `secret` values are references in the manifest, sealed at rest and masked wherever shown.
    `destination` says that it decides where a secret goes: changing it asks for the secret again.
    For a url, `choices` are the schemes that it may have (http and https when empty). `pattern`
    must match the whole value; `example` then shows the reader what was meant. `beside` names a field
    without which this one has no meaning, or such a field and its values, as in `api: v2, v3`. With
    `needed_with`, written alike, this one must be given too where that one is.
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

    def replace(self, **changes: object) -> Field:
        """This field with some of its attributes changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


class FieldProblem(NamedTuple):
    """What is wrong with a field together with `others`: changing any of them can resolve it."""

    field: str
    message: str
    others: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """The field and the others, each once."""
        return tuple(dict.fromkeys((self.field, *self.others)))


BASE_URL = Field(
    "base_url",
    "Ask here instead: replaces scheme and host of every URL of the provider",
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
#: The names of a client and a user's refresh token, as a way to log in.
OAUTH = ("client_id", "client_secret", "refresh_token")


def asked(config: Mapping[str, object], url: str) -> str:
    """`url`, or its twin below the config's `base_url` when one is given."""
    base = config.get("base_url")
    if not base:
        return url
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{str(base).rstrip('/')}{parts.path}{query}"


def text_of(config: Mapping[str, object], name: str) -> str:
    """A text field of a config; "" when it is absent."""
    value = config.get(name)
    return "" if value is None else str(value)


def secret_of(config: Mapping[str, object], name: str) -> Secret:
    """A secret field of a config that must be there."""
    value = config[name]
    if not isinstance(value, Secret):
        raise TypeError(f"{name} is not a secret")
    return value


def client_credentials(config: Mapping[str, object], token_url: str, **more: Any) -> ClientCredentials:
    """The client itself, asked for a token at `token_url`."""
    return ClientCredentials(token_url, text_of(config, "client_id"), secret_of(config, "client_secret"), **more)


def refresh_token(config: Mapping[str, object], token_url: str, **more: Any) -> RefreshToken:
    """A user's refresh token, exchanged at `token_url`."""
    client = text_of(config, "client_id"), secret_of(config, "client_secret")
    return RefreshToken(token_url, *client, secret_of(config, "refresh_token"), **more)


def auth_from_config(config: Mapping[str, object]) -> Auth | None:
    """The credential that the config holds: `token` as bearer, `username` and `password` as HTTP Basic, or
    `header_value` in the header `header_name`."""
    if "token" in config:
        return Bearer(secret_of(config, "token"))
    if "password" in config:
        return Basic(text_of(config, "username"), secret_of(config, "password"))
    if "header_value" in config:
        return Header(text_of(config, "header_name"), secret_of(config, "header_value"))
    return None


def plain_http_problem(config: Mapping[str, object], name: str) -> list[FieldProblem]:
    """A credential does not travel over http:// except to this machine itself."""
    parts = urlsplit(text_of(config, name))
    host = parts.hostname or ""
    if parts.scheme != "http" or host in ("localhost", "::1") or host.startswith("127."):
        return []
    return [FieldProblem(name, "over http:// the credential would travel in clear: use https://")]


def header_problem(config: Mapping[str, object], *names: str) -> list[FieldProblem]:
    """Secrets among `names` that no header can carry."""
    given = [name for name in names if name in config]
    wrong = [name for name in given if not secret_of(config, name).reveal().isascii()]
    return [FieldProblem(name, "a header holds ASCII characters only") for name in wrong]


def and_(names: tuple[str, ...]) -> str:
    """Names as a person writes them in a row."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


class Provider(ABC):
    """One kind of external service. Subclasses are declarations: class attributes and `ask`.

    Every provider has `ca_file` and `base_url`: a class that does not state them gets the usual ones.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    type: ClassVar[str]
    #: "smtp" or "oauth" when the provider speaks it (for `intctl add smtp|oauth`), else "".
    speaks: ClassVar[str] = ""
    fields: ClassVar[tuple[Field, ...]]
    #: Sets of fields of which one is given, whole, and nothing of the others.
    ways: ClassVar[tuple[tuple[str, ...], ...]] = ()
    #: How the credential is proven, in one line, for people.
    proof: ClassVar[str]
    #: The permission that a check needs, "none" when any good credential will do.
    scopes: ClassVar[str] = "unknown"
    #: What one check costs, in requests and, where there is any, money.
    cost: ClassVar[str] = "1 request"
    #: How often the vendor lets us ask.
    limits: ClassVar[str] = "unknown"
    #: Where the vendor documents it, "" when nothing is published.
    docs: ClassVar[str] = ""
    #: How sure the proof is: a key of CONFIDENCE.
    confidence: ClassVar[str] = "none"
    #: The vendor's public status page, if one is known: the JSON of Atlassian Statuspage's API v2.
    status_page: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        if "fields" in vars(cls):
            stated = {field.name for field in cls.fields}
            cls.fields += tuple(field for field in (CA_FILE, BASE_URL) if field.name not in stated)

    def check(self, config: Mapping[str, object]) -> list[FieldProblem]:
        """What is wrong with this config beyond its single fields."""
        found = plain_http_problem(config, "base_url") + self._check_ways(config)
        for field in self.fields:
            place = field.needed_with or field.beside
            other, stated, values = place.partition(": ")
            there = other in config and (not stated or text_of(config, other) in values.split(", "))
            if field.name in config and place and not there:
                found.append(FieldProblem(field.name, f"belongs to {place}", (other,)))
            if field.name not in config and field.needed_with and there:
                found.append(FieldProblem(field.name, f"{place} needs it", (other,)))
        return found

    def complete(self, config: Mapping[str, object]) -> dict[str, object]:
        """The config with the presets filled in that depend on other fields."""
        return dict(config)

    def probe(self, config: Mapping[str, object]) -> Probe:
        """What to ask to prove this config, where it says: below `base_url`, trusting `ca_file`. Pure."""
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
        """What to ask, at the vendor's own address. Pure: the same config gives the same probe."""

    def _check_ways(self, config: Mapping[str, object]) -> list[FieldProblem]:
        """Whether one way to log in is given, whole, and nothing of the others."""
        given = {way: [name for name in way if name in config] for way in self.ways}
        if not any(given.values()):
            if not self.ways:
                return []
            first, others = self.ways[0][0], self.ways[1:]
            choice = " or ".join(and_(way) for way in others)
            return [FieldProblem(first, f"is missing (or give {choice})", tuple(chain.from_iterable(others)))]
        whole = [way for way in self.ways if len(given[way]) == len(way)]
        way = whole[0] if whole else max(self.ways, key=lambda way: len(given[way]))
        missing = [name for name in way if name not in config]
        found = [FieldProblem(name, f"is missing: {and_(way)} go together", way) for name in missing]
        choice = ", or ".join(and_(way) for way in self.ways)
        strangers = [name for other in self.ways for name in given[other] if name not in way]
        every = tuple(chain.from_iterable(self.ways))
        return found + [FieldProblem(name, f"give {choice}, not both", every) for name in strangers[:1]]

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the secret fields."""
        return frozenset(field.name for field in self.fields if field.secret)

    @property
    def destinations(self) -> frozenset[str]:
        """The names of the fields that decide where a secret goes."""
        return frozenset(field.name for field in self.fields if field.destination)


class Unproven(Provider):
    """A provider whose credential is kept and never proven: no read-only call is known."""

    proof: ClassVar[str] = "None: no read-only call is known that proves the credential; it is never shown as healthy"
    cost: ClassVar[str] = "nothing: nothing is asked"
    confidence: ClassVar[str] = "none"

    def build_probe(self, config: Mapping[str, object]) -> NoProbe:  # noqa: ARG002 -- there is nothing to ask
        return NoProbe()
