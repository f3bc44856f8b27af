"""The reads: named SQL over the plain connection, each one inside an organisation.

One text serves both databases; `connect.prepared` spells out the clock and the parameters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from intctl.db.connect import Database
from intctl.db.url import POSTGRESQL
from intctl.errors import NotFoundError, StoreError, UsageError
from intctl.health.codes import Verdict
from intctl.health.outcome import PHASES
from intctl.health.status import is_enabled
from intctl.probes.usage import KEYS, sound
from intctl.text import clean, fold

Row = dict[str, Any]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

#: How much of an id stands for it: less would hit an integration by one mistyped character.
ID_PREFIX = 8

#: What `list --sort` takes, and what it sorts by. Reversed with a leading "-".
SORTS = {
    "name": "{name}",
    "type": "i.type",
    "provider": "i.provider",
    "status": "i.status",
    "last-check": "i.last_health_check",
    "last-sync": "i.last_sync",
    "created": "i.created_at",
}

#: When it was switched off last.
OFF_AT = """(SELECT max(c.changed_at) FROM integration_changes c
         WHERE c.integration_id = i.id AND NOT c.enabled) AS off_at"""
# The newest log says what is known now; the last success is what "Last Sync" falls back to.
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

_SEALED = """
SELECT i.id, i.org_id, i.name, i.type, i.provider, i.status, i.config, i.config_version,
       i.health_check_interval_minutes, i.deleted_at
  FROM integrations i WHERE i.org_id = :org_id AND i.deleted_at IS NULL"""

_ORGANISATIONS = "SELECT id, name, slug FROM organizations ORDER BY name"
_ORGANISATION_IDS = "SELECT id FROM organizations WHERE slug = :text OR name = :text"
_STATS = """
SELECT status, count(*) AS n FROM integrations WHERE org_id = :org_id AND deleted_at IS NULL GROUP BY status"""

_SINCE = """
SELECT min(l.checked_at) AS since_at FROM integration_health_logs l
 WHERE l.integration_id = :id AND l.status = :status
   AND l.checked_at >= coalesce((SELECT max(n.checked_at) FROM integration_health_logs n
                                  WHERE n.integration_id = :id AND n.status IN ('success', :ended_by)), l.checked_at)"""

_LOGS = """
SELECT l.id, i.name AS integration, l.integration_id, l.checked_at, l.check_type, l.status, l.response_time_ms,
       l.error_message, l.metadata, l.lease_token, i.config_version
  FROM integration_health_logs l JOIN integrations i ON i.id = l.integration_id
 WHERE i.org_id = :org_id"""

# A quota is told by checks that worked, and by the newest one where nothing works because it is used up.
_USAGE = """
SELECT i.id, i.config_version, l.checked_at, l.metadata
  FROM integrations i JOIN integration_health_logs l ON l.id IN (
       (SELECT n.id FROM integration_health_logs n WHERE n.integration_id = i.id
         ORDER BY n.checked_at DESC, n.id DESC LIMIT 1),
       (SELECT n.id FROM integration_health_logs n WHERE n.integration_id = i.id AND n.status = 'success'
         ORDER BY n.checked_at DESC, n.id DESC LIMIT 1))
 WHERE i.org_id = :org_id AND i.deleted_at IS NULL"""

_CONFIGS = "SELECT config FROM integrations WHERE deleted_at IS NULL"

_TOKENS = """
SELECT t.id, t.access_token, t.refresh_token, t.expires_at, t.scope, t.created_at
  FROM oauth_tokens t JOIN integrations i ON i.id = t.integration_id
 WHERE t.integration_id = :id AND i.org_id = :org_id ORDER BY t.created_at, t.id"""


# --- organisations -------------------------------------------------------------------------------


def organizations(database: Database) -> list[Row]:
    """The organisations that can be read: id, name and slug.

    Raises StoreError where a portal's table hides them or has no such columns.
    """
    try:
        return database.rows(_ORGANISATIONS)
    except StoreError as error:
        if error.transient:
            raise
        raise StoreError("The organisations can't be read in this database. Name yours by its id: --org ID") from None


def organization_id(database: Database, text: str | None) -> str:
    """The id that `--org` means: an id is taken as it is; a slug or a name is looked up.

    Without one, the only organisation. Raises NotFoundError, or UsageError when there are several.
    """
    if text is not None and _UUID.fullmatch(text.lower()):
        # Not looked up: a portal's row-level security may hide the row from us, not from its rules.
        return text.lower()
    if text is not None:
        try:
            found = database.rows(_ORGANISATION_IDS, {"text": text})
        except StoreError as error:
            if error.transient:
                raise
            found = []
        if len(found) == 1:
            return str(found[0]["id"])
        raise NotFoundError("No such organisation. See: intctl org list (or name it by its id)")
    there = organizations(database)
    if len(there) == 1:
        return str(there[0]["id"])
    if not there:
        raise NotFoundError("No organisation can be seen here. Make one (intctl org create NAME) or name it: --org ID")
    raise UsageError("There are several organisations. Name one with --org or INTCTL_ORG (see: intctl org list)")


# --- integrations --------------------------------------------------------------------------------


def integrations(
    database: Database,
    org_id: str,
    *,
    search: str = "",
    type_: str = "",
    provider: str = "",
    status: str = "",
    sort: str = "name",
    deleted: bool = False,
) -> list[Row]:
    """The living (or the deleted) integrations that match. `sort` is a key of SORTS, reversed with a leading "-"."""
    text, parameters = f"{_INTEGRATION} AND i.deleted_at IS {'NOT ' if deleted else ''}NULL", {"org_id": org_id}
    for column, wanted in (("type", type_), ("provider", provider), ("status", status)):
        if wanted:
            text += f" AND i.{column} = :{column}"
            parameters[column] = wanted
    if search:
        columns = (f"lower(i.{column}) LIKE lower(:search) ESCAPE '!'" for column in ("name", "provider", "type"))
        text += f" AND ({' OR '.join(columns)})"
        parameters["search"] = f"%{_literal(search)}%"
    direction = "DESC" if sort.startswith("-") else "ASC"
    nulls = "NULLS LAST" if direction == "DESC" else "NULLS FIRST"
    text += f" ORDER BY {SORTS[sort.lstrip('-')]} {direction} {nulls}, {{name}}"
    return [_with_verdict(row) for row in database.rows(_folded(text, database), parameters)]


def _folded(text: str, database: Database) -> str:
    """`text` with `{name}` as the name without its ASCII case: the same, and the same order, on both databases."""
    return text.replace("{name}", 'lower(i.name COLLATE "C")' if database.dialect == POSTGRESQL else "lower(i.name)")


def _literal(text: str) -> str:
    """`text` for LIKE, with nothing in it that LIKE would read as a pattern."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _with_verdict(row: Row) -> Row:
    """The row with verdict, code, phase and detail of the newest check, as far as it stands."""
    newest = row.pop("metadata")
    known: Row = newest if is_current(row, newest) else {}
    del row["off_at"]
    row["verdict"] = known.get("verdict", "unknown")
    row["code"] = known.get("code", "self.not_checked")
    row["phase"] = known.get("phase", "")
    row["phases_ms"] = _ordered(known.get("phases_ms"), PHASES)
    row["facts"] = _ordered(known.get("facts"))
    row["facts"].pop("usage", None)  # see usages(): it may be older than the newest check
    return row


