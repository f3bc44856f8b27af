"""Changes of an organisation, its retention and its maintenance windows.

Functions on a session that never commit; `changes.unit_of_work` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from intctl.db.ids import new_id
from intctl.db.url import POSTGRESQL
from intctl.errors import StoreError
from intctl.schema import specification
from intctl.schema.additions import MaintenanceWindow, OrganizationSettings
from intctl.schema.organization import Organization
from intctl.schema.setup import organizations_are_ours
from intctl.store.changes import database_time, require_living, rules


@dataclass(frozen=True, slots=True)
class NewMaintenance:
    """A maintenance window, for one integration or (None) for all of the organisation."""

    id: str
    org_id: str
    integration_id: str | None
    starts_at: datetime
    ends_at: datetime
    weekly: bool
    time_zone: str
    reason: str | None


def create_organization(session: Session, name: str, slug: str) -> Organization:
    """Add an organisation.

    Raises ConflictError when the slug is taken, StoreError when the table is a portal's.
    """
    if not organizations_are_ours(session.connection()):
        raise StoreError(
            "The organizations table belongs to another program. Create the organisation there. Nothing was changed."
        )
    made = Organization(new_id(), name, slug)
    with rules(slug):
        session.add(specification.Organization(id=made.id, name=name, slug=slug))
        session.flush()
    return made


def first_organization(name: str, slug: str) -> Callable[[Session], Organization]:
    """The function that `prepare` calls to create this organisation where none exists yet."""
    return partial(create_organization, name=name, slug=slug)


def set_retention(session: Session, *, org_id: str, days: int) -> None:
    """Set how many days an organisation keeps its checks. Raises NotFoundError when there is no such organisation."""
    kind = postgresql if session.get_bind().dialect.name == POSTGRESQL else sqlite
    with rules():  # one statement: two commands that set the first value at once do not collide
        session.execute(
            kind.insert(OrganizationSettings)
            .values(org_id=org_id, retention_days=days)
            .on_conflict_do_update(index_elements=["org_id"], set_={"retention_days": days})
        )


def add_maintenance(session: Session, new: NewMaintenance) -> None:
    """Add a maintenance window. Raises NotFoundError when there is no such integration."""
    if new.integration_id is not None:
        require_living(session, new.integration_id, new.org_id)
    with rules():
        session.add(
            MaintenanceWindow(
                id=new.id,
                org_id=new.org_id,
                integration_id=new.integration_id,
                starts_at=new.starts_at,
                ends_at=new.ends_at,
                weekly=new.weekly,
                time_zone=new.time_zone,
                reason=new.reason,
                created_at=database_time(),
            )
        )
        session.flush()


def end_maintenance(session: Session, *, id: str, org_id: str, erase: bool) -> None:
    """End a maintenance window now; its past time stays excluded from the figures. `erase`: remove it entirely."""
    window = session.get(MaintenanceWindow, id, with_for_update=True)
    if window is None or window.org_id != org_id:
        return
    if erase:
        session.delete(window)
    elif window.stopped_at is None:
        window.stopped_at = database_time()
    session.flush()
