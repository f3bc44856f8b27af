"""Column types and SQL functions for both databases.

The Python types are the same on both: ids are `str`, times aware UTC `datetime`, JSON plain Python values.
"""

# ruff: noqa: ARG001, ARG002 - SQLAlchemy fixes the signatures of types and compilers
from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from intctl.db.connect import time_text, time_value
from intctl.db.url import POSTGRESQL
from intctl.text import stored_json


class Id(TypeDecorator[str]):
    """A UUID; 36 lower-case characters on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(postgresql.UUID(as_uuid=False) if dialect.name == POSTGRESQL else Text())

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else str(value).lower()

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else str(value)


class Time(TypeDecorator[datetime]):
    """A moment in UTC; the text `YYYY-MM-DDTHH:MM:SS.ffffffZ` on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True) if dialect.name == POSTGRESQL else Text())

    def process_bind_param(self, value: datetime | None, dialect: Any) -> Any:
        return value if value is None or dialect.name == POSTGRESQL else time_text(value)

    def process_result_value(self, value: Any, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return time_value(value) if isinstance(value, str) else value.astimezone(UTC)


class Json(TypeDecorator[Any]):
    """A JSON value; text on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(postgresql.JSONB(none_as_null=True) if dialect.name == POSTGRESQL else Text())

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value if value is None or dialect.name == POSTGRESQL else json.dumps(value)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        if dialect.name == POSTGRESQL or not isinstance(value, str):
            return value
        try:
            return stored_json(value)
        except ValueError:
            return value  # a damaged row: the code that opens it reports it


class Texts(TypeDecorator[list[str]]):
    """A list of texts; a JSON array on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(postgresql.ARRAY(Text()) if dialect.name == POSTGRESQL else Text())

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value if value is None or dialect.name == POSTGRESQL else json.dumps(value)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return stored_json(value) if isinstance(value, str) else value


class NewId(FunctionElement[str]):
    """A random UUID that the database generates."""

    inherit_cache = True
    type = Id()


class Clock(FunctionElement[datetime]):
    """The current time of the database's clock, not the start of the transaction."""

    inherit_cache = True
    type = Time()


class Later(FunctionElement[datetime]):
    """The time of the database's clock plus a number of seconds."""

    inherit_cache = True
    type = Time()


class Now(FunctionElement[datetime]):
    """The default of time columns: NOW(), as in the specification."""

    inherit_cache = True
    type = Time()


class FoldedName(FunctionElement[str]):
    """A name with its ASCII letters in lower case: the same on both databases."""

    inherit_cache = True
    type = Text()


_SQLITE_NEW_ID = (
    "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || "
    "substr('89ab', (random() & 3) + 1, 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))"
)
_SQLITE_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"


@compiles(NewId, "sqlite")
def _new_id_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return _SQLITE_NEW_ID


@compiles(NewId)
def _new_id(element: Any, compiler: Any, **kw: Any) -> str:
    return "gen_random_uuid()"


@compiles(Clock, "sqlite")
@compiles(Now, "sqlite")
def _now_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return _SQLITE_NOW


@compiles(Clock)
def _clock(element: Any, compiler: Any, **kw: Any) -> str:
    return "clock_timestamp()"


@compiles(Now)
def _now(element: Any, compiler: Any, **kw: Any) -> str:
    return "now()"


@compiles(Later, "sqlite")
def _later_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', ({seconds}) || ' seconds')"


@compiles(Later)
def _later(element: Any, compiler: Any, **kw: Any) -> str:
    return f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(FoldedName, "sqlite")
def _folded_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"lower({compiler.process(element.clauses, **kw)})"


@compiles(FoldedName)
def _folded(element: Any, compiler: Any, **kw: Any) -> str:
    return f'lower({compiler.process(element.clauses, **kw)} COLLATE "C")'