def is_current(row: Mapping[str, Any], newest: object) -> bool:
    """Whether the newest check, whose metadata `newest` is, says anything of the integration as it is now.

    Not with another config; and what was known before it was switched off says nothing of one that is on again.
    """
    if not isinstance(newest, dict) or newest.get("config_version") != row["config_version"]:
        return False
    off_at, checked_at = row["off_at"], row["last_health_check"]
    return row["status"] != "active" or off_at is None or (checked_at is not None and checked_at >= off_at)


def _ordered(known: object, first: tuple[str, ...] = ()) -> Row:
    """A JSON object of a log row in one order: PostgreSQL's jsonb does not keep ours."""
    found = known if isinstance(known, dict) else {}
    return {key: found[key] for key in (*(key for key in first if key in found), *sorted(found.keys() - {*first}))}


def find(database: Database, org_id: str, name: str, *, deleted: bool = False) -> Row:
    """The one integration that NAME means: an exact name, else an id, else a unique prefix of one.

    `deleted` looks among the deleted ones instead. Raises NotFoundError, or UsageError with the
    candidates when a prefix is ambiguous.
    """
    base = _INTEGRATION + f" AND i.deleted_at IS {'NOT ' if deleted else ''}NULL"
    # Of several deleted ones with one name, the one deleted last.
    order = _folded(" ORDER BY i.deleted_at DESC, {name}", database)
    for condition, wanted in (("i.name = :name", name), (_folded("{name} = :name", database), fold(name))):
        if found := database.rows(f"{base} AND {condition}{order}", {"org_id": org_id, "name": wanted}):
            return _with_verdict(found[0])
    if _UUID.fullmatch(name.lower()):
        found = database.rows(f"{base} AND i.id = :id", {"org_id": org_id, "id": name.lower()})
    elif 0 < len(name) <= 100:  # no name is longer; a longer pattern, a database may refuse
        pattern = f"{_literal(name)}%"
        condition = "lower(i.name) LIKE lower(:pattern) ESCAPE '!'"
        if len(name) >= ID_PREFIX:
            id_text = "CAST(i.id AS text)" if database.dialect == POSTGRESQL else "i.id"
            condition = f"({condition} OR {id_text} LIKE lower(:pattern) ESCAPE '!')"
        found = database.rows(f"{base} AND {condition}{order}", {"org_id": org_id, "pattern": pattern})
    else:
        found = []
    if not found:
        there, listing = ("deleted integration", "intctl list --deleted") if deleted else ("integration", "intctl list")
        raise NotFoundError(f'There is no {there} "{clean(name, 100)}". See: {listing}')
    if len(found) > 1:
        names = ", ".join(f'"{clean(row["name"])}"' for row in found[:10])
        raise UsageError(f'"{clean(name)}" could be {len(found)} integrations: {names}. Write more of it, or the id.')
    return _with_verdict(found[0])


