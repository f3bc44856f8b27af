"""Retries of notifications: the next attempt, the last error, the dead letter."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

_COLUMNS = ("next_attempt_at {time}", "failed_at {time}", "last_error TEXT", "told_with {uuid}")
# The earlier version had given these up; without this, an upgrade would report them.
_GIVEN_UP = """
UPDATE integration_transitions SET told_at = {now}
 WHERE told_at IS NULL AND (coalesce(quiet_until, changed_at) <= {yesterday} OR attempts >= 3)"""
_INDEX = """
CREATE INDEX IF NOT EXISTS idx_integration_transitions_undelivered
 ON integration_transitions(integration_id, changed_at) WHERE told_at IS NULL"""
_WORDS = {
    "postgresql": {"uuid": "UUID", "time": "TIMESTAMPTZ", "now": "now()", "yesterday": "now() - interval '1 day'"},
    "sqlite": {
        "uuid": "TEXT",
        "time": "TEXT",
        "now": "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')",
        "yesterday": "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-1 day')",
    },
}


def upgrade() -> None:
    """Add four columns and an index, and close the transitions that the earlier version had given up."""
    connection = op.get_bind()
    words = _WORDS[connection.dialect.name]
    absent = "IF NOT EXISTS " if connection.dialect.name == "postgresql" else ""
    for column in _COLUMNS:
        connection.exec_driver_sql(f"ALTER TABLE integration_transitions ADD COLUMN {absent}{column.format(**words)}")
    connection.exec_driver_sql(_GIVEN_UP.format(**words))
    connection.exec_driver_sql(_INDEX)
