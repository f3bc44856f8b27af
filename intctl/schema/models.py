"""The tables as SQLModel classes: the specification's, then intctl's additions.

One set of Python types on both databases: ids are `str`, times aware UTC `datetime`, JSON plain
Python values. Each column's `info` may hold `note` (a comment in schema.sql) and `since` (the
revision that added it, where that is not the table's own). Tests hold models, migrations and
schema.sql to each other.
"""

# ruff: noqa: ARG001, ARG002 - SQLAlchemy fixes the signatures of types and compilers
from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from intctl.db.connect import time_text, time_value
from intctl.db.url import POSTGRESQL

# --- types ---------------------------------------------------------------------------------------


class Id(TypeDecorator[str]):
    """A UUID; 36 lower-case characters on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(postgresql.UUID(as_uuid=False) if dialect.name == POSTGRESQL else Text())

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else str(value).lower()

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else str(value)


class Time(TypeDecorator[datetime]):
    """A moment in UTC; `YYYY-MM-DDTHH:MM:SS.ffffffZ` on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True) if dialect.name == POSTGRESQL else Text())

    def process_bind_param(self, value: datetime | None, dialect: Any) -> Any:
        return value if value is None or dialect.name == POSTGRESQL else time_text(value)

    def process_result_value(self, value: Any, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return time_value(value) if isinstance(value, str) else value.astimezone(UTC)


class Json(TypeDecorator[Any]):
    """A JSON value; text on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(postgresql.JSONB(none_as_null=True) if dialect.name == POSTGRESQL else Text())

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value if value is None or dialect.name == POSTGRESQL else json.dumps(value)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        if dialect.name == POSTGRESQL or not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            return value  # a damaged row is shown as such by whoever opens it


class Texts(TypeDecorator[list[str]]):
    """A list of texts; a JSON array on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(postgresql.ARRAY(Text()) if dialect.name == POSTGRESQL else Text())

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value if value is None or dialect.name == POSTGRESQL else json.dumps(value)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value


# --- what the two databases spell differently ----------------------------------------------------


class NewId(FunctionElement[str]):
    """A random UUID, made by the database."""

    inherit_cache = True
    type = Id()


class Clock(FunctionElement[datetime]):
    """The database's clock, at this very moment."""

    inherit_cache = True
    type = Time()


class Later(FunctionElement[datetime]):
    """The database's clock, so many seconds from now."""

    inherit_cache = True
    type = Time()


class Now(FunctionElement[datetime]):
    """The default of time columns: NOW(), as in the specification."""

    inherit_cache = True
    type = Time()


class FoldedName(FunctionElement[str]):
    """A name with its ASCII letters in lower case: the same on both databases."""

    inherit_cache = True
    type = Text()


_SQLITE_NEW_ID = (
    "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || "
    "substr('89ab', (random() & 3) + 1, 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))"
)
_SQLITE_NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"


@compiles(NewId, "sqlite")
def _new_id_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return _SQLITE_NEW_ID


@compiles(NewId)
def _new_id(element: Any, compiler: Any, **kw: Any) -> str:
    return "gen_random_uuid()"


@compiles(Clock, "sqlite")
@compiles(Now, "sqlite")
def _now_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return _SQLITE_NOW


@compiles(Clock)
def _clock(element: Any, compiler: Any, **kw: Any) -> str:
    return "clock_timestamp()"


@compiles(Now)
def _now(element: Any, compiler: Any, **kw: Any) -> str:
    return "now()"


@compiles(Later, "sqlite")
def _later_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', ({seconds}) || ' seconds')"


@compiles(Later)
def _later(element: Any, compiler: Any, **kw: Any) -> str:
    return f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(FoldedName, "sqlite")
def _folded_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"lower({compiler.process(element.clauses, **kw)})"


@compiles(FoldedName)
def _folded(element: Any, compiler: Any, **kw: Any) -> str:
    return f'lower({compiler.process(element.clauses, **kw)} COLLATE "C")'


# --- tables --------------------------------------------------------------------------------------


def _key() -> Column[Any]:
    return Column(Id, primary_key=True, server_default=NewId())


def _reference(table: str, *, cascade: bool = False, nullable: bool = False) -> Column[Any]:
    return Column(Id, ForeignKey(f"{table}.id", ondelete="CASCADE" if cascade else None), nullable=nullable)


def _part_of_key(table: str) -> Column[Any]:
    return Column(Id, ForeignKey(f"{table}.id", ondelete="CASCADE"), primary_key=True)


def _made() -> Column[Any]:
    return Column(Time, server_default=Now())


def _noted(note: str, *, since: str = "") -> dict[str, str]:
    return {"note": note, "since": since} if since else {"note": note}


def _added(note: str) -> dict[str, str]:
    return _noted(note, since="0002")


class Organization(SQLModel, table=True):
    """The portal's, where there is one: created only if absent, never altered."""

    __tablename__ = "organizations"

    id: str = Field(sa_column=_key())
    name: str = Field(sa_column=Column(String(100), nullable=False))
    slug: str = Field(sa_column=Column(String(100), nullable=False, unique=True))


class UserProfile(SQLModel, table=True):
    """The portal's, where there is one: created only if absent, never altered."""

    __tablename__ = "user_profiles"

    id: str = Field(sa_column=_key())


class Integration(SQLModel, table=True):
    """One configured provider of one organisation."""

    __tablename__ = "integrations"
    # Every check changes a row: where there is room beside it, no index has to learn of it (0.6 KiB of log a check).
    __table_args__ = {"postgresql_with": {"fillfactor": 85}}

    id: str = Field(sa_column=_key())
    org_id: str = Field(sa_column=_reference("organizations", cascade=True))
    type: str = Field(sa_column=Column(String(50), nullable=False, info=_noted("email, calendar, hris, sms, …")))
    provider: str = Field(sa_column=Column(String(50), nullable=False, info=_noted("sendgrid, google, bamboohr, …")))
    name: str = Field(sa_column=Column(String(100), nullable=False))
    config: Any = Field(sa_column=Column(Json, nullable=False, info=_noted("sealed")), repr=False)
    status: str | None = Field(
        sa_column=Column(String(20), server_default=text("'inactive'"), info=_noted("active, inactive, error"))
    )
    last_health_check: datetime | None = Field(default=None, sa_column=Column(Time))
    last_sync: datetime | None = Field(default=None, sa_column=Column(Time))
    health_check_interval_minutes: int | None = Field(default=None, sa_column=Column(Integer, server_default=text("5")))
    error_message: str | None = Field(default=None, sa_column=Column(Text))
    error_count: int | None = Field(default=None, sa_column=Column(Integer, server_default=text("0")))
    created_by: str | None = Field(default=None, sa_column=_reference("user_profiles", nullable=True))
    created_at: datetime | None = Field(default=None, sa_column=_made())
    updated_at: datetime | None = Field(default=None, sa_column=_made())
    deleted_at: datetime | None = Field(
        default=None, sa_column=Column(Time, info=_added("when it was deleted; its name is free again"))
    )
    config_version: int = Field(
        default=1,
        sa_column=Column(
            Integer, nullable=False, server_default=text("1"), info=_added("rises with each change of config")
        ),
    )
    last_sync_error: str | None = Field(
        default=None, sa_column=Column(Text, info=_added("why the last sync failed; NULL after a good one"))
    )


class OAuthToken(SQLModel, table=True):
    """Sealed tokens of an integration."""

    __tablename__ = "oauth_tokens"

    id: str = Field(sa_column=_key())
    integration_id: str = Field(sa_column=_reference("integrations", cascade=True))
    user_id: str | None = Field(default=None, sa_column=_reference("user_profiles", nullable=True))
    access_token: str = Field(sa_column=Column(Text, nullable=False, info=_noted("sealed")), repr=False)
    refresh_token: str | None = Field(default=None, sa_column=Column(Text, info=_noted("sealed")), repr=False)
    token_type: str | None = Field(default=None, sa_column=Column(String(20), server_default=text("'Bearer'")))
    expires_at: datetime | None = Field(default=None, sa_column=Column(Time))
    scope: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime | None = Field(default=None, sa_column=_made())
    updated_at: datetime | None = Field(default=None, sa_column=_made())


class Webhook(SQLModel, table=True):
    """For the second part of the specification."""

    __tablename__ = "webhooks"

    id: str = Field(sa_column=_key())
    org_id: str = Field(sa_column=_reference("organizations", cascade=True))
    name: str = Field(sa_column=Column(String(100), nullable=False))
    url: str = Field(sa_column=Column(Text, nullable=False))
    secret: str | None = Field(default=None, sa_column=Column(String(64)), repr=False)
    events: list[str] = Field(sa_column=Column(Texts, nullable=False))
    status: str | None = Field(default=None, sa_column=Column(String(20), server_default=text("'active'")))
    created_by: str | None = Field(default=None, sa_column=_reference("user_profiles", nullable=True))
    created_at: datetime | None = Field(default=None, sa_column=_made())
    updated_at: datetime | None = Field(default=None, sa_column=_made())


class WebhookDelivery(SQLModel, table=True):
    """For the second part of the specification."""

    __tablename__ = "webhook_deliveries"

    id: str = Field(sa_column=_key())
    webhook_id: str = Field(sa_column=_reference("webhooks", cascade=True))
    event_type: str = Field(sa_column=Column(String(50), nullable=False))
    payload: Any = Field(sa_column=Column(Json, nullable=False), repr=False)
    request_headers: Any = Field(default=None, sa_column=Column(Json), repr=False)
    response_status: int | None = Field(default=None, sa_column=Column(Integer))
    response_body: str | None = Field(default=None, sa_column=Column(Text), repr=False)
    duration_ms: int | None = Field(default=None, sa_column=Column(Integer))
    attempt_number: int | None = Field(default=None, sa_column=Column(Integer, server_default=text("1")))
    delivered_at: datetime | None = Field(default=None, sa_column=_made())
    next_retry_at: datetime | None = Field(default=None, sa_column=Column(Time))
    status: str | None = Field(
        default=None,
        sa_column=Column(String(20), server_default=text("'pending'"), info=_noted("pending, success, failed, dlq")),
    )


class RetryConfig(SQLModel, table=True):
    """For the second part of the specification."""

    __tablename__ = "integration_retry_config"

    id: str = Field(sa_column=_key())
    org_id: str = Field(
        sa_column=Column(Id, ForeignKey("organizations.id", ondelete="CASCADE"), nullable=False, unique=True)
    )
    max_retries: int | None = Field(default=None, sa_column=Column(Integer, server_default=text("3")))
    retry_strategy: str | None = Field(
        default=None,
        sa_column=Column(String(20), server_default=text("'exponential'"), info=_noted("exponential, linear, fixed")),
    )
    fixed_delay_seconds: int | None = Field(default=None, sa_column=Column(Integer, server_default=text("5")))
    max_delay_seconds: int | None = Field(default=None, sa_column=Column(Integer, server_default=text("60")))
    enable_jitter: bool | None = Field(default=None, sa_column=Column(Boolean, server_default=text("true")))
    enable_dlq: bool | None = Field(default=None, sa_column=Column(Boolean, server_default=text("true")))
    created_at: datetime | None = Field(default=None, sa_column=_made())
    updated_at: datetime | None = Field(default=None, sa_column=_made())


class HealthLog(SQLModel, table=True):
    """What one check found. Rows are added, never changed."""

    __tablename__ = "integration_health_logs"

    id: str = Field(sa_column=_key())
    integration_id: str = Field(sa_column=_reference("integrations", cascade=True))
    check_type: str = Field(sa_column=Column(String(20), nullable=False, info=_noted("manual, scheduled, auto")))
    status: str = Field(sa_column=Column(String(20), nullable=False, info=_noted("success, failure, unknown")))
    response_time_ms: int | None = Field(default=None, sa_column=Column(Integer))
    error_message: str | None = Field(default=None, sa_column=Column(Text))
    details: Any = Field(
        default=None,
        sa_column=Column("metadata", Json, info=_noted("verdict, code, phase, milliseconds by phase, facts, agent")),
    )
    checked_at: datetime | None = Field(default=None, sa_column=_made())
    lease_token: int | None = Field(
        default=None, sa_column=Column(BigInteger, info=_added("the lease it ran under: at most one row for each"))
    )


class Schedule(SQLModel, table=True):
    """When an integration is due, and who checks it now. Only rows that hold a sealed config have one."""

    __tablename__ = "integration_schedules"
    __table_args__ = (
        CheckConstraint("(lease_owner IS NULL) = (lease_expires_at IS NULL)", name="ck_integration_schedules_lease"),
    )

    integration_id: str = Field(
        sa_column=Column(Id, ForeignKey("integrations.id", ondelete="CASCADE"), primary_key=True)
    )
    next_check_at: datetime | None = Field(default=None, sa_column=Column(Time, info=_noted("NULL: never due")))
    lease_owner: str | None = Field(default=None, sa_column=Column(Text))
    lease_token: int = Field(
        default=0,
        sa_column=Column(
            BigInteger, nullable=False, server_default=text("0"), info=_noted("only rises: a stale holder is refused")
        ),
    )
    lease_expires_at: datetime | None = Field(default=None, sa_column=Column(Time))
    attempts: int = Field(
        default=0,
        sa_column=Column(Integer, nullable=False, server_default=text("0"), info=_noted("claims without a result")),
    )
    rejections: int = Field(
        default=0,
        sa_column=Column(Integer, nullable=False, server_default=text("0"), info=_noted("refused logins in a row")),
    )


class AgentPass(SQLModel, table=True):
    """The last pass of each agent: one row for a host, and for an organisation where it serves only that."""

    __tablename__ = "agent_passes"

    id: str = Field(sa_column=Column(Text, primary_key=True, info=_noted("the host, and the organisation if one")))
    host: str = Field(sa_column=Column(Text, nullable=False))
    org_id: str | None = Field(default=None, sa_column=Column(Id, info=_noted("NULL: it serves all")))
    version: str = Field(sa_column=Column(Text, nullable=False, info=_noted("intctl's")))
    started_at: datetime | None = Field(default=None, sa_column=Column(Time))
    finished_at: datetime | None = Field(
        default=None, sa_column=Column(Time, info=_noted("the last pass that was completed and recorded"))
    )
    failed_at: datetime | None = Field(default=None, sa_column=Column(Time, info=_noted("NULL after a good one")))
    failure: str | None = Field(default=None, sa_column=Column(Text))
    passes: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    checks: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    details: Any = Field(
        default=None, sa_column=Column("metadata", Json, info=_noted("the last pass in counts; known keys' ids"))
    )


class Transition(SQLModel, table=True):
    """An integration fell into error, or left it; and whether somebody was told."""

    __tablename__ = "integration_transitions"

    id: str = Field(sa_column=_key())
    integration_id: str = Field(sa_column=_reference("integrations", cascade=True))
    from_status: str = Field(sa_column=Column(String(20), nullable=False))
    to_status: str = Field(sa_column=Column(String(20), nullable=False))
    verdict: str | None = Field(default=None, sa_column=Column(String(20), info=_noted("NULL: a person did it")))
    code: str | None = Field(default=None, sa_column=Column(Text))
    message: str | None = Field(default=None, sa_column=Column(Text))
    changed_at: datetime = Field(sa_column=Column(Time, nullable=False, server_default=Now()))
    quiet_until: datetime | None = Field(
        default=None, sa_column=Column(Time, info=_noted("in maintenance: told when that is over"))
    )
    lease_owner: str | None = Field(default=None, sa_column=Column(Text, info=_noted("who is telling")))
    lease_token: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    lease_expires_at: datetime | None = Field(default=None, sa_column=Column(Time))
    attempts: int = Field(
        default=0,
        sa_column=Column(Integer, nullable=False, server_default=text("0"), info=_noted("how often it was begun")),
    )
    told_at: datetime | None = Field(default=None, sa_column=Column(Time, info=_noted("when the command had ended")))
    exit_code: int | None = Field(
        default=None, sa_column=Column(Integer, info=_noted("the command's; NULL: killed at its limit, or not run"))
    )


class Change(SQLModel, table=True):
    """What an integration was from a moment on: one row for each time that it was switched or its config changed."""

    __tablename__ = "integration_changes"

    integration_id: str = Field(sa_column=_part_of_key("integrations"))
    changed_at: datetime = Field(sa_column=Column(Time, primary_key=True))
    enabled: bool = Field(sa_column=Column(Boolean, nullable=False, info=_noted("neither switched off nor deleted")))
    interval_minutes: int = Field(sa_column=Column(Integer, nullable=False))
    config_version: int = Field(sa_column=Column(Integer, nullable=False))


class HealthDay(SQLModel, table=True):
    """The health logs of one integration on one day, folded."""

    __tablename__ = "integration_health_days"

    integration_id: str = Field(sa_column=_part_of_key("integrations"))
    starts_at: datetime = Field(sa_column=Column(Time, primary_key=True, info=_noted("00:00 UTC")))
    successes: int = Field(sa_column=Column(Integer, nullable=False))
    failures: int = Field(sa_column=Column(Integer, nullable=False))
    unknowns: int = Field(sa_column=Column(Integer, nullable=False))
    response_ms: int = Field(
        sa_column=Column(BigInteger, nullable=False, info=_noted("milliseconds of all successes together"))
    )
    response_times: str = Field(
        sa_column=Column(Text, nullable=False, info=_noted("milliseconds of each success, four hex digits, in order"))
    )
    timeline: str = Field(
        sa_column=Column(Text, nullable=False, info=_noted("JSON: from, to (ms of the day), up or down, cause"))
    )
    rows_left: str = Field(
        default="all",
        sa_column=Column(
            Text, nullable=False, server_default=text("'all'"), info=_noted("in the logs: all, some, none")
        ),
    )


class MaintenanceWindow(SQLModel, table=True):
    """Time that was announced: checks go on, alerts and uptime don't count."""

    __tablename__ = "maintenance_windows"

    id: str = Field(sa_column=_key())
    org_id: str = Field(sa_column=_reference("organizations", cascade=True))
    integration_id: str | None = Field(
        default=None,
        sa_column=Column(
            Id, ForeignKey("integrations.id", ondelete="CASCADE"), info=_noted("NULL: all of the organisation")
        ),
    )
    starts_at: datetime = Field(sa_column=Column(Time, nullable=False))
    ends_at: datetime = Field(sa_column=Column(Time, nullable=False))
    weekly: bool = Field(
        default=False,
        sa_column=Column(
            Boolean,
            nullable=False,
            server_default=text("false"),
            info=_noted("again every week at the same time of day in time_zone"),
        ),
    )
    time_zone: str = Field(default="UTC", sa_column=Column(Text, nullable=False, server_default=text("'UTC'")))
    stopped_at: datetime | None = Field(
        default=None, sa_column=Column(Time, info=_noted("nothing of it counts from then on"))
    )
    reason: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime | None = Field(default=None, sa_column=_made())


class OrganizationSettings(SQLModel, table=True):
    """What an organisation chose. Its own row is the portal's, so this is a table of ours."""

    __tablename__ = "organization_settings"

    org_id: str = Field(sa_column=_part_of_key("organizations"))
    retention_days: int = Field(
        default=90,
        sa_column=Column(
            Integer, nullable=False, server_default=text("90"), info=_noted("health logs older than that are folded")
        ),
    )


class HistoryProgress(SQLModel, table=True):
    """How far the logs are folded, and when to look again: one row, with the id 1."""

    __tablename__ = "history_progress"

    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    folded_before_at: datetime | None = Field(
        default=None, sa_column=Column(Time, info=_noted("all days before it are folded"))
    )
    after_id: str | None = Field(
        default=None, sa_column=Column(Id, info=_noted("of the next day, the integrations up to this one"))
    )
    next_at: datetime = Field(sa_column=Column(Time, nullable=False, server_default=Now()))


# --- indexes -------------------------------------------------------------------------------------


def _table(model: type[SQLModel]) -> Table:
    made: Table = model.__table__  # type: ignore[attr-defined]
    return made


#: The tables in the order in which they can be created.
TABLES: tuple[Table, ...] = tuple(
    _table(model)
    for model in (
        Organization,
        UserProfile,
        Integration,
        OAuthToken,
        Webhook,
        WebhookDelivery,
        RetryConfig,
        HealthLog,
        Schedule,
        AgentPass,
        Transition,
        Change,
        HealthDay,
        MaintenanceWindow,
        OrganizationSettings,
        HistoryProgress,
    )
)
#: The portal's: created only if absent, never altered.
SHARED: frozenset[str] = frozenset({"organizations", "user_profiles"})
#: The ones that the specification does not have.
OURS: frozenset[str] = frozenset(
    _table(model).name
    for model in (
        Schedule,
        AgentPass,
        Transition,
        Change,
        HealthDay,
        MaintenanceWindow,
        OrganizationSettings,
        HistoryProgress,
    )
)


def _indexes() -> None:
    integrations, tokens, webhooks, deliveries, _, logs, schedules, _, transitions, _, days, maintenance = TABLES[2:14]
    Index("idx_integrations_org", integrations.c.org_id)
    Index("idx_integrations_status", integrations.c.status)
    Index("idx_integrations_type", integrations.c.type)
    Index("idx_oauth_tokens_integration", tokens.c.integration_id)
    Index("idx_webhooks_org", webhooks.c.org_id)
    Index("idx_webhook_deliveries_webhook", deliveries.c.webhook_id)
    Index("idx_webhook_deliveries_status", deliveries.c.status)
    Index("idx_integration_health_logs_integration", logs.c.integration_id)
    Index("idx_integration_health_logs_checked", logs.c.checked_at)
    # Ours
    living = integrations.c.deleted_at.is_(None)
    Index(
        "uq_integrations_org_name",
        integrations.c.org_id,
        FoldedName(integrations.c.name),
        unique=True,
        postgresql_where=living,
        sqlite_where=living,
    )
    leased = logs.c.lease_token.is_not(None)
    Index(
        "uq_integration_health_logs_lease",
        logs.c.integration_id,
        logs.c.lease_token,
        unique=True,
        postgresql_where=leased,
        sqlite_where=leased,
    )
    history, key, covered = "idx_integration_health_logs_history", logs.c.integration_id, ("status", "response_time_ms")
    Index(history, key, logs.c.checked_at.desc(), postgresql_include=covered).ddl_if(dialect="postgresql")
    Index(history, key, logs.c.checked_at.desc(), *(logs.c[name] for name in covered)).ddl_if(dialect="sqlite")
    Index("idx_integration_schedules_due", schedules.c.next_check_at)
    Index("idx_integration_transitions_changed", transitions.c.changed_at)
    Index("idx_integration_transitions_integration", transitions.c.integration_id, transitions.c.changed_at)
    left = days.c.rows_left != text("'none'")
    Index(
        "idx_integration_health_days_left",
        days.c.starts_at,
        days.c.integration_id,
        postgresql_where=left,
        sqlite_where=left,
    )
    Index("idx_maintenance_windows_org", maintenance.c.org_id)


_indexes()
