"""What a provider is: identity, config fields, and how its credential is proven.

Data declares, `probes` performs: a provider turns a config into a probe value and knows nothing
of sockets. Facts about a vendor stand in the class docstring with their source and confidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from intctl.probes.ask import Probe
from intctl.text import Secret

Kind = Literal["text", "integer", "boolean", "choice", "host", "port", "url", "email", "pem", "path", "json"]

#: What a provider is for.
TYPES = (
    "email", "sms", "calendar", "video", "hris", "payroll", "background_check",
    "job_board", "messaging", "storage", "crm", "custom",
)

#: What stops when an integration of a type fails, for `alerts`.
IMPACT: dict[str, str] = {
    "email": "Emails not sending",
    "sms": "Text messages not sending",
    "calendar": "Calendars not syncing",
    "video": "Meetings cannot be created",
    "hris": "Employee data not syncing",
    "payroll": "Payroll data not syncing",
    "background_check": "Background checks not running",
    "job_board": "Job postings not publishing",
    "messaging": "Messages not posting",
    "storage": "Files not storing",
    "crm": "CRM data not syncing",
    "custom": "This service cannot be used",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a manifest's `config`.

    `secret` values are references in the manifest, sealed at rest and masked wherever shown.
    `destination` says that it decides where a secret goes: changing it asks for the secret again.
    For a url, `choices` are the schemes that it may have (http and https when empty). `pattern`
    must match the whole value; `example` then shows the reader what was meant.
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

    def but(self, **changes: object) -> Field:
        """This field with some of its attributes changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


BASE_URL = Field(
    "base_url", "Ask here instead: replaces scheme and host of every URL of the provider",
    kind="url", destination=True, pattern=r"[^?#]*", example="https://sandbox.example.com",
)
CA_FILE = Field("ca_file", "PEM file of a private certificate authority", kind="path", destination=True)


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


def plain_http_problem(config: Mapping[str, object], name: str) -> list[tuple[str, str]]:
    """A credential does not travel over http:// except to this machine itself."""
    parts = urlsplit(text_of(config, name))
    host = parts.hostname or ""
    if parts.scheme != "http" or host in ("localhost", "::1") or host.startswith("127."):
        return []
    return [(name, "over http:// the credential would travel in clear: use https://")]


class Provider:
    """One kind of external service. Subclasses are declarations: class attributes and `probe`."""

    name: ClassVar[str]
    title: ClassVar[str]
    type: ClassVar[str]
    #: "smtp" or "oauth" when the provider speaks it (for `intctl add smtp|oauth`), else "".
    speaks: ClassVar[str] = ""
    fields: ClassVar[tuple[Field, ...]]
    #: How the credential is proven, in one line, for people.
    proof: ClassVar[str]
    #: The vendor's public status page, if one is known: the JSON of Atlassian Statuspage's API v2.
    status_page: ClassVar[str] = ""

    def check(self, config: Mapping[str, object]) -> list[tuple[str, str]]:
        """What is wrong with this config beyond its single fields: (field name, message) pairs."""
        return plain_http_problem(config, "base_url")

    def complete(self, config: Mapping[str, object]) -> dict[str, object]:
        """The config with the presets filled in that depend on other fields."""
        return dict(config)

    def probe(self, config: Mapping[str, object]) -> Probe:
        """What to ask to prove this config. Pure: the same config gives the same probe."""
        raise NotImplementedError

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the secret fields."""
        return frozenset(field.name for field in self.fields if field.secret)

    @property
    def destinations(self) -> frozenset[str]:
        """The names of the fields that decide where a secret goes."""
        return frozenset(field.name for field in self.fields if field.destination)
