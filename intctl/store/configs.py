"""Stored configs, still sealed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from intctl.db.connect import Database
from intctl.store.names import folded_name

_SEALED = """
SELECT i.id, i.org_id, i.name, i.type, i.provider, i.status, i.config, i.config_version,
       i.health_check_interval_minutes, i.deleted_at
  FROM integrations i WHERE i.org_id = :org_id AND i.deleted_at IS NULL"""
_CONFIGS = "SELECT config FROM integrations WHERE deleted_at IS NULL"


@dataclass(frozen=True, slots=True)
class SealedConfig:
    """An integration with its config as stored.

    `config` is the envelope, or whatever another program wrote into the column.
    """

    id: str
    org_id: str
    name: str
    type: str
    provider: str
    status: str | None
    config: object = field(repr=False)
    config_version: int
    health_check_interval_minutes: int | None
    deleted_at: datetime | None = None


def sealed(database: Database, org_id: str, *, id: str | None = None) -> list[SealedConfig]:
    """The configs of all living integrations, by name, or the config of one."""
    text, parameters = _SEALED, {"org_id": org_id}
    if id is not None:
        text += " AND i.id = :id"
        parameters["id"] = id
    else:
        text += f" ORDER BY {folded_name(database)}"
    return [SealedConfig(**row) for row in database.rows(text, parameters)]


def key_ids(database: Database) -> Counter[str]:
    """The keys that seal the living integrations of all organisations, with a count for each key."""
    from intctl.keyring import is_envelope

    configs = (row["config"] for row in database.rows(_CONFIGS))
    return Counter(config["kid"] for config in configs if is_envelope(config))
