"""Names in SQL: the same on both databases, and never read as a pattern."""

from __future__ import annotations

from intctl.db.connect import Database
from intctl.db.url import POSTGRESQL


def folded_name(database: Database) -> str:
    """The name of the integration `i` in lower case (ASCII), with the same order on both databases."""
    return 'lower(i.name COLLATE "C")' if database.dialect == POSTGRESQL else "lower(i.name)"


def like_literal(text: str) -> str:
    """Escape `text` for LIKE … ESCAPE '!'."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
