"""The database's clock: the only one that counts, because the clocks of hosts differ."""

from __future__ import annotations

from datetime import datetime

from intctl.db.connect import Database


def now(database: Database) -> datetime:
    """The time of the database."""
    found = database.row("SELECT {now} AS now_at")
    assert found is not None
    moment: datetime = found["now_at"]
    return moment
