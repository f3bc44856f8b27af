"""The overview of an organisation: its numbers, its alerts, all of its integrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from intctl.db.connect import Database
from intctl.errors import StoreError
from intctl.store import clock, integrations, organizations
from intctl.store.stats import Stats, stats
from intctl.store.usages import Usage, usages
from intctl.views.alerts import Alert, alerts
from intctl.views.maintenance import Listed, listed


@dataclass(frozen=True, slots=True)
class Overview:
    """The content of the dashboard. `usages` holds the known usages, by integration."""

    organisation: str
    now: datetime
    stats: Stats
    alerts: Sequence[Alert]
    integrations: Sequence[Listed]
    usages: Mapping[str, Usage] = field(default_factory=dict)


def overview(database: Database, org_id: str) -> Overview:
    """Build the overview of an organisation."""
    return Overview(
        organisation=_name(database, org_id),
        stats=stats(database, org_id),
        alerts=alerts(database, org_id),
        integrations=listed(database, org_id, integrations.find_all(database, org_id)),
        usages=usages(database, org_id),
        now=clock.now(database),
    )


def _name(database: Database, org_id: str) -> str:
    """The organisation's name, or its id if the table of organisations cannot be read."""
    try:
        names = {one.id: one.name for one in organizations.find_all(database)}
    except StoreError:
        names = {}
    return names.get(org_id, org_id)
