"""Translate the drivers' errors: their texts repeat connection strings, parameters and rows, so none is shown."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from intctl.db.url import Target
from intctl.errors import BusyError, ConflictError, RefusedError, StoreError, UsageError

# SQLSTATEs after which a retry of the same statement may succeed.
_TRANSIENT = re.compile(r"^(08...|57P0[1235]|25P0[34]|40001|40P01|55P03|53300|25006)$")


def connect_error(error: Exception, target: Target) -> StoreError:
    # libpq has no SQLSTATE for a failed connection, so its text is searched, and never shown.
    said = str(error).lower()
    reasons = (
        ("password authentication failed", "the password was refused", False),
        ("no password supplied", "the server requires a password", False),
        ("no pg_hba.conf entry", "the server does not allow this host or user (pg_hba.conf)", False),
        ("certificate verify failed", "its certificate is not trusted; name the CA with ?sslrootcert=FILE", False),
        ("does not support ssl", "the server has no TLS; on a trusted network add ?sslmode=disable", False),
        ('database "', "there is no database with that name", False),
        ('role "', "there is no user with that name", False),
        ("certificate file", "the file that sslrootcert or sslcert names can't be used", False),
        ("too many", "the server has no free connection", True),
        ("timeout", "the server did not answer in 5 seconds", True),
        ("refused", "the connection was refused", True),
        ("resolve", "the host name could not be looked up", True),
        ("starting up", "the server is starting up", True),
        ("read-only", "the server is read-only", True),
    )
    for fragment, reason, transient in reasons:
        if fragment in said:
            return StoreError(f"Can't connect to {target.label}: {reason}.", transient=transient)
    return StoreError(f"Can't connect to {target.label}.", transient=True)


def is_read_only(path: str) -> bool:
    """Whether a file is on a file system that is mounted read-only."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def read_only_cause(path: str) -> str:
    """Why an SQLite file cannot be written, for messages."""
    return "its file system is mounted read-only" if is_read_only(path) else "the disk is full or failing"


def sqlite_error(error: sqlite3.Error, label: str) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, sqlite3.IntegrityError):
        return ConflictError("The database rejected the change: it would violate a constraint.")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusyError(f"{label} was locked by another process for 5 seconds. Try again.")
    if code == sqlite3.SQLITE_NOTADB:
        return StoreError(f"{label} is not an SQLite database. It was not touched.")
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreError(f"{label} is damaged. Restore it from a backup (docs/backup.md).")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return StoreError(f"{label} could not be written: the disk is full or failing. Nothing was saved.")
    if code == sqlite3.SQLITE_READONLY:
        why = read_only_cause(label) if is_read_only(label) else "the disk is full, or this user lacks the permission"
        return StoreError(f"{label} can't be opened for writing: {why}. Nothing was saved.")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreError(f"{label} can't be opened for writing by this user.")
    if "no such" in str(error):
        return StoreError(f"{label} does not have intctl's tables. Run: intctl init")
    return StoreError(f"{label} rejected a statement (SQLite error {code}).")


def _postgresql_error(error: Any, label: str) -> Exception:
    state = error.sqlstate or ""
    if state == "23505":
        return ConflictError("The database rejected the change: the row already exists.")
    if state.startswith("23"):
        return ConflictError("The database rejected the change: it would violate a constraint.")
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
        return StoreError(f"{label} did not answer in time, so the connection was closed.", transient=True)
    if state.startswith("22"):
        return RefusedError(f"{label} rejected a value ({state}). Nothing was saved.")
    transient = not state or bool(_TRANSIENT.match(state))
    return StoreError(f"{label} rejected a statement ({state or 'connection lost'}).", transient=transient)


def translate(error: BaseException, label: str) -> Exception | None:
    """Translate an error of a driver or of SQLAlchemy; None for any other error."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, UnicodeEncodeError):  # bytes of the command line that are not text
        return UsageError("The text is not valid UTF-8, so it can't be in the database.")
    if isinstance(original, sqlite3.Error):
        return sqlite_error(original, label)
    if any(base.__module__.partition(".")[0] == "psycopg" for base in type(original).__mro__):
        return _postgresql_error(original, label)
    return None


@contextmanager
def own_errors(label: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        ours = translate(error, label)
        if ours is None:
            raise
        raise ours from None
