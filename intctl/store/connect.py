"""The one function that opens a database, and the plain connection behind both doors.

Reads and the agent use `Database`: named SQL with `:name` parameters, rows as dictionaries. The
changes go through SQLModel over a connection that the same `_open` made (`engine`). Both doors
return the same Python types: ids as `str`, times as aware UTC `datetime`, JSON as Python values.

This is the only room that imports a driver, and where the drivers' errors stop: their texts echo
connection strings, parameters and rows, so only our own words leave (`StoreError`).
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from intctl.errors import BusyError, ConflictError, RefusedError, StoreError, UsageError

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

#: The Alembic revision that this version works with. A test holds it to the migrations' head.
HEAD = "0004"
VERSION_TABLE = "intctl_alembic_version"

SQLITE = "sqlite"
POSTGRESQL = "postgresql"

_LOOPBACK = frozenset({"", "localhost", "127.0.0.1", "::1"})
# libpq parameters that a URL may carry. `options` is ours; a password file or a service would be a
# second place where the target is said, so they are left to libpq's own environment variables.
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
# SQLSTATEs after which the same statement may succeed a moment later.
_TRANSIENT = re.compile(r"^(08...|57P0[1235]|25P0[34]|40001|40P01|55P03|53300|25006)$")


@dataclass(frozen=True, slots=True)
class Target:
    """Which database. `parameters` may hold a password and is never shown."""

    dialect: str
    path: Path = Path()
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        """What it is called in messages: the file, or host, port and database name."""
        if self.dialect == SQLITE:
            return str(self.path)
        shown = self.parameters
        return f"PostgreSQL {shown.get('dbname', '')} at {shown.get('host') or 'the local socket'}:{shown['port']}"


def sqlite_target(path: Path) -> Target:
    """The embedded database in this file."""
    return Target(SQLITE, path=path)


def parse_url(url: str, source: str) -> Target:
    """The database that `url` names. `source` says where it was read, for messages.

    Raises UsageError, which names the wrong part and never the value.
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


# --- opening -------------------------------------------------------------------------------------


def _open(target: Target, *, patient: bool = False) -> Any:
    """A DB-API connection in autocommit mode. `patient`: no statement time-outs, for migrations."""
    if target.dialect == SQLITE:
        return _open_sqlite(target.path)
    return _open_postgresql(target, patient=patient)


def _open_sqlite(path: Path) -> sqlite3.Connection:
    foreign = StoreError(f"{path} can't be read and written by this user. Run intctl as the user that owns it.")
    try:
        there = path.exists()
    except OSError:  # the folder can't be entered
        raise foreign from None
    if not there:
        raise StoreError(f"There is no database at {path} yet. Run: intctl init")
    if not path.is_file():
        raise StoreError(f"{path} is not a file, so it can't be the database.")
    if not os.access(path, os.R_OK | os.W_OK):
        raise foreign
    try:
        connection = sqlite3.connect(
            f"file:{_quoted(path)}?mode=rw", uri=True, isolation_level=None, timeout=5.0, check_same_thread=False
        )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_mode = WAL")
        # A pass writes the same pages again and again: they go to the file itself less often (16 MB of log).
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
    except sqlite3.DatabaseError as error:
        raise _sqlite_error(error, str(path)) from None
    return connection


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _open_postgresql(target: Target, *, patient: bool) -> Any:
    import psycopg

    from intctl.store.postgresql import open_connection

    try:
        return open_connection(target.parameters, patient=patient)
    except psycopg.Error as error:
        raise _connect_error(error, target) from None


