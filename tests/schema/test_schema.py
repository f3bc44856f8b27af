"""Three descriptions of one schema: migrations, models, schema.sql."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlmodel import SQLModel

from intctl.db.connect import HEAD, VERSION_TABLE, Database, connect, open_driver
from intctl.db.url import Target, sqlite_target
from intctl.schema import ddl
from intctl.schema.engine import engine
from intctl.schema.setup import migrate, prepare
from intctl.schema.tables import SHARED, TABLES
from intctl.store.organization_changes import first_organization

from . import describe

ROOT = Path(__file__).parents[2]
SPECIFICATION = (Path(__file__).parent / "specification.sql").read_text()
PORTAL = """
CREATE TABLE organizations (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), name VARCHAR(100) NOT NULL,
                            slug VARCHAR(100) NOT NULL UNIQUE);
CREATE TABLE user_profiles (id UUID PRIMARY KEY DEFAULT gen_random_uuid());
"""


def _without_version(description: describe.Description) -> describe.Description:
    return {part: [row for row in rows if row[0] != VERSION_TABLE] for part, rows in description.items()}


def test_models_are_what_the_migrations_make_on_postgresql(postgresql_target: Target, empty_postgresql: Target) -> None:
    """On PostgreSQL the models create exactly what the migrations create."""
    made = engine(empty_postgresql)
    SQLModel.metadata.create_all(made)
    made.dispose()
    expected = _without_version(describe.postgresql(postgresql_target))
    assert len(expected["columns"]) > 70
    assert describe.postgresql(empty_postgresql) == expected


def test_schema_sql_is_what_the_migrations_make(postgresql_target: Target, empty_postgresql: Target) -> None:
    """schema.sql creates exactly what the migrations create, version table included, and may run twice."""
    with describe.server(empty_postgresql) as connection:
        for _ in range(2):
            connection.execute((ROOT / "schema.sql").read_text())
        stamped = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall()
    assert stamped == [(HEAD,)]
    assert describe.postgresql(empty_postgresql) == describe.postgresql(postgresql_target)


def test_init_after_schema_sql_adds_the_organisation_and_nothing_else(empty_postgresql: Target) -> None:
    """A database made with schema.sql is ready but for its organisation."""
    with describe.server(empty_postgresql) as connection:
        connection.execute(ddl.schema_sql())
    before = describe.postgresql(empty_postgresql)
    prepared = prepare(empty_postgresql, first_organization("Acme", "acme"))
    assert (prepared.created, prepared.upgraded_from, prepared.organization_created) == (False, None, True)
    assert describe.postgresql(empty_postgresql) == before


def test_schema_sql_keeps_a_newer_version(empty_postgresql: Target) -> None:
    """An old schema.sql does not stamp a newer database back."""
    with describe.server(empty_postgresql) as connection:
        connection.execute(ddl.schema_sql())
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        connection.execute(ddl.schema_sql())
        assert connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall() == [("9999",)]


def test_the_first_revision_is_the_specification(empty_postgresql: Target, postgresql_target: Target) -> None:
    """Revision 0001 makes the tables, columns, types, defaults and indexes that the specification's SQL makes."""
    made = engine(empty_postgresql)
    with made.begin() as connection:
        migrate(connection, "0001")
    made.dispose()
    with describe.server(postgresql_target) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        connection.execute(PORTAL + SPECIFICATION)
    assert _without_version(describe.postgresql(empty_postgresql)) == describe.postgresql(postgresql_target)


def test_schema_sql_takes_over_a_portals_tables(empty_postgresql: Target, postgresql_target: Target) -> None:
    """On the specification's tables schema.sql adds what is missing: the result is the same as on nothing."""
    with describe.server(empty_postgresql) as connection:
        connection.execute(PORTAL + SPECIFICATION + ddl.schema_sql())
    assert describe.postgresql(empty_postgresql) == describe.postgresql(postgresql_target)


def test_models_are_what_the_migrations_make_on_sqlite(sqlite_target: Target) -> None:
    """On SQLite the models create exactly what the migrations create."""
    models = create_engine("sqlite://")
    SQLModel.metadata.create_all(models)
    with models.connect() as connection:
        expected = describe.sqlite(connection.connection.dbapi_connection)
    models.dispose()
    database = connect(sqlite_target)
    database.run(f"DROP TABLE {VERSION_TABLE}")
    assert describe.sqlite(database._connection) == expected
    database.close()


