"""Open a database, and run SQL over a plain connection.

Reads and the agent use `Database`: named SQL with `:name` parameters, rows as dictionaries. Changes use SQLModel over
a connection that the same `open_driver` opens (`engine`). Both return the same Python types: ids as `str`, times as
aware UTC `datetime`, JSON as Python values.

Only this room imports a driver. It translates the drivers' errors to `StoreError`, because their texts repeat
connection strings, parameters and rows.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from intctl.db.driver_errors import connect_error, is_read_only, own_errors, read_only_cause, sqlite_error
from intctl.db.url import POSTGRESQL, SQLITE, Target
from intctl.errors import StoreError
from intctl.text import stored_json

#: The Alembic revision that this version requires. A test compares it with the newest migration.
HEAD = "0005"
VERSION_TABLE = "intctl_alembic_version"

# --- opening -------------------------------------------------------------------------------------


def open_driver(target: Target, *, patient: bool = False) -> Any:
    """Open a DB-API connection in autocommit mode. `patient`: no statement timeouts, for migrations."""
    if target.dialect == SQLITE:
        return _open_sqlite(target.path)
    return _open_postgresql(target, patient=patient)


def _open_sqlite(path: Path) -> sqlite3.Connection:
    foreign = StoreError(f"{path} can't be read and written by this user. Run intctl as the user that owns it.")
    require_own_link(path)
    try:
        there = path.exists()
    except OSError:  # the folder can't be entered
        raise foreign from None
    if not there:
        raise StoreError(f"There is no database at {path} yet. Run: intctl init")
    if not path.is_file():
        raise StoreError(f"{path} is not a file, so it can't be the database.")
    if is_read_only(str(path)):
        return _for_reading(path)
    if not os.access(path, os.R_OK | os.W_OK):
        raise foreign
    try:
        connection = _sqlite(path, "mode=rw")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        # An edited or deleted secret leaves no ciphertext in free pages. Some builds of SQLite have it off.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA journal_mode = WAL")
        # A pass changes the same pages repeatedly: checkpoint less often (every 16 MB of log).
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.DatabaseError as error:
        if (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            return _for_reading(path)  # no room for the index of the log: what is there can be read
        raise sqlite_error(error, str(path)) from None
    return connection


def _sqlite(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"file:{_quoted(path)}?{mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5.0, check_same_thread=False)


def _for_reading(path: Path) -> sqlite3.Connection:
    """Open a file that nobody can write to now: it is on a read-only mount, or on a full disk.

    Without a log the file is complete. A log can be read only with its index, which another process may have made.
    """
    log = Path(f"{path}-wal")
    try:
        has_log = log.exists() and log.stat().st_size > 0
        connection = _sqlite(path, "mode=ro" if has_log else "mode=ro&immutable=1")
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except (sqlite3.DatabaseError, OSError) as error:
        why = read_only_cause(str(path))
        if not has_log or not isinstance(error, sqlite3.DatabaseError):
            raise StoreError(f"{path} can't be read: {why}.") from None
        raise StoreError(
            f"{path} can't be read: {why}, and its log {log.name} has changes. Copy both files to a folder with room "
            "for them, and name it in INTCTL_DATABASE_URL."
        ) from None
    return connection


def require_own_link(path: Path) -> None:
    """Raise StoreError if the path of an SQLite file is another user's link, or a link that leads to no file.

    SQLite and open() would follow it, and create or change a file that the other user chose.
    """
    try:
        found = path.lstat()
    except OSError:
        return
    if not stat.S_ISLNK(found.st_mode):
        return
    if found.st_uid not in (0, os.geteuid()):
        raise StoreError(f"{path} is a link that another user made (uid {found.st_uid}). Remove it.")
    if not path.exists():
        raise StoreError(f"{path} is a link that leads to no file. Restore that file, or remove the link.")


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _open_postgresql(target: Target, *, patient: bool) -> Any:
    import psycopg

    from intctl.db.creators import judge
    from intctl.db.postgresql import open_connection

    try:
        connection = open_connection(target.parameters, patient=patient)
    except psycopg.Error as error:
        raise connect_error(error, target) from None
    try:
        with own_errors(target.label):
            judge(connection, target.label)
    except BaseException:
        connection.close()
        raise
    return connection


# --- named SQL -----------------------------------------------------------------------------------

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_TIME_NAMES = frozenset({"last_health_check", "last_sync", "quiet_until"})
_JSON_NAMES = frozenset({"config", "metadata", "last_success"})

#: SQL for `{now}`, `{start}` (of the statement: usable in an index search) and `{after SECONDS}`.
_NOW = {SQLITE: "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')", POSTGRESQL: "clock_timestamp()"}
_START = {SQLITE: _NOW[SQLITE], POSTGRESQL: "statement_timestamp()"}
_AFTER = {
    SQLITE: r"strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', (\1) || ' seconds')",
    POSTGRESQL: r"(clock_timestamp() + make_interval(secs => \1))",
}


# PostgreSQL prefers a function whose parameters fit better, in whatever schema of the path: these are its own. Of
# several arrays, `unnest` is syntax and always its own.
_FUNCTIONS = re.compile(
    r"(?<![\w.])(abs|clock_timestamp|count|current_setting|gen_random_uuid|jsonb_array_elements|jsonb_to_recordset"
    r"|jsonb_typeof|length|lower|make_interval|max|min|pg_try_advisory_xact_lock|random|replace|round|set_config"
    r"|statement_timestamp|string_agg|substr|sum|to_regclass)\("
)


@lru_cache(maxsize=256)
def prepared(sql: str, dialect: str) -> str:
    """Translate `sql` for the driver: the database's clock, its functions, and the style of the parameters."""
    text = sql.replace("{now}", _NOW[dialect]).replace("{start}", _START[dialect])
    text = re.sub(r"\{after ([^}]+)\}", _AFTER[dialect], text)
    if dialect == POSTGRESQL:
        text = _FUNCTIONS.sub(r"pg_catalog.\1(", text)
        text = _PARAMETER.sub(r"%(\1)s", text.replace("%", "%%"))
    return text


