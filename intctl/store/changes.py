"""The changes: functions on a session that never commit. `unit_of_work` does, once, at the end.

Each acts inside one organisation; a row that is not there, or not yours, is a NotFoundError. Every
time that is written is the database's own. Rows are locked in one order, schedule first and then
integration, as the agent locks them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple

from sqlalchemy import case, delete, exists, false, func, insert, literal, null, or_, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from intctl.db.connect import Database, require_ready
from intctl.db.driver_errors import translate
from intctl.db.ids import new_id, new_log_id
from intctl.db.url import POSTGRESQL, Target
from intctl.errors import ConflictError, NotFoundError, StoreError
from intctl.health.codes import LOG_STATUS
from intctl.health.outcome import Outcome
from intctl.schema.engine import engine
from intctl.schema.models import TABLES, Clock, Id, Later
from intctl.schema.setup import organizations_are_ours
from intctl.store.claims import metadata, settle

__all__ = [
    "Due",
    "add_maintenance",
    "create_organization",
    "delete_integration",
    "end_maintenance",
    "first_organization",
    "insert_integration",
    "new_id",
    "new_log_id",
    "record_outcome",
    "record_sync",
    "restore_integration",
    "set_interval",
    "set_retention",
    "set_status",
    "unit_of_work",
    "update_integration",
]

Due = Literal["now", "later", "never"]

_tables = {table.name: table for table in TABLES}
_organizations = _tables["organizations"]
_integrations = _tables["integrations"]
_schedules = _tables["integration_schedules"]
_logs = _tables["integration_health_logs"]
_transitions = _tables["integration_transitions"]
_changes = _tables["integration_changes"]
_maintenance = _tables["maintenance_windows"]
_settings = _tables["organization_settings"]


@contextmanager
def unit_of_work(target: Target) -> Iterator[Session]:
    """A session in one transaction: committed at the end, rolled back on any error.

    Raises StoreError when the database is not ready, and our own errors for the driver's.
    """
    made = engine(target)
    try:
        with Session(made) as session:
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
def _rules(name: str = "") -> Iterator[None]:
    """Says which rule of the database a change would have broken."""
    try:
        yield
    except IntegrityError as error:
        diagnostics = getattr(error.orig, "diag", None)
        rule = (diagnostics.constraint_name or "") if diagnostics else str(error.orig)
        if "uq_integrations_org_name" in rule:
            raise ConflictError(f'There is already an integration named "{name}".') from None
        if "organizations" in rule and "slug" in rule:
            raise ConflictError(f'There is already an organisation with the slug "{name}".') from None
        # SQLite does not say which reference; an organisation is the only one that we write.
        if "org_id_fkey" in rule or "FOREIGN KEY" in rule:
            raise NotFoundError("No such organisation.") from None
        raise


# --- organisations -------------------------------------------------------------------------------


def create_organization(session: Session, name: str, slug: str) -> dict[str, Any]:
    """Adds an organisation: its id, name and slug.

    Raises ConflictError when the slug is taken, StoreError when the table is a portal's.
    """
    if not organizations_are_ours(session.connection()):
        raise StoreError(
            "The organizations table belongs to another program, which must make the organisation. Nothing was changed."
        )
    made: dict[str, Any] = {"id": new_id(), "name": name, "slug": slug}
    with _rules(slug):
        session.execute(insert(_organizations).values(**made))
    return made


def first_organization(name: str, slug: str) -> Callable[[Session], dict[str, Any]]:
    """What `prepare` calls where no organisation exists yet: it makes this one."""
    return partial(create_organization, name=name, slug=slug)


# --- integrations --------------------------------------------------------------------------------


def insert_integration(
    session: Session,
    *,
    id: str,
    org_id: str,
    type: str,
    provider: str,
    name: str,
    config: dict[str, Any],
    status: str,
    interval_minutes: int,
    due: Due,
    config_version: int = 1,
) -> None:
    """Adds an integration and its schedule. `config` is a sealed envelope; version 0 is a draft of one.

    Raises ConflictError when the name is taken, NotFoundError when there is no such organisation.
    """
    with _rules(name):
        session.execute(
            insert(_integrations).values(
                id=id,
                org_id=org_id,
                type=type,
                provider=provider,
                name=name,
                config=config,
                status=status,
                health_check_interval_minutes=interval_minutes,
                config_version=config_version,
                created_at=Clock(),
                updated_at=Clock(),
            )
        )
    _schedule(session, id, next_check_at=_due_at(due, interval_minutes))
    _note_change(session, id)


def update_integration(
    session: Session,
    *,
    id: str,
    org_id: str,
    expected_version: int,
    name: str | None = None,
    config: dict[str, Any] | None = None,
    type: str | None = None,
    interval_minutes: int | None = None,
    status: str | None = None,
    due: Due | None = None,
) -> None:
    """Changes what is given. A config raises config_version and forgets attempts and rejections.

    Raises ConflictError when config_version is no longer `expected_version`, or the name is taken.
    """
    row = _living(session, id, org_id)
    if row.config_version != expected_version:
        raise ConflictError(f'"{row.name}" was changed by somebody else meanwhile. Look at it and try again.')
    given = {
        "name": name,
        "config": config,
        "type": type,
        "status": status,
        "health_check_interval_minutes": interval_minutes,
    }
    values: dict[str, Any] = {column: value for column, value in given.items() if value is not None}
    if config is not None:
        values["config_version"] = expected_version + 1
    if values:
        with _rules(name or ""), _noted_change(session, id):
            _change(session, id, **values, updated_at=Clock())
    status = status or row.status
    minutes = interval_minutes or row.minutes
    if status not in ("active", "error"):
        due = "never"
    elif due is None and config is not None and not row.scheduled:
        due = "now"
    times = {} if due is None else {"next_check_at": _due_at(due, minutes)}
    if config is not None:
        # A row that a portal made has had no schedule until now.
        _schedule(session, id, **times, attempts=0, rejections=0)
    elif times:
        _reschedule(session, id, **times)
    if due is None and interval_minutes is not None:
        _sooner(session, id, interval_minutes)


def set_status(session: Session, *, id: str, org_id: str, status: Literal["active", "inactive"]) -> bool:
    """Switches an integration on (due now, its error cleared) or off. False where it is so already."""
    row = _living(session, id, org_id)
    if row.status == status:
        return False
    with _noted_change(session, id):
        if status == "active":
            _change(session, id, status=status, error_count=0, error_message=None, updated_at=Clock())
            _reschedule(session, id, next_check_at=Clock(), rejections=0, attempts=0)
        else:
            _change(session, id, status=status, updated_at=Clock())
            _reschedule(session, id, next_check_at=None)
    return True


def delete_integration(session: Session, *, id: str, org_id: str) -> None:
    """Marks an integration as deleted: never checked again, its name free. Its history stays."""
    _living(session, id, org_id)
    with _noted_change(session, id):
        _change(session, id, deleted_at=Clock(), status="inactive", updated_at=Clock())
    _reschedule(session, id, next_check_at=None)


def restore_integration(session: Session, *, id: str, org_id: str, name: str | None = None) -> None:
    """Brings a deleted integration back, under another name if one is given.

    It comes back inactive: whoever deleted it may have revoked the credential, and a login with a
    revoked one can lock the account, so a person switches it on. Raises ConflictError when the
    name was taken meanwhile.
    """
    row = _locked(session, id, org_id, deleted=True)
    wanted = name or row.name
    with _rules(wanted), _noted_change(session, id):
        _change(session, id, deleted_at=None, status="inactive", name=wanted, updated_at=Clock())
    _reschedule(session, id, next_check_at=None, attempts=0, rejections=0)


def set_interval(session: Session, *, id: str, org_id: str, minutes: int) -> bool:
    """Sets how often it is checked; a shorter interval counts from now. False where it is so already."""
    row = _living(session, id, org_id)
    if row.minutes == minutes:
        return False
    with _noted_change(session, id):
        _change(session, id, health_check_interval_minutes=minutes, updated_at=Clock())
    _sooner(session, id, minutes)
    return True


def record_sync(session: Session, *, id: str, org_id: str, at: datetime | None, failed: str | None) -> None:
    """Records that data was moved (`at`, or now), or why that failed: a failure leaves last_sync as it was."""
    _living(session, id, org_id)
    if failed is not None:
        _change(session, id, last_sync_error=failed)
    else:
        _change(session, id, last_sync=Clock() if at is None else at, last_sync_error=None)


def record_outcome(session: Session, *, id: str, org_id: str, check_type: str, outcome: Outcome, agent: str) -> None:
    """Adds the health log and settles the status, for a check that a person's command made."""
    row = _living(session, id, org_id)
    state = {
        "id": id,
        "status": row.status,
        "error_count": row.error_count,
        "error_message": row.error_message,
        "rejections": row.rejections,
        "health_check_interval_minutes": row.minutes,
    }
    settled = settle(state, outcome, check_type)
    _change(
        session,
        id,
        status=settled.status,
        error_count=settled.error_count,
        error_message=settled.error_message,
        last_health_check=Clock(),
    )
    session.execute(
        insert(_logs).values(
            id=new_log_id(),
            integration_id=id,
            check_type=check_type,
            status=LOG_STATUS[outcome.verdict],
            response_time_ms=outcome.response_time_ms,
            error_message=None if outcome.verdict == "healthy" else outcome.message,
            metadata=metadata(outcome, agent, row.config_version),
            checked_at=Clock(),
        )
    )
    if written := session.info.get(("transition", id)):  # the save before this test changed the status
        session.execute(
            update(_transitions)
            .where(_transitions.c.id == written)
            .values(verdict=outcome.verdict, code=outcome.code, message=outcome.message)
        )