def test_both_databases_have_the_same_tables_columns_and_indexes(
    sqlite_target: Target, postgresql_target: Target
) -> None:
    """Names are the same on both databases."""
    described = describe.postgresql(postgresql_target)
    database = connect(sqlite_target)
    columns = database.rows(
        "SELECT m.name AS t, c.name AS c FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
    )
    indexes = database.rows("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    database.close()
    assert {(row["t"], row["c"]) for row in columns} == {row[:2] for row in described["columns"]}
    named = {row[1] for row in described["indexes"] if not row[1].endswith(("_pkey", "_key", "_pkc"))}
    assert {row["name"] for row in indexes} == named


def test_schema_sql_is_up_to_date() -> None:
    """The file in the repository is what the models say."""
    assert (ROOT / "schema.sql").read_text() == ddl.schema_sql()


def test_the_check_tells_a_stale_file(tmp_path: Path) -> None:
    """`--check` exits 0 on the right text and 1 on another, or none."""

    def check() -> int:
        command = [sys.executable, "-m", "intctl.schema.ddl", "--check"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True).returncode

    assert check() == 1
    (tmp_path / "schema.sql").write_text(ddl.schema_sql())
    assert check() == 0
    (tmp_path / "schema.sql").write_text(ddl.schema_sql() + "\n")
    assert check() == 1


def test_the_head_is_the_last_revision() -> None:
    """The version that connections ask for is the last migration."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(ROOT / "intctl" / "schema" / "migrations"))
    assert script.get_current_head() == HEAD
    since = {column.info["since"] for table in TABLES for column in table.columns if "since" in column.info}
    assert since <= {revision.revision for revision in script.walk_revisions()}


def test_the_tables_are_in_an_order_that_works() -> None:
    """Every table comes after those that it references, and all of them are listed."""
    seen: set[str] = set()
    for table in TABLES:
        assert {key.column.table.name for key in table.foreign_keys} <= seen
        seen.add(table.name)
    assert seen == set(SQLModel.metadata.tables)
    assert seen >= SHARED


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004"])
def test_a_database_at_an_older_revision_is_upgraded(
    revision: str, tmp_path: Path, sqlite_target: Target, empty_postgresql: Target
) -> None:
    """From any older revision, init arrives at the same schema, and says where it came from."""
    for target in (_sqlite_at(tmp_path), empty_postgresql):
        made = engine(target)
        with made.begin() as connection:
            migrate(connection, revision)
        made.dispose()
        prepared = prepare(target, first_organization("Acme", "acme"))
        assert (prepared.created, prepared.upgraded_from, prepared.changed) == (False, revision, True)
    with connect(_sqlite_at(tmp_path)) as upgraded, connect(sqlite_target) as fresh:
        assert describe.sqlite(upgraded._connection) == describe.sqlite(fresh._connection)


@pytest.mark.case("reliability notifications")
def test_an_upgrade_keeps_pending_notifications_and_no_older_ones(tmp_path: Path, empty_postgresql: Target) -> None:
    """What the earlier version would still deliver stays pending; what it had given up is not delivered now."""
    for target in (_sqlite_at(tmp_path), empty_postgresql):
        made = engine(target)
        with made.begin() as connection:
            migrate(connection, "0004")
        made.dispose()
        with Database(target, open_driver(target)) as database:  # `connect` refuses an older revision
            org, id = "0a0a0a0a-0000-4000-8000-000000000001", "0a0a0a0a-0000-4000-8000-000000000002"
            database.run("INSERT INTO organizations (id, name, slug) VALUES (:id, 'Acme', 'acme')", {"id": org})
            database.run(
                "INSERT INTO integrations (id, org_id, name, type, provider, config, config_version)"
                " VALUES (:id, :org, 'Email', 'email', 'smtp', :config, 1)",
                {"id": id, "org": org, "config": {}},
            )
            for code, hours, attempts in (("new", 1, 0), ("begun", 23, 2), ("old", 25, 0), ("given up", 1, 3)):
                database.run(
                    "INSERT INTO integration_transitions (integration_id, from_status, to_status, code, changed_at,"
                    f" attempts) VALUES (:id, 'active', 'error', :code, {{after {-3600 * hours}}}, :attempts)",
                    {"id": id, "code": code, "attempts": attempts},
                )
        prepare(target, first_organization("Acme", "acme"))
        with connect(target) as database:
            rows = database.rows("SELECT code FROM integration_transitions WHERE told_at IS NULL AND failed_at IS NULL")
        assert sorted(row["code"] for row in rows) == ["begun", "new"]


def _sqlite_at(folder: Path) -> Target:
    path = folder / "old.db"
    path.touch(0o600)
    return sqlite_target(path)
