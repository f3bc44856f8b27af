"""What a database looks like, as plain values that can be compared."""

from __future__ import annotations

import re
from typing import Any

import psycopg

from intctl.db.url import Target

Description = dict[str, list[tuple[Any, ...]]]

_QUERIES = {
    "columns": """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       a.attacl::text
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped""",
    "constraints": """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE connamespace = 'public'::regnamespace""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "tables": """
SELECT relname, relrowsecurity, relforcerowsecurity, relacl::text, relowner::regrole::text, reloptions::text
  FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'""",
    "policies": "SELECT tablename, policyname, qual, roles::text FROM pg_policies WHERE schemaname = 'public'",
    "triggers": """
SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal""",
}


def server(target: Target) -> psycopg.Connection[Any]:
    """A plain connection, for what a portal or an administrator does."""
    return psycopg.connect(**target.parameters, autocommit=True)  # type: ignore[arg-type]


def postgresql(target: Target, *tables: str) -> Description:
    """Everything the catalogue says about the tables (all of them, or those named)."""
    with server(target) as connection:
        found = {name: connection.execute(query).fetchall() for name, query in _QUERIES.items()}
    return {
        name: sorted((row for row in rows if not tables or row[0] in tables), key=str) for name, rows in found.items()
    }


def sqlite(connection: Any) -> Description:
    """Columns, references and indexes, however the statements were written."""
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    described: Description = {}
    for table in names:
        described[f"{table}: columns"] = sorted(
            (name, kind, bool(required), _plain(default), key)
            for _, name, kind, required, default, key in connection.execute(f"PRAGMA table_info({table})")
        )
        described[f"{table}: references"] = sorted(
            row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({table})")
        )
        described[f"{table}: indexes"] = sorted(
            (
                _index_name(index),
                unique,
                partial,
                _plain(_index_sql(connection, index)),
                tuple(row[2:] for row in connection.execute(f"PRAGMA index_xinfo('{index}')")),
            )
            for _, index, unique, _, partial in connection.execute(f"PRAGMA index_list({table})")
        )
        described[f"{table}: checks"] = [tuple(re.findall(r"CHECK \(.*\)", _table_sql(connection, table)))]
    return described


def _index_name(name: str) -> str:
    return "automatic" if name.startswith("sqlite_autoindex") else name


def _index_sql(connection: Any, name: str) -> str:
    return connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0] or ""


def _table_sql(connection: Any, name: str) -> str:
    return str(connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0])


def _plain(text: str | None) -> str | None:
    """SQL without the blanks and outer brackets in which two writers differ."""
    if text is None:
        return None
    text = re.sub(r"\s+", "", text.replace("IF NOT EXISTS", ""))
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    return text
