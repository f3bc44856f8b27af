"""The tables and indexes of the specification. Existing tables of a portal stay unchanged."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

_WORDS = {
    "postgresql": {
        "uuid": "UUID",
        "time": "TIMESTAMPTZ",
        "json": "JSONB",
        "texts": "TEXT[]",
        "new_id": "gen_random_uuid()",
        "now": "NOW()",
    },
    "sqlite": {
        "uuid": "TEXT",
        "time": "TEXT",
        "json": "TEXT",
        "texts": "TEXT",
        "new_id": "(lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)"
        " || '-' || substr('89ab', (random() & 3) + 1, 1) || substr(hex(randomblob(2)), 2)"
        " || '-' || hex(randomblob(6))))",
        "now": "(strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))",
    },
}

_TABLES = (
    """
CREATE TABLE IF NOT EXISTS organizations (
  id {uuid} PRIMARY KEY NOT NULL DEFAULT {new_id},
  name VARCHAR(100) NOT NULL,
  slug VARCHAR(100) NOT NULL UNIQUE
)""",
    """
CREATE TABLE IF NOT EXISTS user_profiles (
  id {uuid} PRIMARY KEY NOT NULL DEFAULT {new_id}
)""",
    """
CREATE TABLE IF NOT EXISTS integrations (
  id {uuid} PRIMARY KEY NOT NULL DEFAULT {new_id},
  org_id {uuid} NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
  type VARCHAR(50) NOT NULL,
  provider VARCHAR(50) NOT NULL,
  name VARCHAR(100) NOT NULL,
  config {json} NOT NULL,
  status VARCHAR(20) DEFAULT 'inactive',
  last_health_check {time},
  last_sync {time},
  health_check_interval_minutes INTEGER DEFAULT 5,
  error_message TEXT,
  error_count INTEGER DEFAULT 0,
  created_by {uuid} REFERENCES user_profiles(id),
  created_at {time} DEFAULT {now},
  updated_at {time} DEFAULT {now}
)""",
    """
CREATE TABLE IF NOT EXISTS oauth_tokens (
  id {uuid} PRIMARY KEY NOT NULL DEFAULT {new_id},
  integration_id {uuid} NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  user_id {uuid} REFERENCES user_profiles(id),
  access_token TEXT NOT NULL,
  refresh_token TEXT,
  token_type VARCHAR(20) DEFAULT 'Bearer',
  expires_at {time},
  scope TEXT,
  created_at {time} DEFAULT {now},
  updated_at {time} DEFAULT {now}
)""",
    """
CREATE TABLE IF NOT EXISTS webhooks (
  id {uuid} PRIMARY KEY NOT NULL DEFAULT {new_id},
  org_id {uuid} NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
  name VARCHAR(100) NOT NULL,
  url TEXT NOT NULL,
  secret VARCHAR(64),
  events {texts} NOT NULL,
  status VARCHAR(20) DEFAULT 'active',
  created_by {uuid} REFERENCES user_profiles(id),
  created_at {time} DEFAULT {now},
  updated_at {time} DEFAULT {now}
)""",
    """
CREATE TABLE IF NOT EXISTS webhook_deliveries (
  id {uuid} PRIMARY KEY NOT NULL DEFAULT {new_id},
  webhook_id {uuid} NOT NULL REFERENCES webhooks(id) ON DELETE CASCADE,
  event_type VARCHAR(50) NOT NULL,
  payload {json} NOT NULL,
  request_headers {json},
  response_status INTEGER,
  response_body TEXT,
  duration_ms INTEGER,
  attempt_number INTEGER DEFAULT 1,
  delivered_at {time} DEFAULT {now},
  next_retry_at {time},
  status VARCHAR(20) DEFAULT 'pending'
)""",
    """
CREATE TABLE IF NOT EXISTS integration_retry_config (
  id {uuid} PRIMARY KEY NOT NULL DEFAULT {new_id},
  org_id {uuid} NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
  max_retries INTEGER DEFAULT 3,
  retry_strategy VARCHAR(20) DEFAULT 'exponential',
  fixed_delay_seconds INTEGER DEFAULT 5,
  max_delay_seconds INTEGER DEFAULT 60,
  enable_jitter BOOLEAN DEFAULT true,
  enable_dlq BOOLEAN DEFAULT true,
  created_at {time} DEFAULT {now},
  updated_at {time} DEFAULT {now},
  UNIQUE(org_id)
)""",
    """
CREATE TABLE IF NOT EXISTS integration_health_logs (
  id {uuid} PRIMARY KEY NOT NULL DEFAULT {new_id},
  integration_id {uuid} NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  check_type VARCHAR(20) NOT NULL,
  status VARCHAR(20) NOT NULL,
  response_time_ms INTEGER,
  error_message TEXT,
  metadata {json},
  checked_at {time} DEFAULT {now}
)""",
)

_INDEXES = (
    "idx_integrations_org ON integrations(org_id)",
    "idx_integrations_status ON integrations(status)",
    "idx_integrations_type ON integrations(type)",
    "idx_oauth_tokens_integration ON oauth_tokens(integration_id)",
    "idx_webhooks_org ON webhooks(org_id)",
    "idx_webhook_deliveries_webhook ON webhook_deliveries(webhook_id)",
    "idx_webhook_deliveries_status ON webhook_deliveries(status)",
    "idx_integration_health_logs_integration ON integration_health_logs(integration_id)",
    "idx_integration_health_logs_checked ON integration_health_logs(checked_at)",
)


def upgrade() -> None:
    """Create the missing tables and indexes."""
    connection = op.get_bind()
    words = _WORDS[connection.dialect.name]
    for table in _TABLES:
        connection.exec_driver_sql(table.format(**words))
    for index in _INDEXES:
        connection.exec_driver_sql(f"CREATE INDEX IF NOT EXISTS {index}")
