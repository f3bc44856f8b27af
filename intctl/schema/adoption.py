"""Adopt or refuse the existing tables of a PostgreSQL database that intctl did not create.

A table is adopted if nothing in it would break intctl. docs/postgresql.md lists the differences that are refused, and
why. All differences are reported at once, and nothing is changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from intctl.db.connect import Database
from intctl.errors import StoreError
from intctl.schema.tables import SHARED, TABLES

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]

_COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required,
       (a.atthasdef OR a.attidentity <> '') AS has_default
  FROM pg_attribute a WHERE a.attrelid = to_regclass(:table) AND a.attnum > 0 AND NOT a.attisdropped"""
_KEYS = """
SELECT a.attname AS name
  FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
 WHERE c.conrelid = to_regclass(:table) AND c.contype IN ('p', 'u') AND cardinality(c.conkey) = 1"""
_REFERENCES = """
SELECT a.attname AS name, c.confdeltype AS on_delete, c.confrelid = to_regclass('organizations') AS to_organizations,
       c.confrelid = to_regclass('user_profiles') AS to_user_profiles,
       c.confrelid = to_regclass('integrations') AS to_integrations,
       c.confrelid = to_regclass('webhooks') AS to_webhooks
  FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
 WHERE c.conrelid = to_regclass(:table) AND c.contype = 'f' AND cardinality(c.conkey) = 1"""
_TABLE = """
SELECT c.relkind IN ('r', 'p') AS is_table, pg_has_role(c.relowner, 'USAGE') AS is_owner,
       row_security_active(c.oid) AS hidden, current_user AS me
  FROM pg_class c WHERE c.oid = to_regclass(:table)"""
_SCHEMA = """
SELECT current_user AS me, current_schema() AS schema, current_setting('search_path') AS path,
       has_schema_privilege(current_schema(), 'CREATE') AS may_create"""
_MAY_REFERENCE = "SELECT has_column_privilege(to_regclass(:table), 'id', 'REFERENCES') AS allowed"

# Names that the unique index would reject. A portal may have its own deleted_at.
_DUPLICATES = """
SELECT i.org_id, string_agg(quote_literal(i.name), ', ' ORDER BY i.name, i.id) AS names
  FROM integrations i WHERE to_jsonb(i) ->> 'deleted_at' IS NULL
 GROUP BY i.org_id, lower(i.name COLLATE "C") HAVING count(*) > 1 ORDER BY i.org_id, 2 LIMIT 20"""


def require_adoptable(database: Database) -> None:
    """Raise StoreError if an existing table differs from the specification, or a privilege is missing.

    The message lists every difference, or the GRANT to run.
    """
    there = {table.name for table in TABLES if _exists(database, table.name)}
    differences = [
        difference for table in TABLES if table.name in there for difference in _differences(database, table)
    ]
    if differences:
        raise StoreError(
            f"{database.target.label} has tables that intctl can't work with; nothing was changed: "
            + "; ".join(differences)
        )
    _require_privileges(database, there)
    if "integrations" in there and (found := database.rows(_DUPLICATES)):
        names = "; ".join(f"{row['names']} of organisation {row['org_id']}" for row in found)
        raise StoreError(
            f"{database.target.label} has integrations with the same name (case is ignored); "
            f"nothing was changed. Rename them first: {names}"
        )


def _exists(database: Database, table: str) -> bool:
    return database.row("SELECT 1 WHERE to_regclass(:table) IS NOT NULL", {"table": table}) is not None


# --- differences ---------------------------------------------------------------------------------


