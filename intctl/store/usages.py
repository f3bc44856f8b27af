"""The quota usage that providers reported last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from intctl.db.connect import Database
from intctl.health.log_entry import read
from intctl.probes.usage import sound, worded

# Successful checks report a quota, and so does the newest check where nothing works because the quota is exhausted.
_USAGE = """
SELECT i.id, i.config_version, l.checked_at, l.metadata
  FROM integrations i JOIN integration_health_logs l ON l.id IN (
       (SELECT n.id FROM integration_health_logs n WHERE n.integration_id = i.id
         ORDER BY n.checked_at DESC, n.id DESC LIMIT 1),
       (SELECT n.id FROM integration_health_logs n WHERE n.integration_id = i.id AND n.status = 'success'
         ORDER BY n.checked_at DESC, n.id DESC LIMIT 1))
 WHERE i.org_id = :org_id AND i.deleted_at IS NULL"""


@dataclass(frozen=True, slots=True)
class Usage:
    """The use of a quota, or a balance, as the provider reported it at `as_of`. Its first fields are `usage.KEYS`."""

    kind: str
    used: float | None
    limit: float | None
    remaining: float | None
    percent: int | None
    period: str | None
    unit: str | None
    as_of: datetime

    @property
    def text(self) -> str:
        """`247 of 25,000 emails today (1 %)`, `balance 12.50 EUR`."""
        return worded(
            {
                "kind": self.kind,
                "used": self.used,
                "limit": self.limit,
                "remaining": self.remaining,
                "percent": self.percent,
                "period": self.period,
                "unit": self.unit,
            }
        )


def usages(database: Database, org_id: str, *, id: str | None = None) -> dict[str, Usage]:
    """The usage that each provider reported last, by integration: of all, or of one.

    A report to an earlier config may be about another account, and is left out.
    """
    text, parameters = _USAGE, {"org_id": org_id}
    if id is not None:
        text += " AND i.id = :id"
        parameters["id"] = id
    found: dict[str, Usage] = {}
    for row in database.rows(f"{text} ORDER BY l.checked_at, l.id", parameters):
        known = read(row["metadata"])
        reported = known.facts.get("usage")
        if known.config_version == row["config_version"] and isinstance(reported, dict) and sound(reported):
            found[row["id"]] = Usage(**reported, as_of=row["checked_at"])
    return found