def time_text(moment: datetime) -> str:
    """Format a time as SQLite stores it: `YYYY-MM-DDTHH:MM:SS.ffffffZ`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_value(text: str) -> datetime:
    """Parse a time that `time_text` wrote. Anything else is the epoch, so that one bad row does not break a list."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return datetime.fromtimestamp(0, UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Database:
    """One connection in autocommit mode. Only `transaction()` groups statements and commits."""

    def __init__(self, target: Target, connection: Any) -> None:
        self.target = target
        self.dialect = target.dialect
        self._connection = connection
        self._file = _file_id(target)
        self._until: float | None = None
        self._begin = "BEGIN IMMEDIATE"  # take the write lock first: a later upgrade of a read lock can fail
        if target.dialect == POSTGRESQL:
            from intctl.db.postgresql import BEGIN

            self._begin = BEGIN

    def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """Return all rows of a query."""
        with own_errors(self.target.label):
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
        """Return all rows as the driver returns them, which is faster: on SQLite, times and JSON are text."""
        with own_errors(self.target.label):
            found: list[tuple[Any, ...]] = self._connection.execute(
                prepared(sql, self.dialect), self._bound(parameters)
            ).fetchall()
        return found

    def row(self, sql: str, parameters: Mapping[str, object] | None = None) -> dict[str, Any] | None:
        """Return the first row of a query, or None."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def run(self, sql: str, parameters: Mapping[str, object] | None = None) -> int:
        """Run a statement; return the number of affected rows."""
        with own_errors(self.target.label):
            return int(self._connection.execute(prepared(sql, self.dialect), self._bound(parameters)).rowcount)

    def run_many(self, sql: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Run a statement once for each of `rows`, which may have more keys than the statement has parameters."""
        names = set(_PARAMETER.findall(sql))
        with own_errors(self.target.label):
            bound = [self._bound({name: row[name] for name in names}) for row in rows]
            self._connection.cursor().executemany(prepared(sql, self.dialect), bound)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one transaction. On SQLite, it takes the write lock at the start."""
        with own_errors(self.target.label):
            self._connection.execute(self._begin)
            try:
                yield
            except BaseException:
                if self._in_transaction():
                    with suppress(Exception):  # the first error is the one to report
                        self._connection.execute("ROLLBACK")
                raise
            if _file_id(self.target) != self._file:  # SQLite would write to the old file, which nothing else opens
                self._connection.execute("ROLLBACK")
                raise StoreError(f"{self.target.label} was moved or deleted while it was in use. Nothing was saved.")
            self._connection.execute("COMMIT")

    def _in_transaction(self) -> bool:
        return not self.lost if self.dialect == POSTGRESQL else bool(self._connection.in_transaction)

    @property
    def lost(self) -> bool:
        """Return whether the connection is closed."""
        return self.dialect == POSTGRESQL and bool(self._connection.closed)

    def reopen(self) -> None:
        """Replace a lost connection with a new one. Raises StoreError if none can be opened."""
        with suppress(Exception):
            self._connection.close()
        self._connection = open_driver(self.target)
        self._file = _file_id(self.target)
        self.limit(self._until)

    def limit(self, until: float | None) -> None:
        """Limit all waits for statements to this time of the monotonic clock (PostgreSQL only; None: no limit)."""
        self._until = until
        if self.dialect == POSTGRESQL:
            self._connection.until = until

    def close(self) -> None:
        """Close the connection. A second call does nothing."""
        with own_errors(self.target.label):
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
    """Return the identity of the file at the target's path; None if there is none."""
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
        return stored_json(text)
    except ValueError:
        return text  # a damaged row: the code that opens it reports it, the query does not fail


def among(database: Database, sql: str, ids: Sequence[str]) -> tuple[str, dict[str, object]]:
    """Return `sql` with `{among}` replaced by a membership test for these ids, and its parameter."""
    if database.dialect == POSTGRESQL:
        return sql.replace("{among}", "= ANY(CAST(:ids AS uuid[]))"), {"ids": list(ids)}
    return sql.replace("{among}", "IN (SELECT value FROM json_each(:ids))"), {"ids": json.dumps(list(ids))}


def connect(target: Target) -> Database:
    """Connect to a database that is ready.

    Raises StoreError with the command to run if it is missing, not initialised, older or newer.
    """
    database = Database(target, open_driver(target))
    try:
        require_ready(database)
    except BaseException:
        database.close()
        raise
    return database


def current_version(database: Database) -> str | None:
    """Return the revision of the database; None if intctl never prepared it."""
    if database.dialect == SQLITE:
        there = database.row("SELECT 1 FROM sqlite_master WHERE name = :name", {"name": VERSION_TABLE})
    else:
        there = database.row("SELECT 1 WHERE to_regclass(:name) IS NOT NULL", {"name": VERSION_TABLE})
    if there is None:
        return None
    found = database.row(f"SELECT version_num FROM {VERSION_TABLE}")
    return str(found["version_num"]) if found else None


def require_ready(database: Database) -> None:
    """Raise StoreError unless the database has this version's revision."""
    version = current_version(database)
    if version == HEAD:
        return
    label = database.target.label
    if version is None:
        raise StoreError(f"{label} is not initialised. Run: intctl init")
    if version < HEAD:
        raise StoreError(f"{label} was made by an older intctl. Run: intctl init")
    raise StoreError(f"{label} was made by a newer intctl. Upgrade intctl on this machine.")
