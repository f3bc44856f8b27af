"""Other roles of a PostgreSQL server: none makes intctl run its code (CVE-2018-1058)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from intctl.db.connect import connect
from intctl.db.url import Target
from intctl.errors import NotFoundError, StoreError
from intctl.schema.setup import prepare
from intctl.store import changes, integrations, organization_changes
from intctl.store.claims import claim_due

from ..conftest import ORG_ID, database_url

pytestmark = pytest.mark.case("security 2")

CALLS = "CREATE TABLE {schema}.calls (who text); GRANT ALL ON {schema}.calls TO PUBLIC;"
LOWER = (
    "CREATE FUNCTION {schema}.lower(varchar) RETURNS text LANGUAGE plpgsql AS "
    "$$ BEGIN INSERT INTO {schema}.calls VALUES (current_user); RETURN pg_catalog.lower($1::text); END $$"
)
EQUAL = (
    "CREATE FUNCTION {schema}.same(varchar, varchar) RETURNS boolean LANGUAGE plpgsql AS "
    "$$ BEGIN INSERT INTO {schema}.calls VALUES (current_user); RETURN $1::text OPERATOR(pg_catalog.=) $2::text;"
    " END $$;"
    "CREATE OPERATOR {schema}.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = {schema}.same)"
)


@pytest.fixture
def tenant(postgresql_target: Target) -> Iterator[str]:
    """Another role of the server, without a right on the tables."""
    name = f"tenant_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(database_url(postgresql_target), autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN")
    yield name
    with psycopg.connect(database_url(postgresql_target), autocommit=True) as admin:
        admin.execute(f"DROP OWNED BY {name}")
        admin.execute(f"DROP ROLE {name}")


def run(target: Target, *statements: str, role: str | None = None) -> None:
    with psycopg.connect(database_url(target), autocommit=True) as admin:
        if role:
            admin.execute(f"SET ROLE {role}")
        for statement in statements:
            admin.execute(statement)


def refusal(target: Target) -> str:
    with pytest.raises(StoreError) as caught, connect(target):
        pass
    with pytest.raises(StoreError) as again:
        prepare(target, organization_changes.first_organization("Acme", "acme"))
    assert str(again.value) == str(caught.value)
    with pytest.raises(StoreError), changes.unit_of_work(target):
        pass
    return str(caught.value)


def calls(target: Target) -> int:
    with psycopg.connect(database_url(target)) as admin:
        row = admin.execute("SELECT count(*) FROM public.calls").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("code", [LOWER, EQUAL], ids=["function", "operator"])
@pytest.mark.parametrize("to", ["the role", "everybody"])
def test_a_role_that_may_create_is_refused(postgresql_target: Target, tenant: str, to: str, code: str) -> None:
    """Neither door opens, the tenant's code never runs, and the printed statements put it right."""
    grantee = tenant if to == "the role" else "PUBLIC"
    run(postgresql_target, CALLS.format(schema="public"), f"GRANT CREATE ON SCHEMA public TO {grantee}")
    run(postgresql_target, code.format(schema="public"), role=tenant)
    first = refusal(postgresql_target)
    assert f"REVOKE CREATE ON SCHEMA public FROM {grantee};" in first
    run(postgresql_target, *re.findall(r"REVOKE [^;]*;", first))
    second = refusal(postgresql_target)
    assert "functions of another role in place of PostgreSQL's own" in second
    run(postgresql_target, *re.findall(r"DROP [^;]*;", second))
    with connect(postgresql_target) as database:
        assert integrations.find_all(database, ORG_ID) == []
        assert claim_due(database, "a", free_slots=1, deadline_s=20.0) == []
    assert calls(postgresql_target) == 0


def test_functions_are_named_with_their_schema(postgresql_target: Target) -> None:
    """A better match that a trusted role made is not run either: functions are PostgreSQL's own by name."""
    run(postgresql_target, CALLS.format(schema="public"), LOWER.format(schema="public"))
    with connect(postgresql_target) as database:
        for name in ("Email", "email", "no such"):
            with pytest.raises(NotFoundError):
                integrations.find(database, ORG_ID, name)
        integrations.find_all(database, ORG_ID, integrations.Selection(search="mail"))
        assert database.rows("SELECT lower(CAST('X' AS varchar)) AS low, count(*) AS n") == [{"low": "x", "n": 1}]
    assert calls(postgresql_target) == 0


def test_other_functions_stay(postgresql_target: Target, tenant: str) -> None:
    """A portal's own functions, and those of extensions, are no reason to refuse."""
    run(postgresql_target, f"GRANT CREATE ON SCHEMA public TO {tenant}")
    run(
        postgresql_target,
        "CREATE FUNCTION public.portal_total(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1'",
        role=tenant,
    )
    run(postgresql_target, f"REVOKE CREATE ON SCHEMA public FROM {tenant}")
    with connect(postgresql_target) as database:
        assert database.rows("SELECT 1 AS n") == [{"n": 1}]


def test_a_schema_of_its_own_is_judged_alone(postgresql_target: Target, tenant: str) -> None:
    """With a schema of intctl's own in the path, what others may do in public does not matter."""
    run(postgresql_target, "CREATE SCHEMA intctl", f"GRANT CREATE ON SCHEMA public TO {tenant}")
    run(postgresql_target, f"ALTER DATABASE {postgresql_target.parameters['dbname']} SET search_path = intctl")
    assert prepare(postgresql_target, organization_changes.first_organization("Acme", "acme")).created
    with connect(postgresql_target) as database:
        (row,) = database.rows("SELECT to_regclass('integrations')::text AS name")
    assert row["name"] == "integrations"


def test_a_schema_with_the_name_of_the_user_is_refused(postgresql_target: Target, tenant: str) -> None:
    """The default path begins with such a schema, which any role with CREATE on the database can make."""
    user = f"intctl_{uuid.uuid4().hex[:12]}"
    name = postgresql_target.parameters["dbname"]
    run(postgresql_target, f"CREATE ROLE {user} LOGIN", f"GRANT CREATE ON DATABASE {name} TO {tenant}")
    run(
        postgresql_target,
        *[f"GRANT SELECT ON {table} TO {user}" for table in ("integrations", "intctl_alembic_version")],
    )
    target = replace(postgresql_target, parameters={**postgresql_target.parameters, "user": user})
    try:
        with connect(target) as database:
            run(postgresql_target, CALLS.format(schema="public"))
            run(postgresql_target, f"CREATE SCHEMA {user}", f"GRANT USAGE ON SCHEMA {user} TO PUBLIC", role=tenant)
            run(postgresql_target, LOWER.replace("{schema}.calls", "public.calls").format(schema=user), role=tenant)
            with database.transaction():
                assert database.rows("SELECT name FROM integrations WHERE lower(name) = 'x'") == []
                assert database.rows("SELECT lower(CAST('X' AS varchar)) AS low") == [{"low": "x"}]
            assert calls(postgresql_target) == 0  # the path of an open connection stays the one that was judged
            with pytest.raises(StoreError, match="belongs to another role"):
                database.reopen()
        with pytest.raises(StoreError) as caught, connect(target):
            pass
        (statement,) = re.findall(r"ALTER SCHEMA [^;]*;", str(caught.value))
        run(postgresql_target, statement)
        with pytest.raises(StoreError) as caught, connect(target):
            pass
        run(postgresql_target, *re.findall(r"DROP [^;]*;", str(caught.value)))
        with connect(target) as database:
            assert database.rows("SELECT name FROM integrations") == []
    finally:
        run(postgresql_target, f"DROP OWNED BY {user}", f"DROP ROLE {user}")