# --- what belongs to the history -----------------------------------------------------------------


def set_retention(session: Session, *, org_id: str, days: int) -> None:
    """Sets for how many days an organisation keeps every check. Raises NotFoundError when there is no such one."""
    kind = postgresql if session.get_bind().dialect.name == POSTGRESQL else sqlite
    with _rules():
        session.execute(
            kind.insert(_settings)
            .values(org_id=org_id, retention_days=days)
            .on_conflict_do_update(index_elements=["org_id"], set_={"retention_days": days})
        )


def add_maintenance(
    session: Session,
    *,
    id: str,
    org_id: str,
    integration_id: str | None,
    starts_at: datetime,
    ends_at: datetime,
    weekly: bool,
    time_zone: str,
    reason: str | None,
) -> None:
    """Adds a maintenance window, for one integration or (None) for all of the organisation."""
    if integration_id is not None:
        _living(session, integration_id, org_id)
    with _rules():
        session.execute(
            insert(_maintenance).values(
                id=id,
                org_id=org_id,
                integration_id=integration_id,
                starts_at=starts_at,
                ends_at=ends_at,
                weekly=weekly,
                time_zone=time_zone,
                reason=reason,
                created_at=Clock(),
            )
        )


def end_maintenance(session: Session, *, id: str, org_id: str, erase: bool) -> None:
    """Ends a maintenance window now; what it took out of the figures stays out. `erase`: as if it had never been."""
    mine = (_maintenance.c.id == id) & (_maintenance.c.org_id == org_id)
    if erase:
        session.execute(delete(_maintenance).where(mine))
    else:
        session.execute(
            update(_maintenance).where(mine & _maintenance.c.stopped_at.is_(None)).values(stopped_at=Clock())
        )