def _differences(database: Database, table: Table) -> Iterator[str]:
    state = database.row(_TABLE, {"table": table.name}) or {}
    if not state["is_table"]:
        yield f"{table.name} is not a table"
        return
    columns = {row["name"]: row for row in database.rows(_COLUMNS, {"table": table.name})}
    keys = {row["name"] for row in database.rows(_KEYS, {"table": table.name})}
    wanted = [table.c.id] if table.name in SHARED else list(table.columns)
    for column in wanted:
        found = columns.get(column.name)
        if found is not None:
            yield from _column_differences(table.name, column, found)
        elif "since" not in column.info:
            yield f"{table.name}.{column.name} is missing"
    if "id" in columns and "id" not in keys:
        yield f"{table.name}.id is not the primary key"
    if table.name in SHARED:
        return
    yield from _reference_differences(database, table, columns)
    for name in columns.keys() - set(table.columns.keys()):
        if columns[name]["required"] and not columns[name]["has_default"]:
            yield f"{table.name}.{name} is unknown to intctl, and is NOT NULL without a default"
    if state["hidden"]:
        yield f"{table.name} has row-level security that hides rows from {state['me']}"


def _column_differences(table: str, column: Column[Any], found: dict[str, Any]) -> Iterator[str]:
    where = f"{table}.{column.name}"
    wanted = _type_name(column)
    if not _holds(found["type"], wanted):
        yield f"{where} is {found['type']}, not {wanted}"
    if table in SHARED:
        return
    if not column.nullable and not found["required"]:
        yield f"{where} may be NULL"
    # NOT NULL is fine for a column with a default: it always has a value.
    if column.nullable and found["required"] and column.server_default is None:
        yield f"{where} is NOT NULL"
    if column.server_default is not None and not found["has_default"]:
        yield f"{where} has no default"


def _type_name(column: Column[Any]) -> str:
    """Return the column's type in the notation of PostgreSQL's catalogue."""
    name = column.type.compile(dialect=_DIALECT).lower()
    return re.sub(r"^varchar", "character varying", name)


def _holds(found: str, wanted: str) -> bool:
    """Return whether type `found` can hold every value of type `wanted`: wider text is fine."""
    width = re.compile(r"character varying\((\d+)\)")
    if found == wanted:
        return True
    needed = width.fullmatch(wanted)
    if not needed:
        return False
    given = width.fullmatch(found)
    return found in ("text", "character varying") or (given is not None and int(given[1]) >= int(needed[1]))


def _reference_differences(database: Database, table: Table, columns: dict[str, Any]) -> Iterator[str]:
    there = database.rows(_REFERENCES, {"table": table.name})
    for key in table.foreign_keys:
        column, target = key.parent.name, key.column.table.name
        matching = [row for row in there if row["name"] == column and row[f"to_{target}"]]
        if column not in columns:
            continue
        if not matching:
            yield f"{table.name}.{column} does not reference {target}"
        elif key.ondelete == "CASCADE" and not any(row["on_delete"] == "c" for row in matching):
            yield f"{table.name}.{column} references {target} without ON DELETE CASCADE"


# --- privileges ----------------------------------------------------------------------------------


def _require_privileges(database: Database, there: set[str]) -> None:
    schema = database.row(_SCHEMA) or {}
    me, missing = _quoted(schema["me"]), []
    if schema["schema"] is None:
        missing.append(f"GRANT USAGE, CREATE ON SCHEMA {_first_schema(schema['path'])} TO {me};")
    elif not schema["may_create"]:
        missing.append(f"GRANT CREATE ON SCHEMA {_quoted(schema['schema'])} TO {me};")
    for name in sorted(there):
        if name in SHARED:
            allowed = database.row(_MAY_REFERENCE, {"table": name}) or {}
            if not allowed["allowed"]:
                missing.append(f"GRANT REFERENCES ON {name} TO {me};")
        elif not (database.row(_TABLE, {"table": name}) or {})["is_owner"]:
            missing.append(f"ALTER TABLE {name} OWNER TO {me};")
    if missing:
        raise StoreError(
            f"{database.target.label}: this user lacks privileges. As the owner, run: {' '.join(missing)} "
            "(see docs/postgresql.md)"
        )


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'


def _first_schema(path: str) -> str:
    named = [part.strip() for part in path.split(",") if part.strip() not in ('"$user"', "$user", "")]
    return named[0] if named else "public"
