"""Long history: rolled-up days, changes of integrations, maintenance windows, settings of organisations."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

_STATEMENTS = (
    """
CREATE TABLE IF NOT EXISTS integration_changes (
  integration_id {uuid} NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  changed_at {time} NOT NULL,
  enabled BOOLEAN NOT NULL,
  interval_minutes INTEGER NOT NULL,
  config_version INTEGER NOT NULL,
  PRIMARY KEY (integration_id, changed_at)
)""",
    """
CREATE TABLE IF NOT EXISTS integration_health_days (
  integration_id {uuid} NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  starts_at {time} NOT NULL,
  successes INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  unknowns INTEGER NOT NULL,
  response_ms BIGINT NOT NULL,
  response_times TEXT NOT NULL,
  timeline TEXT NOT NULL,
  rows_left TEXT NOT NULL DEFAULT 'all',
  PRIMARY KEY (integration_id, starts_at)
)""",
    """
CREATE TABLE IF NOT EXISTS maintenance_windows (
  id {uuid} PRIMARY KEY NOT NULL DEFAULT {new_id},
  org_id {uuid} NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
  integration_id {uuid} REFERENCES integrations(id) ON DELETE CASCADE,
  starts_at {time} NOT NULL,
  ends_at {time} NOT NULL,
  weekly BOOLEAN NOT NULL DEFAULT false,
  time_zone TEXT NOT NULL DEFAULT 'UTC',
  stopped_at {time},
  reason TEXT,
  created_at {time} DEFAULT {now}
)""",
    """
CREATE TABLE IF NOT EXISTS organization_settings (
  org_id {uuid} PRIMARY KEY NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
  retention_days INTEGER NOT NULL DEFAULT 90
)""",
    """
CREATE TABLE IF NOT EXISTS history_progress (
  id INTEGER PRIMARY KEY NOT NULL,
  folded_before_at {time},
  after_id {uuid},
  next_at {time} NOT NULL DEFAULT {now}
)""",
    """
CREATE INDEX IF NOT EXISTS idx_integration_health_days_left ON integration_health_days(starts_at, integration_id)
 WHERE rows_left != 'none'""",
    "CREATE INDEX IF NOT EXISTS idx_maintenance_windows_org ON maintenance_windows(org_id)",
)
_WORDS = {
    "postgresql": {"uuid": "UUID", "time": "TIMESTAMPTZ", "new_id": "gen_random_uuid()", "now": "now()"},
    "sqlite": {
        "uuid": "TEXT",
        "time": "TEXT",
        "new_id": "(lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)"
        " || '-' || substr('89ab', (random() & 3) + 1, 1) || substr(hex(randomblob(2)), 2)"
        " || '-' || hex(randomblob(6))))",
        "now": "(strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))",
    },
}


_HAS_OPTIONS = """
SELECT relkind <> 'r' OR reloptions IS NOT NULL FROM pg_class WHERE oid = 'integrations'::regclass"""


def upgrade() -> None:
    """Add five tables. On PostgreSQL, set a fillfactor on integrations unless the table has options already."""
    connection = op.get_bind()
    for statement in _STATEMENTS:
        connection.exec_driver_sql(statement.format(**_WORDS[connection.dialect.name]))
    if connection.dialect.name == "postgresql" and not connection.exec_driver_sql(_HAS_OPTIONS).scalar():
        connection.exec_driver_sql("ALTER TABLE integrations SET (fillfactor = 85)")