# --- the rows below ------------------------------------------------------------------------------


class _State(NamedTuple):
    """An integration as it is now."""

    name: str
    status: str
    error_count: int
    error_message: str | None
    config_version: int
    minutes: int
    rejections: int
    scheduled: bool


def _living(session: Session, id: str, org_id: str) -> _State:
    return _locked(session, id, org_id, deleted=False)


def _locked(session: Session, id: str, org_id: str, *, deleted: bool) -> _State:
    """The integration's present state, its rows locked until the end of the transaction."""
    rejections = session.execute(
        select(_schedules.c.rejections).where(_schedules.c.integration_id == id).with_for_update()
    ).scalar()
    table = _integrations.c
    found = session.execute(
        select(
            table.name,
            table.status,
            table.error_count,
            table.error_message,
            table.config_version,
            table.health_check_interval_minutes,
        )
        .where(table.id == id, table.org_id == org_id)
        .where(table.deleted_at.is_not(None) if deleted else table.deleted_at.is_(None))
        .with_for_update(key_share=True)
    ).one_or_none()
    if found is None:
        raise NotFoundError(f"There is no {'deleted ' if deleted else ''}integration with the id {id}.")
    name, status, count, message, version, minutes = found
    return _State(
        name, status or "inactive", count or 0, message, version, minutes or 5, rejections or 0, rejections is not None
    )