def _connect_error(error: Exception, target: Target) -> StoreError:
    # libpq gives no SQLSTATE while connecting, so its text is searched — and never shown.
    said = str(error).lower()
    reasons = (
        ("password authentication failed", "the password was refused", False),
        ("no password supplied", "it wants a password", False),
        ("no pg_hba.conf entry", "this host or user is not let in (pg_hba.conf)", False),
        ("certificate verify failed", "its certificate is not trusted; name the CA with ?sslrootcert=FILE", False),
        ("does not support ssl", "it has no TLS; on a trusted network add ?sslmode=disable", False),
        ('database "', "there is no database of that name", False),
        ('role "', "there is no user of that name", False),
        ("certificate file", "the file that sslrootcert or sslcert names can't be used", False),
        ("too many", "it has no connection free", True),
        ("timeout", "it did not answer in 5 seconds", True),
        ("refused", "the connection was refused", True),
        ("resolve", "its host name could not be looked up", True),
        ("starting up", "it is starting up", True),
        ("read-only", "it is read-only", True),
    )
    for fragment, reason, transient in reasons:
        if fragment in said:
            return StoreError(f"Can't connect to {target.label}: {reason}.", transient=transient)
    return StoreError(f"Can't connect to {target.label}.", transient=True)


# --- errors --------------------------------------------------------------------------------------


def _sqlite_error(error: sqlite3.Error, label: str) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, sqlite3.IntegrityError):
        return ConflictError("The database refused the change: it would break one of its rules.")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusyError(f"{label} is in use by another process, and stayed so for 5 seconds. Try again.")
    if code == sqlite3.SQLITE_NOTADB:
        return StoreError(f"{label} is not an SQLite database. It was not touched.")
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreError(f"{label} is damaged. Restore it from a backup.")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return StoreError(f"{label} could not be written: the disk is full or failing. Nothing was saved.")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreError(f"{label} can't be opened for writing by this user.")
    if "no such" in str(error):
        return StoreError(f"{label} does not have intctl's tables. Run: intctl init")
    return StoreError(f"{label} did not take a statement (SQLite error {code}).")


def _postgresql_error(error: Any, label: str) -> Exception:
    state = error.sqlstate or ""
    if state == "23505":
        return ConflictError("The database refused the change: that already exists.")
    if state.startswith("23"):
        return ConflictError("The database refused the change: it would break one of its rules.")
    if state == "42501":
        return StoreError(f"{label}: this user lacks a privilege that intctl needs. See docs/postgresql.md.")
    if state in ("42P01", "42703"):
        return StoreError(f"{label} does not have intctl's tables. Run: intctl init")
    if state == "55P03":
        return StoreError(f"{label}: a lock was held for more than 3 seconds. Try again.", transient=True)
    if state == "57014":
        return StoreError(f"{label}: a statement took more than 5 seconds and was cancelled.", transient=True)
    if state == "53100":
        return StoreError(f"{label}: its disk is full. Nothing was saved.")
    if type(error).__name__ == "Cut":
        return StoreError(f"{label} gave no answer in time, and the connection was ended.", transient=True)
    if state.startswith("22"):
        return RefusedError(f"{label} refused a value ({state}). Nothing was saved.")
    transient = not state or bool(_TRANSIENT.match(state))
    return StoreError(f"{label} did not take a statement ({state or 'connection lost'}).", transient=transient)


def translate(error: BaseException, label: str) -> Exception | None:
    """Our error for a driver's (or SQLAlchemy's) one, or None if it is not one of theirs."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, UnicodeEncodeError):  # bytes of the command line that were no text
        return UsageError("What was given is not valid UTF-8, so it can't be in the database.")
    if isinstance(original, sqlite3.Error):
        return _sqlite_error(original, label)
    if any(base.__module__.partition(".")[0] == "psycopg" for base in type(original).__mro__):
        return _postgresql_error(original, label)
    return None


@contextmanager
def _funnel(label: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        ours = translate(error, label)
        if ours is None:
            raise
        raise ours from None


# --- the plain door ------------------------------------------------------------------------------

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_TIME_NAMES = frozenset({"last_health_check", "last_sync", "quiet_until"})
_JSON_NAMES = frozenset({"config", "metadata", "last_success"})

#: What stands for `{now}`, `{start}` (of the statement: an index can be searched for it) and `{after SECONDS}`.
_NOW = {SQLITE: "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')", POSTGRESQL: "clock_timestamp()"}
_START = {SQLITE: _NOW[SQLITE], POSTGRESQL: "statement_timestamp()"}
_AFTER = {
    SQLITE: r"strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', (\1) || ' seconds')",
    POSTGRESQL: r"(clock_timestamp() + make_interval(secs => \1))",
}


@lru_cache(maxsize=256)
def prepared(sql: str, dialect: str) -> str:
    """`sql` in the driver's own words: the clock spelled out, parameters in its style."""
    text = sql.replace("{now}", _NOW[dialect]).replace("{start}", _START[dialect])
    text = re.sub(r"\{after ([^}]+)\}", _AFTER[dialect], text)
    if dialect == POSTGRESQL:
        text = _PARAMETER.sub(r"%(\1)s", text.replace("%", "%%"))
    return text


