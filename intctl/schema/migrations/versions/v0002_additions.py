"""Additions to the specification: soft deletion, config versions, schedules and leases."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_COLUMNS = (
    ("integrations", "deleted_at {time}"),
    ("integrations", "config_version INTEGER NOT NULL DEFAULT 1"),
    ("integrations", "last_sync_error TEXT"),
    ("integration_health_logs", "lease_token BIGINT"),
)
_STATEMENTS = (
    """
CREATE TABLE IF NOT EXISTS integration_schedules (
  integration_id {uuid} PRIMARY KEY NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  next_check_at {time},
  lease_owner TEXT,
  lease_token BIGINT NOT NULL DEFAULT 0,
  lease_expires_at {time},
  attempts INTEGER NOT NULL DEFAULT 0,
  rejections INTEGER NOT NULL DEFAULT 0,
  CONSTRAINT ck_integration_schedules_lease CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL))
)""",
    """
CREATE UNIQUE INDEX IF NOT EXISTS uq_integrations_org_name ON integrations(org_id, {folded_name})
 WHERE deleted_at IS NULL""",
    """
CREATE UNIQUE INDEX IF NOT EXISTS uq_integration_health_logs_lease
 ON integration_health_logs(integration_id, lease_token) WHERE lease_token IS NOT NULL""",
    """
CREATE INDEX IF NOT EXISTS idx_integration_health_logs_history
 ON integration_health_logs(integration_id, {history})""",
    "CREATE INDEX IF NOT EXISTS idx_integration_schedules_due ON integration_schedules(next_check_at)",
)
_WORDS = {
    "postgresql": {
        "uuid": "UUID",
        "time": "TIMESTAMPTZ",
        "folded_name": 'lower(name COLLATE "C")',
        "history": "checked_at DESC) INCLUDE (status, response_time_ms",
    },
    "sqlite": {
        "uuid": "TEXT",
        "time": "TEXT",
        "folded_name": "lower(name)",
        "history": "checked_at DESC, status, response_time_ms",
    },
}


def upgrade() -> None:
    """Add columns to the specification's tables, then one table and the indexes."""
    connection = op.get_bind()
    words = _WORDS[connection.dialect.name]
    # A portal may have a deleted_at already; `require_adoptable` compared its column before.
    unless = "IF NOT EXISTS " if connection.dialect.name == "postgresql" else ""
    for table, column in _COLUMNS:
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {unless}{column.format(**words)}")
    for statement in _STATEMENTS:
        connection.exec_driver_sql(statement.format(**words))
