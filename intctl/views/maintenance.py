"""Which integrations are in maintenance now, and until when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from intctl.db.connect import Database
from intctl.store import clock
from intctl.store.integrations import Integration
from intctl.store.maintenance import windows


@dataclass(frozen=True, slots=True)
class Listed:
    """An integration as a list shows it; `maintenance_until` is None if it is not in maintenance."""

    integration: Integration
    maintenance_until: datetime | None = None


def listed(database: Database, org_id: str, integrations: Sequence[Integration]) -> list[Listed]:
    """These integrations of one organisation, each with the end of its maintenance."""
    ends = maintenance_ends(database, org_id)
    return [Listed(one, maintenance_until(ends, one.id)) for one in integrations]


def maintenance_ends(database: Database, org_id: str) -> Mapping[str | None, datetime]:
    """The end of each current maintenance by integration; the key None means the whole organisation."""
    planned = windows(database, org_id)
    if not planned:
        return {}
    from intctl.metrics.maintenance import until

    return until(planned, clock.now(database))


def maintenance_until(ends: Mapping[str | None, datetime], id: str) -> datetime | None:
    """The end of one integration's maintenance: the later of its own window and that of all."""
    if not ends:
        return None
    return max((ends[key] for key in (None, id) if key in ends), default=None)
