"""The tables of the specification, with the columns that intctl adds to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, String, Text, text
from sqlmodel import Field, SQLModel

from intctl.schema.columns import added, key, noted, reference, timestamp
from intctl.schema.types import Id, Json, Texts, Time


class Organization(SQLModel, table=True):
    """An organisation. A portal may own the table: created only if absent, never altered."""

    __tablename__ = "organizations"

    id: str = Field(sa_column=key())
    name: str = Field(sa_column=Column(String(100), nullable=False))
    slug: str = Field(sa_column=Column(String(100), nullable=False, unique=True))


class UserProfile(SQLModel, table=True):
    """A user. A portal may own the table: created only if absent, never altered."""

    __tablename__ = "user_profiles"

    id: str = Field(sa_column=key())


class Integration(SQLModel, table=True):
    """One configured provider of one organisation."""

    __tablename__ = "integrations"
    # Every check updates a row. With free space on its page, PostgreSQL updates no index, which saves 0.6 KiB of
    # log per check.
    __table_args__ = {"postgresql_with": {"fillfactor": 85}}

    id: str = Field(sa_column=key())
    org_id: str = Field(sa_column=reference("organizations", cascade=True))
    type: str = Field(sa_column=Column(String(50), nullable=False, info=noted("email, calendar, hris, sms, …")))
    provider: str = Field(sa_column=Column(String(50), nullable=False, info=noted("sendgrid, google, bamboohr, …")))
    name: str = Field(sa_column=Column(String(100), nullable=False))
    config: Any = Field(sa_column=Column(Json, nullable=False, info=noted("sealed")), repr=False)
    status: str | None = Field(
        sa_column=Column(String(20), server_default=text("'inactive'"), info=noted("active, inactive, error"))
    )
    last_health_check: datetime | None = Field(default=None, sa_column=Column(Time))
    last_sync: datetime | None = Field(default=None, sa_column=Column(Time))
    health_check_interval_minutes: int | None = Field(default=None, sa_column=Column(Integer, server_default=text("5")))
    error_message: str | None = Field(default=None, sa_column=Column(Text))
    error_count: int | None = Field(default=None, sa_column=Column(Integer, server_default=text("0")))
    created_by: str | None = Field(default=None, sa_column=reference("user_profiles", nullable=True))
    created_at: datetime | None = Field(default=None, sa_column=timestamp())
    updated_at: datetime | None = Field(default=None, sa_column=timestamp())
    deleted_at: datetime | None = Field(
        default=None, sa_column=Column(Time, info=added("when it was deleted; its name can be reused"))
    )
    config_version: int = Field(
        default=1,
        sa_column=Column(
            Integer, nullable=False, server_default=text("1"), info=added("rises with every change of config")
        ),
    )
    last_sync_error: str | None = Field(
        default=None, sa_column=Column(Text, info=added("why the last sync failed; NULL after a success"))
    )


class OAuthToken(SQLModel, table=True):
    """The sealed tokens of an integration."""

    __tablename__ = "oauth_tokens"

    id: str = Field(sa_column=key())
    integration_id: str = Field(sa_column=reference("integrations", cascade=True))
    user_id: str | None = Field(default=None, sa_column=reference("user_profiles", nullable=True))
    access_token: str = Field(sa_column=Column(Text, nullable=False, info=noted("sealed")), repr=False)
    refresh_token: str | None = Field(default=None, sa_column=Column(Text, info=noted("sealed")), repr=False)
    token_type: str | None = Field(default=None, sa_column=Column(String(20), server_default=text("'Bearer'")))
    expires_at: datetime | None = Field(default=None, sa_column=Column(Time))
    scope: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime | None = Field(default=None, sa_column=timestamp())
    updated_at: datetime | None = Field(default=None, sa_column=timestamp())


class Webhook(SQLModel, table=True):
    """For the second part of the specification."""

    __tablename__ = "webhooks"

    id: str = Field(sa_column=key())
    org_id: str = Field(sa_column=reference("organizations", cascade=True))
    name: str = Field(sa_column=Column(String(100), nullable=False))
    url: str = Field(sa_column=Column(Text, nullable=False))
    secret: str | None = Field(default=None, sa_column=Column(String(64)), repr=False)
    events: list[str] = Field(sa_column=Column(Texts, nullable=False))
    status: str | None = Field(default=None, sa_column=Column(String(20), server_default=text("'active'")))
    created_by: str | None = Field(default=None, sa_column=reference("user_profiles", nullable=True))
    created_at: datetime | None = Field(default=None, sa_column=timestamp())
    updated_at: datetime | None = Field(default=None, sa_column=timestamp())


class WebhookDelivery(SQLModel, table=True):
    """For the second part of the specification."""

    __tablename__ = "webhook_deliveries"

    id: str = Field(sa_column=key())
    webhook_id: str = Field(sa_column=reference("webhooks", cascade=True))
    event_type: str = Field(sa_column=Column(String(50), nullable=False))
    payload: Any = Field(sa_column=Column(Json, nullable=False), repr=False)
    request_headers: Any = Field(default=None, sa_column=Column(Json), repr=False)
    response_status: int | None = Field(default=None, sa_column=Column(Integer))
    response_body: str | None = Field(default=None, sa_column=Column(Text), repr=False)
    duration_ms: int | None = Field(default=None, sa_column=Column(Integer))
    attempt_number: int | None = Field(default=None, sa_column=Column(Integer, server_default=text("1")))
    delivered_at: datetime | None = Field(default=None, sa_column=timestamp())
    next_retry_at: datetime | None = Field(default=None, sa_column=Column(Time))
    status: str | None = Field(
        default=None,
        sa_column=Column(String(20), server_default=text("'pending'"), info=noted("pending, success, failed, dlq")),
    )


class RetryConfig(SQLModel, table=True):
    """For the second part of the specification."""

    __tablename__ = "integration_retry_config"

    id: str = Field(sa_column=key())
    org_id: str = Field(
        sa_column=Column(Id, ForeignKey("organizations.id", ondelete="CASCADE"), nullable=False, unique=True)
    )
    max_retries: int | None = Field(default=None, sa_column=Column(Integer, server_default=text("3")))
    retry_strategy: str | None = Field(
        default=None,
        sa_column=Column(String(20), server_default=text("'exponential'"), info=noted("exponential, linear, fixed")),
    )
    fixed_delay_seconds: int | None = Field(default=None, sa_column=Column(Integer, server_default=text("5")))
    max_delay_seconds: int | None = Field(default=None, sa_column=Column(Integer, server_default=text("60")))
    enable_jitter: bool | None = Field(default=None, sa_column=Column(Boolean, server_default=text("true")))
    enable_dlq: bool | None = Field(default=None, sa_column=Column(Boolean, server_default=text("true")))
    created_at: datetime | None = Field(default=None, sa_column=timestamp())
    updated_at: datetime | None = Field(default=None, sa_column=timestamp())


class HealthLog(SQLModel, table=True):
    """The result of one check. Rows are only added."""

    __tablename__ = "integration_health_logs"

    id: str = Field(sa_column=key())
    integration_id: str = Field(sa_column=reference("integrations", cascade=True))
    check_type: str = Field(sa_column=Column(String(20), nullable=False, info=noted("manual, scheduled, auto")))
    status: str = Field(sa_column=Column(String(20), nullable=False, info=noted("success, failure, unknown")))
    response_time_ms: int | None = Field(default=None, sa_column=Column(Integer))
    error_message: str | None = Field(default=None, sa_column=Column(Text))
    details: Any = Field(
        default=None,
        sa_column=Column("metadata", Json, info=noted("verdict, code, phase, milliseconds by phase, facts, agent")),
    )
    checked_at: datetime | None = Field(default=None, sa_column=timestamp())
    lease_token: int | None = Field(
        default=None, sa_column=Column(BigInteger, info=added("token of the check's lease: at most one row per token"))
    )