def _change(session: Session, id: str, **values: Any) -> None:
    if "status" in values:
        _note_transition(session, id, values["status"])
    session.execute(update(_integrations).where(_integrations.c.id == id).values(**values))


def _note_transition(session: Session, id: str, status: str) -> None:
    """Writes down that the integration falls into error, or leaves it, before its status is changed."""
    was, written = _integrations.c.status, new_log_id()
    columns = ["id", "integration_id", "from_status", "to_status", "verdict", "code", "changed_at"]
    # Nothing was asked yet; switched off, nothing will be.
    known = (literal("unknown"), literal("self.not_checked")) if status == "active" else (null(), null())
    done = session.execute(
        insert(_transitions)
        .from_select(
            columns,
            select(literal(written, Id), _integrations.c.id, was, literal(status), *known, Clock()).where(
                _integrations.c.id == id, was != status, or_(was == "error", literal(status == "error"))
            ),
        )
        .returning(_transitions.c.id)
    )
    if done.first() is not None:
        session.info["transition", id] = written


@contextmanager
def _noted_change(session: Session, id: str) -> Iterator[None]:
    """Notes what is changed inside, if it is of those things that the history must know.

    Of a row that nothing is noted of, what it was before is noted first, from its beginning on: as
    switched on, because nobody knows since when it was off, and its checks speak for themselves.
    """
    if session.execute(select(_changes.c.changed_at).where(_changes.c.integration_id == id).limit(1)).first() is None:
        made = func.coalesce(_integrations.c.created_at, _integrations.c.updated_at, Clock())
        _note_change(session, id, changed_at=made, enabled=true())
    yield
    _note_change(session, id)


def _note_change(session: Session, id: str, **instead: Any) -> None:
    """Notes what the integration is from now on, unless that is what was noted last."""
    table = _integrations.c
    on = {
        "integration_id": table.id,
        "changed_at": Clock(),
        "enabled": case((table.deleted_at.is_(None) & table.status.in_(("active", "error")), true()), else_=false()),
        "interval_minutes": func.coalesce(table.health_check_interval_minutes, 5),
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


def _due_at(due: Due, minutes: int) -> Any:
    return {"now": Clock(), "later": Later(minutes * 60), "never": None}[due]


def _schedule(session: Session, id: str, **values: Any) -> None:
    """Changes the schedule, or makes it."""
    kind = postgresql if session.get_bind().dialect.name == POSTGRESQL else sqlite
    session.execute(
        kind.insert(_schedules)
        .values(integration_id=id, **values)
        .on_conflict_do_update(index_elements=["integration_id"], set_=values)
    )


def _reschedule(session: Session, id: str, **values: Any) -> None:
    """Changes the schedule if there is one: a portal's own row, which we can't check, has none."""
    session.execute(update(_schedules).where(_schedules.c.integration_id == id).values(**values))


def _sooner(session: Session, id: str, minutes: int) -> None:
    """Pulls the next check forward to one interval from now, where it is further off."""
    at, then = _schedules.c.next_check_at, Later(minutes * 60)
    _reschedule(session, id, next_check_at=case((at > then, then), else_=at))