def sealed(database: Database, org_id: str, *, id: str | None = None) -> list[Row]:
    """The living integrations with their envelopes: all of them, or one."""
    if id is not None:
        return database.rows(_SEALED + " AND i.id = :id", {"org_id": org_id, "id": id})
    return database.rows(_folded(_SEALED + " ORDER BY {name}", database), {"org_id": org_id})


def key_ids(database: Database) -> Counter[str]:
    """Which keys the living integrations of all organisations are sealed with, and how many each."""
    from intctl.keyring import is_envelope

    configs = (row["config"] for row in database.rows(_CONFIGS))
    return Counter(config["kid"] for config in configs if is_envelope(config))


def tokens(database: Database, org_id: str, id: str) -> list[Row]:
    """The stored OAuth tokens of one integration, still sealed, oldest first."""
    return database.rows(_TOKENS, {"org_id": org_id, "id": id})


# --- what is known about them --------------------------------------------------------------------


def stats(database: Database, org_id: str) -> dict[str, int]:
    """How many living integrations there are: total, active, error, disabled."""
    counts = {str(row["status"]): int(row["n"]) for row in database.rows(_STATS, {"org_id": org_id})}
    return {
        "total": sum(counts.values()),
        "active": counts.get("active", 0),
        "error": counts.get("error", 0),
        "disabled": sum(n for status, n in counts.items() if not is_enabled(status)),
    }


