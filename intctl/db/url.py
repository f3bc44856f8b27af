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
    }
)


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
        return f"PostgreSQL {shown.get('dbname', '')} at {shown.get('host') or 'the local socket'}:{shown['port']}"


def sqlite_target(path: Path) -> Target:
    """Return the SQLite database in this file."""
    return Target(SQLITE, path=path)


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
    try:
        parts = urlsplit(f"postgresql://{rest}")
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise wrong("host or port", "; write special characters in the password as %XX") from None
    parameters = {"host": unquote(host), "port": str(port or 5432), "dbname": unquote(parts.path[1:])}
    if host and not re.fullmatch(r"[A-Za-z0-9._:%/-]+", host):
        raise wrong("host")
    if not parameters["dbname"] or "/" in parts.path[1:]:
        raise wrong("database name")
    if parts.username:
        parameters["user"] = unquote(parts.username)
    if parts.password:
        parameters["password"] = unquote(parts.password)
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in _URL_PARAMETERS:
            raise wrong("query", f"; known there: {', '.join(sorted(_URL_PARAMETERS))}")
        parameters[key] = value
    host = parameters["host"]
    if "sslmode" not in parameters and host not in _LOOPBACK and not host.startswith("/"):
        parameters["sslmode"] = "verify-full"
        parameters.setdefault("sslrootcert", "system")
    return Target(POSTGRESQL, parameters=parameters)
