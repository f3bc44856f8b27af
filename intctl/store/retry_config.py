"""How often and when an organisation wants a failed notification to be retried: `integration_retry_config`."""

from __future__ import annotations

from typing import NamedTuple

from intctl.db.connect import Database

_FIND = """
SELECT max_retries, retry_strategy, fixed_delay_seconds, max_delay_seconds, enable_jitter, enable_dlq
  FROM integration_retry_config WHERE org_id = :org_id"""


class RetryConfig(NamedTuple):
    """The row of an organisation as it is stored, valid or not. `enable_dlq`: keep dead letters."""

    max_retries: int | None
    retry_strategy: str | None
    fixed_delay_seconds: int | None
    max_delay_seconds: int | None
    enable_jitter: bool | None
    enable_dlq: bool | None


def find(database: Database, org_id: str) -> RetryConfig | None:
    """The configuration of an organisation; None if it has none. Another program writes it."""
    row = database.row(_FIND, {"org_id": org_id})
    return None if row is None else RetryConfig(**row)