def alerts(database: Database, org_id: str) -> list[Row]:
    """The integrations in error, then the enabled ones that can't be checked, each with `since_at`.

    Verdict and code are those of the newest failure, which is what the error message tells of.
    """
    failing = integrations(database, org_id, status="error", sort="name")
    for row in failing:
        for log in logs(database, org_id, id=row["id"], limit=1, failures=True):
            row.update({key: log[key] for key in ("verdict", "code", "phase")})
        _add_since(database, row, "failure")
    blind = [row for row in integrations(database, org_id, status="active") if row["code"] not in _NO_ALERT]
    blind = [row for row in blind if row["verdict"] == "unknown"]
    for row in blind:
        _add_since(database, row, "unknown")
    return failing + blind


#: Unknown, and nobody's fault: not checked yet, or nothing can check it.
_NO_ALERT = ("self.not_checked", "self.no_probe")


def _add_since(database: Database, row: Row, status: str) -> None:
    ended_by = "success" if status == "failure" else "failure"
    since = database.row(_SINCE, {"id": row["id"], "status": status, "ended_by": ended_by})
    row["since_at"] = (since or {}).get("since_at") or row["last_health_check"] or row["updated_at"]


def logs(
    database: Database,
    org_id: str,
    *,
    id: str | None = None,
    limit: int = 50,
    failures: bool = False,
    since: datetime | None = None,
) -> list[Row]:
    """The health logs, newest first; of living integrations unless one is named."""
    text, parameters = _LOGS, {"org_id": org_id, "limit": limit}
    if id is not None:
        text += " AND l.integration_id = :id"
        parameters["id"] = id
    else:
        text += " AND i.deleted_at IS NULL"
    if failures:
        text += " AND l.status = 'failure'"
    if since is not None:
        text += " AND l.checked_at >= :since"
        parameters["since"] = since
    found = database.rows(f"{text} ORDER BY l.checked_at DESC, l.id DESC LIMIT :limit", parameters)
    for row in found:
        known = row.pop("metadata")
        known = known if isinstance(known, dict) else {}
        row["current"] = known.get("config_version") == row.pop("config_version")
        row["verdict"] = known.get("verdict") or _verdict_of(row["status"])
        row["code"] = known.get("code", "")
        row["phase"] = known.get("phase", "")
        row["phases_ms"] = _ordered(known.get("phases_ms"), PHASES)
        row["facts"] = _ordered(known.get("facts"))
        row["detail"] = known.get("detail", "")
    return found


def _verdict_of(status: str) -> Verdict:
    """The verdict of a log row that another program wrote."""
    return "healthy" if status == "success" else "down" if status == "failure" else "unknown"


def usages(database: Database, org_id: str, *, id: str | None = None) -> dict[str, Row]:
    """What the providers told last of the use of their quotas, by integration: of all, or of one.

    Each has `usage.KEYS` and `as_of`. What was told to an earlier config is of another account, maybe, and left out.
    """
    text, parameters = _USAGE, {"org_id": org_id}
    if id is not None:
        text += " AND i.id = :id"
        parameters["id"] = id
    found: dict[str, Row] = {}
    for row in database.rows(f"{text} ORDER BY l.checked_at, l.id", parameters):
        known = row["metadata"] if isinstance(row["metadata"], dict) else {}
        facts = known.get("facts")
        told = facts.get("usage") if isinstance(facts, dict) else None
        if known.get("config_version") == row["config_version"] and isinstance(told, dict) and sound(told):
            found[row["id"]] = {**{key: told[key] for key in KEYS}, "as_of": row["checked_at"]}
    return found


def now(database: Database) -> datetime:
    """The database's clock."""
    found = database.row("SELECT {now} AS now_at")
    assert found is not None
    moment: datetime = found["now_at"]
    return moment
