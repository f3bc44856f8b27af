"""Changes of integrations: functions on a session that never commit. `unit_of_work` commits, once, at the end.

Each acts inside one organisation; a row that does not exist, or belongs to another, is a NotFoundError. All
timestamps come from the database's clock. The schedule is locked and written before the integration, in the order
in which the agent locks them: the reverse order could deadlock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, case, select

from intctl.db.connect import Database, require_ready
from intctl.db.driver_errors import translate
from intctl.db.ids import new_id, new_log_id
from intctl.db.url import Target
from intctl.errors import ConflictError, NotFoundError
from intctl.health import log_entry
from intctl.health.judge import Standing, settle
from intctl.health.outcome import Outcome
from intctl.health.status import LOG_STATUS, interval_minutes, is_enabled
from intctl.schema.additions import Schedule, Transition
from intctl.schema.engine import engine
from intctl.schema.specification import HealthLog, Integration
from intctl.schema.types import Clock, Later
from intctl.store.notes import note_change, note_transition, noted_change

__all__ = [
    "Changed",
    "Due",
    "NewIntegration",
    "database_time",
    "delete_integration",
    "insert_integration",
    "new_id",
    "new_log_id",
    "record_outcome",
    "record_sync",
    "require_living",
    "restore_integration",
    "rules",
    "set_interval",
    "set_status",
    "unit_of_work",
    "update_integration",
]

#: When an integration is checked next: at once, one interval from now, or not at all.
Due = Literal["now", "later", "never"]


@dataclass(frozen=True, slots=True)
class NewIntegration:
    """An integration to add. `config` is a sealed envelope; version 0 is a draft of one."""

    id: str
    org_id: str
    type: str
    provider: str
    name: str
    config: dict[str, Any] = field(repr=False)
    status: str
    interval_minutes: int
    due: Due
    config_version: int = 1


@dataclass(frozen=True, slots=True)
class Changed:
    """The new values of an integration: None keeps the old one. `config` is a sealed envelope."""

    name: str | None = None
    config: dict[str, Any] | None = field(default=None, repr=False)
    type: str | None = None
    interval_minutes: int | None = None
    status: str | None = None
    due: Due | None = None


@contextmanager
def unit_of_work(target: Target) -> Iterator[Session]:
    """Open a session in one transaction: committed at the end, rolled back on any error.

    Queries flush nothing: each change controls the order of its writes. Raises StoreError when the database
    is not ready, and translates the driver's errors into intctl's own.
    """
    made = engine(target)
    try:
        with Session(made, autoflush=False) as session:
            raw = session.connection().connection.dbapi_connection
            require_ready(Database(target, raw))
            yield session
            session.commit()
    except Exception as error:
        ours = translate(error, target.label)
        if ours is None:
            raise
        raise ours from None
    finally:
        made.dispose()


@contextmanager
def rules(name: str = "") -> Iterator[None]:
    """Translate a broken constraint of the database into an error of intctl."""
    try:
        yield
    except IntegrityError as error:
        diagnostics = getattr(error.orig, "diag", None)
        rule = (diagnostics.constraint_name or "") if diagnostics else str(error.orig)
        if "uq_integrations_org_name" in rule:
            raise ConflictError(f'There is already an integration named "{name}".') from None
        if "organizations" in rule and "slug" in rule:
            raise ConflictError(f'There is already an organisation with the slug "{name}".') from None
        # SQLite does not name the constraint; the organisation is the only reference that intctl writes.
        if "org_id_fkey" in rule or "FOREIGN KEY" in rule:
            raise NotFoundError("No such organisation.") from None
        raise


def database_time(in_seconds: int = 0) -> Any:
    """The database's time as the value of a column: now, or `in_seconds` from now."""
    return Later(in_seconds) if in_seconds else Clock()


# --- integrations --------------------------------------------------------------------------------


