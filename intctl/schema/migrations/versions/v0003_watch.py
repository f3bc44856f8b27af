"""Tables for the service: the last pass of each agent, and the transitions to report."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

_STATEMENTS = (
    """
CREATE TABLE IF NOT EXISTS agent_passes (
  id TEXT PRIMARY KEY NOT NULL,
  host TEXT NOT NULL,
  org_id {uuid},
  version TEXT NOT NULL,
  started_at {time},
  finished_at {time},
  failed_at {time},
  failure TEXT,
  passes BIGINT NOT NULL DEFAULT 0,
  checks BIGINT NOT NULL DEFAULT 0,
  metadata {json}
)""",
    """
CREATE TABLE IF NOT EXISTS integration_transitions (
  id {uuid} PRIMARY KEY NOT NULL DEFAULT {new_id},
  integration_id {uuid} NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  from_status VARCHAR(20) NOT NULL,
  to_status VARCHAR(20) NOT NULL,
  verdict VARCHAR(20),
  code TEXT,
  message TEXT,
  changed_at {time} NOT NULL DEFAULT {now},
  quiet_until {time},
  lease_owner TEXT,
  lease_token BIGINT NOT NULL DEFAULT 0,
  lease_expires_at {time},
  attempts INTEGER NOT NULL DEFAULT 0,
  told_at {time},
  exit_code INTEGER
)""",
    "CREATE INDEX IF NOT EXISTS idx_integration_transitions_changed ON integration_transitions(changed_at)",
    """
CREATE INDEX IF NOT EXISTS idx_integration_transitions_integration
 ON integration_transitions(integration_id, changed_at)""",
)
_WORDS = {
    "postgresql": {
        "uuid": "UUID",
        "time": "TIMESTAMPTZ",
        "json": "JSONB",
        "new_id": "gen_random_uuid()",
        "now": "NOW()",
    },
    "sqlite": {
        "uuid": "TEXT",
        "time": "TEXT",
        "json": "TEXT",
        "new_id": "(lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)"
        " || '-' || substr('89ab', (random() & 3) + 1, 1) || substr(hex(randomblob(2)), 2)"
        " || '-' || hex(randomblob(6))))",
        "now": "(strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))",
    },
}


def upgrade() -> None:
    """Add two tables."""
    connection = op.get_bind()
    words = _WORDS[connection.dialect.name]
    for statement in _STATEMENTS:
        connection.exec_driver_sql(statement.format(**words))
