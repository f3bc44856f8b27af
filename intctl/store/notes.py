"""What a change of an integration leaves behind: a transition to report, and what the history must know."""

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
    """Writes down that the integration falls into error, or leaves it, before its status is changed."""
    was = integration.status
    if was is None or was == status or "error" not in (was, status):
        return
    # Nothing was asked yet; switched off, nothing will be.
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
    """Notes what is changed inside, if it is of those things that the history must know.

    Of a row that nothing is noted of, what it was before is noted first, from its beginning on: as switched on, since
    it is not known how long it was off, and its checks speak for themselves.
    """
    if session.execute(select(_changes.c.changed_at).where(_changes.c.integration_id == id).limit(1)).first() is None:
        made = func.coalesce(_integrations.c.created_at, _integrations.c.updated_at, Clock())
        note_change(session, id, changed_at=made, enabled=true())
    yield
    note_change(session, id)


def note_change(session: Session, id: str, **instead: Any) -> None:
    """Notes what the integration is from now on, unless that is what was noted last."""
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
    # Twice at one moment of the clock: what comes last is what is so.
    session.execute(
        noted.on_conflict_do_update(
            index_elements=["integration_id", "changed_at"],
            set_={name: noted.excluded[name] for name in ("enabled", "interval_minutes", "config_version")},
        )
    )
