"""Database URLs: the database that a URL names, and its label in messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from intctl.errors import UsageError

SQLITE = "sqlite"
POSTGRESQL = "postgresql"

_LOOPBACK = frozenset({"", "localhost", "127.0.0.1", "::1"})
# libpq parameters that a URL may have. intctl sets `options` itself. A password file or a service would name the
# target a second time, so they are left to libpq's own environment variables.
_URL_PARAMETERS = frozenset(
    {
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "channel_binding",
        "connect_timeout",
        "application_name",
        "host",
        "port",
        "gssencmode",
        "sslnegotiation",
        "require_auth",
        "target_session_attrs",
        "load_balance_hosts",
    }
)


#: The values of parameters that have a fixed set (libpq, "Parameter Key Words").
_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "load_balance_hosts": ("disable", "random"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """A database. `parameters` may contain a password and is never shown."""

    dialect: str
    path: Path = Path()
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        """The name in messages: the file, or host, port and database name."""
        if self.dialect == SQLITE:
            return str(self.path)
        shown = self.parameters
        hosts, ports = (shown.get(name, "").split(",") for name in ("host", "port"))
        ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
        places = (f"{host or 'the local socket'}:{port}" for host, port in zip(hosts, ports, strict=True))
        return f"PostgreSQL {shown.get('dbname', '')} at {', '.join(places)}"


def sqlite_target(path: Path) -> Target:
    """Return the SQLite database in this file."""
    return Target(SQLITE, path=path)


def _places(text: str) -> tuple[list[str], list[str]]:
    """Return the hosts and ports of a URL: one or, separated by commas, several. Raises ValueError."""
    hosts, ports = [], []
    for place in text.split(","):
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._%/-]*)(?::([0-9]{0,5}))?", place)
        if found is None or int(found[2] or 5432) not in range(1, 65536):
            raise ValueError
        hosts.append(unquote(found[1].strip("[]")))
        ports.append(found[2] or "5432")
    return hosts, ports


def parse_url(url: str, source: str) -> Target:
    """Return the database that `url` names. `source` is where the URL comes from, for messages.

    Raises UsageError, which names the invalid part and never the value.
    """

    def wrong(part: str, hint: str = "") -> UsageError:
        return UsageError(f"{source} is not a valid database URL (part: {part}){hint}")

    url = url.strip()
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise wrong("scheme", "; write postgresql://user@host:5432/name or sqlite:///path")
    if scheme == "sqlite":
        if not rest.startswith("/") or len(rest) < 2:
            raise wrong("path", "; write sqlite:///path, with four slashes for an absolute path")
        return sqlite_target(Path(unquote(rest[1:])))
    if scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise wrong("scheme", "; it is postgresql:// or sqlite:///")
    if "#" in rest:
        raise wrong("password", "; write # as %23")
    if rest.partition("/")[0].count("@") > 1:
        raise wrong("password", "; write @ as %40 and / as %2F")
    login, _, rest_of = rest.rpartition("@") if "@" in rest.partition("/")[0] else ("", "", rest)
    places, slash, path = rest_of.partition("/")
    try:
        hosts, ports = _places(places)
        parts = urlsplit(f"postgresql://{login}{'@' if login else ''}host{slash}{path}")
    except ValueError:
        raise wrong("host or port", "; write special characters in the password as %XX") from None
    parameters = {"host": ",".join(hosts), "port": ",".join(ports), "dbname": unquote(parts.path[1:])}
    if not parameters["dbname"] or "/" in parts.path[1:]:
        raise wrong("database name")
    if parts.username:
        parameters["user"] = unquote(parts.username)
    if parts.password:
        parameters["password"] = unquote(parts.password)
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in _URL_PARAMETERS:
            raise wrong("query", f"; known there: {', '.join(sorted(_URL_PARAMETERS))}")
        if key in _CHOICES and value not in _CHOICES[key]:
            raise wrong(key, f"; one of {', '.join(_CHOICES[key])}")
        parameters[key] = value
    local = all(host in _LOOPBACK or host.startswith("/") for host in parameters["host"].split(","))
    if "sslmode" not in parameters and not local:
        parameters["sslmode"] = "verify-full"
        parameters.setdefault("sslrootcert", "system")
    return Target(POSTGRESQL, parameters=parameters)
