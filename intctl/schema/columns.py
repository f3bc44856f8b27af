"""Columns that many tables have, and the `info` of a column."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ForeignKey

from intctl.schema.types import Id, NewId, Now, Time


def key() -> Column[Any]:
    """The primary key: a UUID that the database generates."""
    return Column(Id, primary_key=True, server_default=NewId())


def reference(table: str, *, cascade: bool = False, nullable: bool = False) -> Column[Any]:
    """A foreign key to the `id` of `table`."""
    return Column(Id, ForeignKey(f"{table}.id", ondelete="CASCADE" if cascade else None), nullable=nullable)


def part_of_key(table: str) -> Column[Any]:
    """A foreign key to the `id` of `table` that is part of the primary key."""
    return Column(Id, ForeignKey(f"{table}.id", ondelete="CASCADE"), primary_key=True)


def timestamp() -> Column[Any]:
    """A time column; the default is the time of the insert."""
    return Column(Time, server_default=Now())


def noted(note: str, *, since: str = "") -> dict[str, str]:
    """The `info` of a column: a comment for schema.sql, and the revision if a later one added the column."""
    return {"note": note, "since": since} if since else {"note": note}


def added(note: str) -> dict[str, str]:
    """The `info` of a column that revision 0002 added to a table of the specification."""
    return noted(note, since="0002")
