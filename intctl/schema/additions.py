"""The tables that intctl adds to those of the specification."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Integer, String, Text, text
from sqlmodel import Field, SQLModel

from intctl.schema.columns import key, noted, part_of_key, reference, timestamp
from intctl.schema.types import Id, Json, Now, Time


class Schedule(SQLModel, table=True):
    """When an integration is due, and the lease of its check. Only rows with a sealed config have a schedule."""

    __tablename__ = "integration_schedules"
    __table_args__ = (
        CheckConstraint("(lease_owner IS NULL) = (lease_expires_at IS NULL)", name="ck_integration_schedules_lease"),
    )

    integration_id: str = Field(
        sa_column=Column(Id, ForeignKey("integrations.id", ondelete="CASCADE"), primary_key=True)
    )
    next_check_at: datetime | None = Field(default=None, sa_column=Column(Time, info=noted("NULL: never due")))
    lease_owner: str | None = Field(default=None, sa_column=Column(Text))
    lease_token: int = Field(
        default=0,
        sa_column=Column(
            BigInteger, nullable=False, server_default=text("0"), info=noted("only rises; a stale holder is rejected")
        ),
    )
    lease_expires_at: datetime | None = Field(default=None, sa_column=Column(Time))
    attempts: int = Field(
        default=0,
        sa_column=Column(Integer, nullable=False, server_default=text("0"), info=noted("claims without a result")),
    )
    rejections: int = Field(
        default=0,
        sa_column=Column(Integer, nullable=False, server_default=text("0"), info=noted("refused logins in a row")),
    )


class AgentPass(SQLModel, table=True):
    """The last pass of each agent: one row per host, or per host and organisation."""

    __tablename__ = "agent_passes"

    id: str = Field(sa_column=Column(Text, primary_key=True, info=noted("the host, and the organisation if any")))
    host: str = Field(sa_column=Column(Text, nullable=False))
    org_id: str | None = Field(default=None, sa_column=Column(Id, info=noted("NULL: all organisations")))
    version: str = Field(sa_column=Column(Text, nullable=False, info=noted("of intctl")))
    started_at: datetime | None = Field(default=None, sa_column=Column(Time))
    finished_at: datetime | None = Field(
        default=None, sa_column=Column(Time, info=noted("end of the last pass that was completed and recorded"))
    )
    failed_at: datetime | None = Field(default=None, sa_column=Column(Time, info=noted("NULL after a successful pass")))
    failure: str | None = Field(default=None, sa_column=Column(Text))
    passes: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    checks: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    details: Any = Field(
        default=None, sa_column=Column("metadata", Json, info=noted("counts of the last pass; ids of known keys"))
    )


class Transition(SQLModel, table=True):
    """A change of status into or out of error, and whether it was reported."""

    __tablename__ = "integration_transitions"

    id: str = Field(sa_column=key())
    integration_id: str = Field(sa_column=reference("integrations", cascade=True))
    from_status: str = Field(sa_column=Column(String(20), nullable=False))
    to_status: str = Field(sa_column=Column(String(20), nullable=False))
    verdict: str | None = Field(default=None, sa_column=Column(String(20), info=noted("NULL: changed by a person")))
    code: str | None = Field(default=None, sa_column=Column(Text))
    message: str | None = Field(default=None, sa_column=Column(Text))
    changed_at: datetime = Field(sa_column=Column(Time, nullable=False, server_default=Now()))
    quiet_until: datetime | None = Field(
        default=None, sa_column=Column(Time, info=noted("in maintenance: reported after this time"))
    )
    lease_owner: str | None = Field(default=None, sa_column=Column(Text, info=noted("the agent that is reporting it")))
    lease_token: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    lease_expires_at: datetime | None = Field(default=None, sa_column=Column(Time))
    attempts: int = Field(
        default=0,
        sa_column=Column(Integer, nullable=False, server_default=text("0"), info=noted("reports that were started")),
    )
    told_at: datetime | None = Field(default=None, sa_column=Column(Time, info=noted("when it was delivered")))
    exit_code: int | None = Field(
        default=None, sa_column=Column(Integer, info=noted("of the command; NULL: killed at its limit, or not run"))
    )
    next_attempt_at: datetime | None = Field(
        default=None, sa_column=Column(Time, info=noted("NULL: due at once", since="0005"))
    )
    failed_at: datetime | None = Field(
        default=None, sa_column=Column(Time, info=noted("a dead letter since then: no attempt is left", since="0005"))
    )
    last_error: str | None = Field(
        default=None,
        sa_column=Column(Text, info=noted("of the last attempt; never the command's output", since="0005")),
    )
    told_with: str | None = Field(
        default=None, sa_column=Column(Id, info=noted("the newer transition that reported it", since="0005"))
    )


class Change(SQLModel, table=True):
    """The state of an integration from a time on: one row per change of its config, interval or activation."""

    __tablename__ = "integration_changes"

    integration_id: str = Field(sa_column=part_of_key("integrations"))
    changed_at: datetime = Field(sa_column=Column(Time, primary_key=True))
    enabled: bool = Field(sa_column=Column(Boolean, nullable=False, info=noted("neither switched off nor deleted")))
    interval_minutes: int = Field(sa_column=Column(Integer, nullable=False))
    config_version: int = Field(sa_column=Column(Integer, nullable=False))


class HealthDay(SQLModel, table=True):
    """The health logs of one integration on one day, rolled up."""

    __tablename__ = "integration_health_days"

    integration_id: str = Field(sa_column=part_of_key("integrations"))
    starts_at: datetime = Field(sa_column=Column(Time, primary_key=True, info=noted("00:00 UTC")))
    successes: int = Field(sa_column=Column(Integer, nullable=False))
    failures: int = Field(sa_column=Column(Integer, nullable=False))
    unknowns: int = Field(sa_column=Column(Integer, nullable=False))
    response_ms: int = Field(
        sa_column=Column(BigInteger, nullable=False, info=noted("sum over all successes, in milliseconds"))
    )
    response_times: str = Field(
        sa_column=Column(Text, nullable=False, info=noted("milliseconds of each success, four hex digits, in order"))
    )
    timeline: str = Field(
        sa_column=Column(Text, nullable=False, info=noted("JSON: from, to (ms of the day), up or down, cause"))
    )
    rows_left: str = Field(
        default="all",
        sa_column=Column(
            Text, nullable=False, server_default=text("'all'"), info=noted("in the logs: all, some, none")
        ),
    )


class MaintenanceWindow(SQLModel, table=True):
    """Announced downtime: checks continue, alerts and uptime do not count."""

    __tablename__ = "maintenance_windows"

    id: str = Field(sa_column=key())
    org_id: str = Field(sa_column=reference("organizations", cascade=True))
    integration_id: str | None = Field(
        default=None,
        sa_column=Column(
            Id, ForeignKey("integrations.id", ondelete="CASCADE"), info=noted("NULL: all of the organisation")
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
            info=noted("repeats every week at the same time of day in time_zone"),
        ),
    )
    time_zone: str = Field(default="UTC", sa_column=Column(Text, nullable=False, server_default=text("'UTC'")))
    stopped_at: datetime | None = Field(
        default=None, sa_column=Column(Time, info=noted("the window has no effect from then on"))
    )
    reason: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime | None = Field(default=None, sa_column=timestamp())


class OrganizationSettings(SQLModel, table=True):
    """The settings of an organisation. The portal owns the organisation's row, so they have a separate table."""

    __tablename__ = "organization_settings"

    org_id: str = Field(sa_column=part_of_key("organizations"))
    retention_days: int = Field(
        default=90,
        sa_column=Column(
            Integer, nullable=False, server_default=text("90"), info=noted("older health logs are deleted")
        ),
    )


class HistoryProgress(SQLModel, table=True):
    """How far the logs are rolled up, and when the next run is due: one row, with the id 1."""

    __tablename__ = "history_progress"

    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    folded_before_at: datetime | None = Field(
        default=None, sa_column=Column(Time, info=noted("all days before it are rolled up"))
    )
    after_id: str | None = Field(
        default=None, sa_column=Column(Id, info=noted("the next day is done up to this integration"))
    )
    next_at: datetime = Field(sa_column=Column(Time, nullable=False, server_default=Now()))