def insert_integration(session: Session, new: NewIntegration) -> None:
    """Add an integration and its schedule.

    Raises ConflictError when the name is taken, NotFoundError when there is no such organisation.
    """
    with rules(new.name):
        session.add(
            Integration(
                id=new.id,
                org_id=new.org_id,
                type=new.type,
                provider=new.provider,
                name=new.name,
                config=new.config,
                status=new.status,
                health_check_interval_minutes=new.interval_minutes,
                config_version=new.config_version,
                created_at=database_time(),
                updated_at=database_time(),
            )
        )
        session.flush()
    session.add(Schedule(integration_id=new.id, next_check_at=_due_at(new.due, new.interval_minutes)))
    note_change(session, new.id)


def update_integration(session: Session, *, id: str, org_id: str, expected_version: int, changed: Changed) -> None:
    """Update the given fields. A new config increments config_version and resets attempts and rejections.

    Raises ConflictError when config_version is no longer `expected_version`, or the name is taken.
    """
    rows = require_living(session, id, org_id)
    integration = rows.integration
    if integration.config_version != expected_version:
        raise ConflictError(f'"{integration.name}" was modified by another process. Review it and try again.')
    _reschedule_for(session, rows, changed)
    values: dict[str, Any] = {
        "name": changed.name,
        "config": changed.config,
        "type": changed.type,
        "status": changed.status,
        "health_check_interval_minutes": changed.interval_minutes,
        "config_version": None if changed.config is None else expected_version + 1,
    }
    given = {column: value for column, value in values.items() if value is not None}
    if given:
        with rules(changed.name or ""), noted_change(session, id):
            _set(session, integration, **given, updated_at=database_time())


def _reschedule_for(session: Session, rows: Rows, changed: Changed) -> None:
    """Apply an update to the schedule: due time, attempts and rejections."""
    schedule, due = rows.schedule, changed.due
    minutes = changed.interval_minutes or rows.interval_minutes
    if not is_enabled(changed.status or rows.integration.status):
        due = "never"
    elif due is None and changed.config is not None and schedule is None:
        due = "now"
    if changed.config is not None and schedule is None:
        # A row that a portal created has no schedule yet.
        schedule = Schedule(integration_id=rows.integration.id)
        session.add(schedule)
    if schedule is None:
        return
    if changed.config is not None:
        schedule.attempts = schedule.rejections = 0
    if due is not None:
        schedule.next_check_at = _due_at(due, minutes)
    elif changed.interval_minutes is not None:
        _sooner(schedule, changed.interval_minutes)
    session.flush()


def set_status(session: Session, *, id: str, org_id: str, status: Literal["active", "inactive"]) -> bool:
    """Enable an integration (due now, its error cleared) or disable it. False if nothing changed."""
    rows = require_living(session, id, org_id)
    if (rows.integration.status or "inactive") == status:
        return False
    on = status == "active"
    _reschedule(session, rows.schedule, due="now" if on else "never", forget=on)
    cleared: dict[str, Any] = {"error_count": 0, "error_message": None} if on else {}
    with noted_change(session, id):
        _set(session, rows.integration, status=status, **cleared, updated_at=database_time())
    return True


def delete_integration(session: Session, *, id: str, org_id: str) -> None:
    """Mark an integration as deleted: it is never checked, and its name is free. Its history stays."""
    rows = require_living(session, id, org_id)
    _reschedule(session, rows.schedule, due="never", forget=False)
    with noted_change(session, id):
        _set(session, rows.integration, status="inactive", deleted_at=database_time(), updated_at=database_time())


def restore_integration(session: Session, *, id: str, org_id: str, name: str | None = None) -> None:
    """Restore a deleted integration, under another name if one is given.

    It is restored as inactive: the credential may have been revoked with the deletion, and a login with a revoked
    one can lock the account, so a person must enable it. Raises ConflictError when the name is taken.
    """
    rows = _locked(session, id, org_id, deleted=True)
    wanted = name or rows.integration.name
    _reschedule(session, rows.schedule, due="never", forget=True)
    with rules(wanted), noted_change(session, id):
        _set(session, rows.integration, status="inactive", deleted_at=None, name=wanted, updated_at=database_time())


def set_interval(session: Session, *, id: str, org_id: str, minutes: int) -> bool:
    """Set the check interval; a shorter one counts from now. False if nothing changed."""
    rows = require_living(session, id, org_id)
    if rows.interval_minutes == minutes:
        return False
    if rows.schedule is not None:
        _sooner(rows.schedule, minutes)
        session.flush()
    with noted_change(session, id):
        _set(session, rows.integration, health_check_interval_minutes=minutes, updated_at=database_time())
    return True


