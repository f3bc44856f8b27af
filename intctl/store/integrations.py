"""Integrations with the result of their newest check: one by its name, or many by a selection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from intctl.db.connect import Database
from intctl.db.url import POSTGRESQL
from intctl.errors import NotFoundError, UsageError
from intctl.health.log_entry import read
from intctl.health.status import Verdict
from intctl.store.current import OFF_AT, is_current
from intctl.store.names import folded_name, like_literal
from intctl.text import clean, fold

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
#: The shortest prefix of an id that identifies an integration: with a shorter one, a typo would match another one.
ID_PREFIX = 8

#: The keys of `list --sort`, and what each sorts by. Reversed with a leading "-".
SORTS = {
    "name": "{name}",
    "type": "i.type",
    "provider": "i.provider",
    "status": "i.status",
    "last-check": "i.last_health_check",
    "last-sync": "i.last_sync",
    "created": "i.created_at",
}

# The newest log gives the current verdict; "Last Sync" falls back to the last success.
_INTEGRATION = f"""
SELECT i.id, i.org_id, i.name, i.type, i.provider, i.status, i.last_health_check, i.last_sync,
       i.last_sync_error, i.error_message, i.error_count, i.health_check_interval_minutes,
       i.config_version, i.created_at, i.updated_at, i.deleted_at, s.next_check_at, s.rejections,
       (SELECT l.metadata FROM integration_health_logs l WHERE l.integration_id = i.id
         ORDER BY l.checked_at DESC, l.id DESC LIMIT 1) AS metadata,
       (SELECT l.checked_at FROM integration_health_logs l WHERE l.integration_id = i.id AND l.status = 'success'
         ORDER BY l.checked_at DESC LIMIT 1) AS last_success_at,
       {OFF_AT}
  FROM integrations i LEFT JOIN integration_schedules s ON s.integration_id = i.id
 WHERE i.org_id = :org_id"""


@dataclass(frozen=True, slots=True)
class Integration:
    """An integration, and the findings of its newest check where that check applies to its present config.

    `rejections` is None for a row that another program made: it has no schedule. `facts` are without the usage,
    which may be older than the newest check (`usages_store.usages`).
    """

    id: str
    org_id: str
    name: str
    type: str
    provider: str
    status: str | None
    last_health_check: datetime | None
    last_sync: datetime | None
    last_sync_error: str | None
    error_message: str | None
    error_count: int | None
    health_check_interval_minutes: int | None
    config_version: int
    created_at: datetime | None
    updated_at: datetime | None
    deleted_at: datetime | None
    next_check_at: datetime | None
    rejections: int | None
    last_success_at: datetime | None
    verdict: Verdict
    code: str
    phase: str
    phases_ms: Mapping[str, float]
    facts: Mapping[str, object]
    detail: str = ""


class Selection(NamedTuple):
    """Which integrations to read, and in which order. `sort` is a key of SORTS, reversed with a leading "-"."""

    search: str = ""
    type: str = ""
    provider: str = ""
    status: str = ""
    sort: str = "name"
    deleted: bool = False

    @property
    def narrows(self) -> bool:
        """Whether the selection excludes any living integration."""
        return bool(self.search or self.type or self.provider or self.status or self.deleted)


#: All living integrations, by name.
ALL = Selection()


def find_all(database: Database, org_id: str, wanted: Selection = ALL) -> list[Integration]:
    """The integrations of a selection."""
    text, parameters = _base(deleted=wanted.deleted), {"org_id": org_id}
    for column, value in (("type", wanted.type), ("provider", wanted.provider), ("status", wanted.status)):
        if value:
            text += f" AND i.{column} = :{column}"
            parameters[column] = value
    if wanted.search:
        columns = (f"lower(i.{column}) LIKE lower(:search) ESCAPE '!'" for column in ("name", "provider", "type"))
        text += f" AND ({' OR '.join(columns)})"
        parameters["search"] = f"%{like_literal(wanted.search)}%"
    direction = "DESC NULLS LAST" if wanted.sort.startswith("-") else "ASC NULLS FIRST"
    text += f" ORDER BY {SORTS[wanted.sort.lstrip('-')]} {direction}, {{name}}"
    return _read(database, text, parameters)


def find(database: Database, org_id: str, name: str, *, deleted: bool = False) -> Integration:
    """Find the integration that NAME identifies: an exact name, an id, or an unambiguous prefix.

    `deleted` searches the deleted ones instead. Raises NotFoundError, or UsageError with the candidates when a
    prefix is ambiguous.
    """
    base = _base(deleted=deleted)
    # Where several deleted ones share a name, the one deleted last.
    order = " ORDER BY i.deleted_at DESC, {name}"
    for condition, wanted in (("i.name = :name", name), ("{name} = :name", fold(name))):
        if found := _read(database, f"{base} AND {condition}{order}", {"org_id": org_id, "name": wanted}):
            return found[0]
    if _ID.fullmatch(name.lower()):
        found = _read(database, f"{base} AND i.id = :id", {"org_id": org_id, "id": name.lower()})
    elif 0 < len(name) <= 100:  # no name is longer; a database may refuse a longer pattern
        pattern = f"{like_literal(name)}%"
        condition = "lower(i.name) LIKE lower(:pattern) ESCAPE '!'"
        if len(name) >= ID_PREFIX:
            id_text = "CAST(i.id AS text)" if database.dialect == POSTGRESQL else "i.id"
            condition = f"({condition} OR {id_text} LIKE lower(:pattern) ESCAPE '!')"
        found = _read(database, f"{base} AND {condition}{order}", {"org_id": org_id, "pattern": pattern})
    else:
        found = []
    if not found:
        there, listing = ("deleted integration", "intctl list --deleted") if deleted else ("integration", "intctl list")
        raise NotFoundError(f'There is no {there} "{clean(name, 100)}". See: {listing}')
    if len(found) > 1:
        names = ", ".join(f'"{clean(one.name)}"' for one in found[:10])
        raise UsageError(f'"{clean(name)}" matches {len(found)} integrations: {names}. Use a longer prefix, or the id.')
    return found[0]


def _base(*, deleted: bool) -> str:
    return f"{_INTEGRATION} AND i.deleted_at IS {'NOT ' if deleted else ''}NULL"


def _read(database: Database, text: str, parameters: dict[str, str]) -> list[Integration]:
    """Run a query; `{name}` in its text is replaced by the folded name."""
    return [_decoded(**row) for row in database.rows(text.replace("{name}", folded_name(database)), parameters)]


def _decoded(*, metadata: object, off_at: datetime | None, **columns: Any) -> Integration:
    """Decode a row of `_INTEGRATION`: its columns, and the newest check where it applies."""
    newest = read(metadata)
    if not is_current(
        newest,
        config_version=columns["config_version"],
        status=columns["status"],
        off_at=off_at,
        last_health_check=columns["last_health_check"],
    ):
        return Integration(**columns, verdict="unknown", code="self.not_checked", phase="", phases_ms={}, facts={})
    facts = newest.ordered_facts
    facts.pop("usage", None)
    return Integration(
        **columns,
        verdict=newest.verdict or "unknown",
        code=newest.code or "self.not_checked",
        phase=newest.phase,
        phases_ms=newest.ordered_phases_ms,
        facts=facts,
        detail=newest.detail,
    )