def time_text(moment: datetime) -> str:
    """A time as SQLite keeps it: `YYYY-MM-DDTHH:MM:SS.ffffffZ`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_value(text: str) -> datetime:
    """The time that `time_text` wrote; for what another hand wrote there, the epoch: one row spoils no list."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return datetime.fromtimestamp(0, UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Database:
    """One connection, in autocommit mode. `transaction()` groups statements; nothing else commits."""

    def __init__(self, target: Target, connection: Any) -> None:
        self.target = target
        self.dialect = target.dialect
        self._connection = connection
        self._file = _file_id(target)
        self._until: float | None = None
        self._begin = "BEGIN IMMEDIATE"  # the write lock at once, so that it can't be lost later
        if target.dialect == POSTGRESQL:
            from intctl.store.postgresql import BEGIN

            self._begin = BEGIN

    def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """All rows of a query."""
        with _funnel(self.target.label):
            cursor = self._connection.execute(prepared(sql, self.dialect), self._bound(parameters))
            if cursor.description is None:
                return []
            names = [column[0] for column in cursor.description]
            found = cursor.fetchall()
        if self.dialect == POSTGRESQL:
            return [dict(zip(names, row, strict=False)) for row in found]
        times = [i for i, name in enumerate(names) if name in _TIME_NAMES or name.endswith("_at")]
        documents = [i for i, name in enumerate(names) if name in _JSON_NAMES]
        answer = []
        for row in found:
            values = list(row)
            for i in times:
                if values[i] is not None:
                    values[i] = time_value(values[i])
            for i in documents:
                values[i] = _json_value(values[i])
            answer.append(dict(zip(names, values, strict=True)))
        return answer

    def tuples(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """All rows of a query as the driver gives them, which is quicker: on SQLite, times and JSON as text."""
        with _funnel(self.target.label):
            found: list[tuple[Any, ...]] = self._connection.execute(
                prepared(sql, self.dialect), self._bound(parameters)
            ).fetchall()
        return found

    def row(self, sql: str, parameters: Mapping[str, object] | None = None) -> dict[str, Any] | None:
        """The first row of a query, or None."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def run(self, sql: str, parameters: Mapping[str, object] | None = None) -> int:
        """Runs a statement; how many rows it touched."""
        with _funnel(self.target.label):
            return int(self._connection.execute(prepared(sql, self.dialect), self._bound(parameters)).rowcount)

    def run_many(self, sql: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Runs a statement once for each of `rows`, which may hold more than the statement asks for."""
        names = set(_PARAMETER.findall(sql))
        with _funnel(self.target.label):
            bound = [self._bound({name: row[name] for name in names}) for row in rows]
            self._connection.cursor().executemany(prepared(sql, self.dialect), bound)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. On SQLite it takes the write lock at once, so that it can't lose it later."""
        with _funnel(self.target.label):
            self._connection.execute(self._begin)
            try:
                yield
            except BaseException:
                if self._in_transaction():
                    with suppress(Exception):  # what went wrong first is what is told
                        self._connection.execute("ROLLBACK")
                raise
            if _file_id(self.target) != self._file:  # SQLite would go on writing to where nobody looks
                self._connection.execute("ROLLBACK")
                raise StoreError(f"{self.target.label} was moved or deleted while it was in use. Nothing was saved.")
            self._connection.execute("COMMIT")

    def _in_transaction(self) -> bool:
        return not self.lost if self.dialect == POSTGRESQL else bool(self._connection.in_transaction)

    @property
    def lost(self) -> bool:
        """Whether the connection was ended, by whomever."""
        return self.dialect == POSTGRESQL and bool(self._connection.closed)

    def reopen(self) -> None:
        """A new connection in the place of one that was lost. Raises StoreError when there is none to be had."""
        with suppress(Exception):
            self._connection.close()
        self._connection = _open(self.target)
        self._file = _file_id(self.target)
        self.limit(self._until)

    def limit(self, until: float | None) -> None:
        """No statement is waited for beyond this moment of the monotonic clock (PostgreSQL; None: no such moment)."""
        self._until = until
        if self.dialect == POSTGRESQL:
            self._connection.until = until

    def close(self) -> None:
        """Ends the connection; safe to call twice."""
        with _funnel(self.target.label):
            self._connection.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _bound(self, parameters: Mapping[str, object] | None) -> dict[str, object]:
        if not parameters:
            return {}
        if self.dialect == POSTGRESQL:
            from psycopg.types.json import Jsonb

            return {key: Jsonb(value) if isinstance(value, dict) else value for key, value in parameters.items()}
        return {key: _sqlite_value(value) for key, value in parameters.items()}


def _file_id(target: Target) -> tuple[int, int] | None:
    """Which file stands at the target's path; None where there is none."""
    if target.dialect != SQLITE:
        return None
    try:
        found = target.path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _sqlite_value(value: object) -> object:
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, allow_nan=False)
    return value