def record_sync(session: Session, *, id: str, org_id: str, at: datetime | None, failed: str | None) -> None:
    """Record a data sync (`at`, or now), or why it failed. A failure leaves last_sync unchanged."""
    integration = require_living(session, id, org_id).integration
    if failed is not None:
        _set(session, integration, last_sync_error=failed)
    else:
        _set(session, integration, last_sync=database_time() if at is None else at, last_sync_error=None)


def record_outcome(session: Session, *, id: str, org_id: str, check_type: str, outcome: Outcome, agent: str) -> None:
    """Add the health log and settle the status, for a check that a command ran."""
    rows = require_living(session, id, org_id)
    integration = rows.integration
    standing = Standing(
        id,
        integration.status or "inactive",
        integration.error_count or 0,
        integration.error_message,
        rows.schedule.rejections if rows.schedule is not None else 0,
        rows.interval_minutes,
    )
    settled = settle(standing, outcome, check_type)
    _set(
        session,
        integration,
        status=settled.status,
        error_count=settled.error_count,
        error_message=settled.error_message,
        last_health_check=database_time(),
    )
    # The transition, written by this outcome or by the save before this test, gets the finding.
    written: Transition | None = session.info.get(("transition", id))
    if written is not None:
        written.verdict, written.code, written.message = outcome.verdict, outcome.code, outcome.message
    session.flush()
    session.add(
        HealthLog(
            id=new_log_id(),
            integration_id=id,
            check_type=check_type,
            status=LOG_STATUS[outcome.verdict],
            response_time_ms=outcome.response_time_ms,
            error_message=None if outcome.verdict == "healthy" else outcome.message,
            details=log_entry.write(outcome, agent, integration.config_version),
            checked_at=database_time(),
        )
    )
    session.flush()


# --- the rows below ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rows:
    """An integration and its schedule, locked until the end of the transaction.

    `schedule` is None for a portal's own row, which intctl can't check.
    """

    integration: Integration
    schedule: Schedule | None

    @property
    def interval_minutes(self) -> int:
        """The check interval, in minutes."""
        return interval_minutes(self.integration.health_check_interval_minutes)


def require_living(session: Session, id: str, org_id: str) -> Rows:
    """Lock the rows of an integration that is not deleted. Raises NotFoundError."""
    return _locked(session, id, org_id, deleted=False)


def _locked(session: Session, id: str, org_id: str, *, deleted: bool) -> Rows:
    schedule = session.get(Schedule, id, with_for_update=True, populate_existing=True)
    wanted = Integration.deleted_at.is_not(None) if deleted else Integration.deleted_at.is_(None)  # type: ignore[union-attr]
    found = session.exec(
        select(Integration)
        .where(Integration.id == id, Integration.org_id == org_id, wanted)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise NotFoundError(f"There is no {'deleted ' if deleted else ''}integration with the id {id}.")
    return Rows(found, schedule)


def _set(session: Session, integration: Integration, **values: Any) -> None:
    """Write columns of the integration. A change into or out of the status error is noted first."""
    if "status" in values:
        note_transition(session, integration, values["status"])
    for name, value in values.items():
        setattr(integration, name, value)
    session.flush()


def _reschedule(session: Session, schedule: Schedule | None, *, due: Due, forget: bool) -> None:
    """Write the schedule before the integration. `forget`: reset attempts and rejections."""
    if schedule is None:
        return
    schedule.next_check_at = _due_at(due, 0)
    if forget:
        schedule.attempts = schedule.rejections = 0
    session.flush()


def _due_at(due: Due, minutes: int) -> Any:
    return {"now": database_time(), "later": database_time(minutes * 60), "never": None}[due]


def _sooner(schedule: Schedule, minutes: int) -> None:
    """Move the next check to one interval from now, if it is later than that."""
    then: Any = database_time(minutes * 60)
    at: Any = Schedule.next_check_at
    schedule.next_check_at = case((at > then, then), else_=at)  # type: ignore[assignment]
