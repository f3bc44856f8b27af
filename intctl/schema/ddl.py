"""schema.sql: the readable, idempotent PostgreSQL DDL of this version, made from the models.

`python -m intctl.schema.ddl > schema.sql` writes it; `--check` exits 1 when the file is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sqlalchemy import CheckConstraint, Column, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable, Index

from intctl.db.connect import HEAD, VERSION_TABLE
from intctl.db.url import POSTGRESQL
from intctl.schema.tables import OURS, SHARED, TABLES

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]

_HEAD_COMMENT = f"""\
-- intctl's tables on PostgreSQL 13 or newer, as of revision {HEAD}.
-- Made by `python -m intctl.schema.ddl`; don't edit. `intctl init` does the same and checks more:
-- this file trusts that a table with the right name is the right table.
-- Safe to run again. Afterwards: intctl init, for the organisation and the keyring.
"""
_VERSION = """\
-- Alembic's version table, so that intctl knows what it finds. A newer version stays.
CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (
  version_num VARCHAR(32) NOT NULL,
  CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num)
);
INSERT INTO {VERSION_TABLE} (version_num)
SELECT '{HEAD}' WHERE NOT EXISTS (SELECT FROM {VERSION_TABLE});
UPDATE {VERSION_TABLE} SET version_num = '{HEAD}' WHERE version_num < '{HEAD}';
""".replace("{VERSION_TABLE}", VERSION_TABLE).replace("{HEAD}", HEAD)


def schema_sql() -> str:
    """The whole text of schema.sql."""
    specified = [table for table in TABLES if table.name not in SHARED and table.name not in OURS]
    parts = [
        _HEAD_COMMENT,
        "BEGIN;\n",
        "-- The portal's, where there is one: made only if absent, never altered.",
        *(_create(table) for table in TABLES if table.name in SHARED),
        "-- The specification's.",
        *(_create(table) for table in specified),
        "-- What intctl adds. Separate, so that a portal's tables get it too.",
        "\n".join(_add(column) for table in specified for column in table.columns if "since" in column.info),
        "\n".join(_options(table) for table in specified if table.dialect_options["postgresql"]["with"]) + "\n",
        *(_create(table) for table in TABLES if table.name in OURS),
        "-- Indexes.",
        "\n".join(_index(index) for table in TABLES for index in _indexes(table)) + "\n",
        _VERSION,
        "COMMIT;",
    ]
    return "\n".join(parts) + "\n"


def _create(table: Table) -> str:
    columns = [column for column in table.columns if "since" not in column.info]
    lines = [(_column(column), column.info.get("note", "")) for column in columns]
    lines += [
        (f"CONSTRAINT {rule.name} CHECK ({rule.sqltext})", "")
        for rule in table.constraints
        if isinstance(rule, CheckConstraint)
    ]
    if len(table.primary_key) > 1:
        lines.append((f"PRIMARY KEY ({', '.join(table.primary_key.columns.keys())})", ""))
    body = [
        f"  {text}{',' if place < len(lines) else ''}{f' -- {note}' if note else ''}"
        for place, (text, note) in enumerate(lines, 1)
    ]
    return f"CREATE TABLE IF NOT EXISTS {table.name} (\n" + "\n".join(body) + "\n);\n"


def _add(column: Column[Any]) -> str:
    note = f" -- {column.info['note']}"
    return f"ALTER TABLE {column.table.name} ADD COLUMN IF NOT EXISTS {_column(column)};{note}"


def _options(table: Table) -> str:
    given = table.dialect_options["postgresql"]["with"].items()
    return f"ALTER TABLE {table.name} SET ({', '.join(f'{name} = {value}' for name, value in given)});"


def _column(column: Column[Any]) -> str:
    words = [column.name, _type(column)]
    if column.primary_key and len(column.table.primary_key) == 1:
        words.append("PRIMARY KEY")
    elif not column.nullable:
        words.append("NOT NULL")
    default = CreateTable(column.table).compile(dialect=_DIALECT).get_column_default_string(column)  # type: ignore[attr-defined]
    if default is not None:
        words.append(f"DEFAULT {default}")
    if column.unique:
        words.append("UNIQUE")
    for key in column.foreign_keys:
        words.append(f"REFERENCES {key.target_fullname.removesuffix('.id')}(id)")
        if key.ondelete:
            words.append(f"ON DELETE {key.ondelete}")
    return " ".join(words)


def _type(column: Column[Any]) -> str:
    name = column.type.compile(dialect=_DIALECT)
    return "TIMESTAMPTZ" if name == "TIMESTAMP WITH TIME ZONE" else name


def _indexes(table: Table) -> list[Index]:
    ours = [index for index in table.indexes if index._ddl_if is None or index._ddl_if.dialect == POSTGRESQL]
    return sorted(ours, key=lambda index: str(index.name))


def _index(index: Index) -> str:
    return f"{CreateIndex(index, if_not_exists=True).compile(dialect=_DIALECT)};".replace("  ", " ").strip()


def main(arguments: list[str]) -> int:
    """Writes schema.sql to standard output, or compares the file with it."""
    text = schema_sql()
    if arguments == ["--check"]:
        file = Path("schema.sql")
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            sys.stderr.write("schema.sql is stale. Run: python -m intctl.schema.ddl > schema.sql\n")
            return 1
        return 0
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
