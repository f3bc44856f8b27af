"""All tables in order, and their indexes. Tests compare models, migrations and schema.sql with each other."""

from __future__ import annotations

from sqlalchemy import Index, Table, text
from sqlmodel import SQLModel

from intctl.schema.additions import (
    AgentPass,
    Change,
    HealthDay,
    HistoryProgress,
    MaintenanceWindow,
    OrganizationSettings,
    Schedule,
    Transition,
)
from intctl.schema.specification import (
    HealthLog,
    Integration,
    OAuthToken,
    Organization,
    RetryConfig,
    UserProfile,
    Webhook,
    WebhookDelivery,
)
from intctl.schema.types import FoldedName


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
#: Tables that a portal may own: created only if absent, never altered.
SHARED: frozenset[str] = frozenset({"organizations", "user_profiles"})
#: Tables that the specification does not have.
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
    # Indexes that the specification does not have
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
    undelivered = transitions.c.told_at.is_(None)
    Index(
        "idx_integration_transitions_undelivered",
        transitions.c.integration_id,
        transitions.c.changed_at,
        postgresql_where=undelivered,
        sqlite_where=undelivered,
    )
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