def _json_value(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text  # a damaged row: shown as such by whoever opens it, never an error of the query


def connect(target: Target) -> Database:
    """The plain door to a database that is ready.

    Raises StoreError with the command to run when it is missing, not initialised, older or newer.
    """
    database = Database(target, _open(target))
    try:
        require_ready(database)
    except BaseException:
        database.close()
        raise
    return database


def current_version(database: Database) -> str | None:
    """The revision that the database is at; None when intctl never prepared it."""
    if database.dialect == SQLITE:
        there = database.row("SELECT 1 FROM sqlite_master WHERE name = :name", {"name": VERSION_TABLE})
    else:
        there = database.row("SELECT 1 WHERE to_regclass(:name) IS NOT NULL", {"name": VERSION_TABLE})
    if there is None:
        return None
    found = database.row(f"SELECT version_num FROM {VERSION_TABLE}")
    return str(found["version_num"]) if found else None


def require_ready(database: Database) -> None:
    """Raises StoreError unless the database is at this version's revision."""
    version = current_version(database)
    if version == HEAD:
        return
    label = database.target.label
    if version is None:
        raise StoreError(f"{label} is not initialised. Run: intctl init")
    if version < HEAD:
        raise StoreError(f"{label} was made by an older intctl. Run: intctl init")
    raise StoreError(f"{label} was made by a newer intctl. Upgrade intctl on this machine.")


# --- the other door ------------------------------------------------------------------------------


def engine(target: Target, *, patient: bool = False) -> Engine:
    """An SQLAlchemy engine over `_open`: for SQLModel sessions and for migrations."""
    from sqlalchemy import NullPool, create_engine, event

    url = "sqlite://" if target.dialect == SQLITE else "postgresql+psycopg://"

    def creator() -> Any:
        connection = _open(target, patient=patient)
        if target.dialect == POSTGRESQL:
            connection.autocommit = False
        return connection

    made = create_engine(url, creator=creator, poolclass=NullPool, hide_parameters=True)
    if target.dialect == SQLITE:
        # isolation_level is None, so nobody begins for us: every transaction takes the write lock.
        @event.listens_for(made, "begin")
        def _begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    elif not patient:
        from intctl.store.postgresql import LIMITS

        @event.listens_for(made, "begin")
        def _limit(connection: Any) -> None:
            connection.exec_driver_sql(LIMITS)

    return made
