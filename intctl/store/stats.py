"""How many integrations an organisation has, by status."""

from __future__ import annotations

from dataclasses import dataclass

from intctl.db.connect import Database
from intctl.health.status import is_enabled

_STATS = """
SELECT status, count(*) AS n FROM integrations WHERE org_id = :org_id AND deleted_at IS NULL GROUP BY status"""


@dataclass(frozen=True, slots=True)
class Stats:
    """The number of living integrations: in total, and by the meaning of their status."""

    total: int
    active: int
    error: int
    disabled: int


def stats(database: Database, org_id: str) -> Stats:
    """Count the living integrations of an organisation."""
    counts = {row["status"]: int(row["n"]) for row in database.rows(_STATS, {"org_id": org_id})}
    return Stats(
        total=sum(counts.values()),
        active=counts.get("active", 0),
        error=counts.get("error", 0),
        disabled=sum(n for status, n in counts.items() if not is_enabled(status)),
    )
