"""The organisations as `org list` shows them."""

from __future__ import annotations

from dataclasses import dataclass

from intctl.db.connect import Database
from intctl.store import history, organizations


@dataclass(frozen=True, slots=True)
class ListedOrganization:
    """An organisation, and the number of days for which it keeps every check."""

    id: str
    name: str
    slug: str
    retention_days: int


def listed(database: Database) -> list[ListedOrganization]:
    """The readable organisations, by name."""
    return [
        ListedOrganization(one.id, one.name, one.slug, history.retention_days(database, one.id))
        for one in organizations.find_all(database)
    ]
