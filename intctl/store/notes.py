"""Notes of a change of an integration: a transition to report, and a row for the history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import case, exists, false, func, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from intctl.db.ids import new_log_id
from intctl.db.url import POSTGRESQL
from intctl.health.status import DEFAULT_INTERVAL_MINUTES, ENABLED
from intctl.schema.additions import Transition
from intctl.schema.specification import Integration
from intctl.schema.tables import TABLES
from intctl.schema.types import Clock

_tables = {table.name: table for table in TABLES}
_integrations = _tables["integrations"]
_changes = _tables["integration_changes"]


def note_transition(session: Session, integration: Integration, status: str) -> None:
    """Record a transition into or out of the status error, before the status is changed."""
    was = integration.status
    if was is None or was == status or "error" not in (was, status):
        return
    # An enabled integration has not been checked yet; a disabled one will not be.
    verdict, code = ("unknown", "self.not_checked") if status == "active" else (None, None)
    now: Any = Clock()
    written = Transition(
        id=new_log_id(),
        integration_id=integration.id,
        from_status=was,
        to_status=status,
        verdict=verdict,
        code=code,
        changed_at=now,
    )
    session.add(written)
    session.flush()
    session.info["transition", integration.id] = written


@contextmanager
def noted_change(session: Session, id: str) -> Iterator[None]:
    """Record the change made inside the block, if the history needs it.

    If nothing is recorded for the row yet, its previous state is recorded first, from its creation on. That state
    counts as enabled: how long the row was disabled is not known, and its checks show when it was enabled.
    """
    if session.execute(select(_changes.c.changed_at).where(_changes.c.integration_id == id).limit(1)).first() is None:
        made = func.coalesce(_integrations.c.created_at, _integrations.c.updated_at, Clock())
        note_change(session, id, changed_at=made, enabled=true())
    yield
    note_change(session, id)


def note_change(session: Session, id: str, **instead: Any) -> None:
    """Record the present state of the integration, unless it equals the last recorded one."""
    session.flush()
    table = _integrations.c
    on = {
        "integration_id": table.id,
        "changed_at": Clock(),
        "enabled": case((table.deleted_at.is_(None) & table.status.in_(ENABLED), true()), else_=false()),
        "interval_minutes": func.coalesce(table.health_check_interval_minutes, DEFAULT_INTERVAL_MINUTES),
        "config_version": table.config_version,
        **instead,
    }
    newest = select(_changes).where(_changes.c.integration_id == id).order_by(_changes.c.changed_at.desc())
    last = newest.limit(1).subquery().c
    alike = [last[name] == on[name] for name in ("enabled", "interval_minutes", "config_version")]
    source = select(*on.values()).where(table.id == id, ~exists(select(last.integration_id).where(*alike)))
    kind = postgresql if session.get_bind().dialect.name == POSTGRESQL else sqlite
    noted = kind.insert(_changes).from_select(list(on), source)
    # Of two changes with the same time, the last one counts.
    session.execute(
        noted.on_conflict_do_update(
            index_elements=["integration_id", "changed_at"],
            set_={name: noted.excluded[name] for name in ("enabled", "interval_minutes", "config_version")},
        )
    )
