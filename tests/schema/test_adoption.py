"""What a portal made is taken as it is, or refused with every difference; never altered on the quiet."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from intctl.db.connect import connect
from intctl.db.url import Target
from intctl.errors import NotFoundError, StoreError
from intctl.schema.setup import Prepared, prepare
from intctl.store import changes, organization_changes
from intctl.store.organization_changes import first_organization

from . import describe

SPECIFICATION = (Path(__file__).parent / "specification.sql").read_text()
ORG = "11111111-1111-4111-8111-111111111111"
PORTAL = f"""
CREATE TABLE organizations (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), name TEXT NOT NULL,
                            slug TEXT NOT NULL UNIQUE, plan TEXT NOT NULL, created_at TIMESTAMPTZ DEFAULT NOW());
CREATE TABLE user_profiles (id UUID PRIMARY KEY, email TEXT NOT NULL);
INSERT INTO organizations (id, name, slug, plan) VALUES ('{ORG}', 'Portal', 'portal', 'gold');
ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON organizations USING (current_setting('app.org', true) = id::text);
"""
ROWS = f"""
INSERT INTO integrations (org_id, type, provider, name, config) VALUES
  ('{ORG}', 'email', 'sendgrid', 'Plain', '{{"password": "in the clear"}}'),
  ('{ORG}', 'email', 'sendgrid', 'List', '[]'),
  ('{ORG}', 'email', 'sendgrid', 'Sealed', '{{"v": 1, "alg": "A256GCM", "kid": "k", "n": "n", "ct": "c"}}');
"""


def _init(target: Target) -> Prepared:
    return prepare(target, first_organization("Acme", "acme"))


def _run(target: Target, statements: str) -> None:
    with describe.server(target) as connection:
        connection.execute(statements)


def _rows(target: Target, table: str) -> list[tuple[object, ...]]:
    with describe.server(target) as connection:
        return connection.execute(sql.SQL("SELECT xmin::text, * FROM {}").format(sql.Identifier(table))).fetchall()


@pytest.fixture
def role(empty_postgresql: Target) -> Iterator[Target]:
    """The empty database, as a user that owns nothing and has no privilege yet."""
    name = f"intctl_test_{uuid.uuid4().hex[:12]}"
    _run(empty_postgresql, f"CREATE ROLE {name} LOGIN; REVOKE ALL ON SCHEMA public FROM PUBLIC")
    yield replace(empty_postgresql, parameters={**empty_postgresql.parameters, "user": name})
    _run(empty_postgresql, f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


def test_the_portals_tables_are_left_alone(empty_postgresql: Target) -> None:
    """Organisations with columns of their own and row-level security keep every row and every property."""
    _run(empty_postgresql, PORTAL)
    described = describe.postgresql(empty_postgresql, "organizations", "user_profiles")
    rows = _rows(empty_postgresql, "organizations")
    prepared = _init(empty_postgresql)
    assert prepared.created
    assert (prepared.organization, prepared.organization_created) == (None, False)
    assert "--org ID" in prepared.notices[0]
    assert describe.postgresql(empty_postgresql, "organizations", "user_profiles") == described
    assert _rows(empty_postgresql, "organizations") == rows
    refused = pytest.raises(StoreError, match="belongs to another program")
    with refused, changes.unit_of_work(empty_postgresql) as session:
        organization_changes.create_organization(session, "Acme", "acme")
    assert _rows(empty_postgresql, "organizations") == rows


def test_row_level_security_alone_makes_it_the_portals(empty_postgresql: Target) -> None:
    """A table with just our columns, but with row-level security, is not ours to write."""
    _run(empty_postgresql, PORTAL + "ALTER TABLE organizations DROP COLUMN plan, DROP COLUMN created_at")
    assert _init(empty_postgresql).organization is None
    assert len(_rows(empty_postgresql, "organizations")) == 1


def test_every_missing_privilege_is_named_at_once(role: Target, empty_postgresql: Target) -> None:
    """A user without privileges reads the GRANTs to run; having run them, init works for that user."""
    _run(empty_postgresql, PORTAL)
    name = role.parameters["user"]
    with pytest.raises(StoreError, match=f"GRANT USAGE, CREATE ON SCHEMA public TO {name};"):
        _init(role)
    _run(empty_postgresql, f"GRANT USAGE ON SCHEMA public TO {name}")
    with pytest.raises(StoreError) as caught:
        _init(role)
    for grant in ("CREATE ON SCHEMA public", "REFERENCES ON organizations", "REFERENCES ON user_profiles"):
        assert f"GRANT {grant} TO {name};" in str(caught.value)
    _run(
        empty_postgresql,
        f"GRANT CREATE ON SCHEMA public TO {name};GRANT REFERENCES ON organizations, user_profiles TO {name}",
    )
    described = describe.postgresql(empty_postgresql, "organizations", "user_profiles")
    assert _init(role).created
    assert describe.postgresql(empty_postgresql, "organizations", "user_profiles") == described
    assert not _init(role).changed


def test_a_user_who_cannot_see_the_organisation_can_use_its_id(role: Target, empty_postgresql: Target) -> None:
    """The organisation's row is hidden from our user, and its integrations are saved and read all the same."""
    name = role.parameters["user"]
    _run(
        empty_postgresql,
        PORTAL + f"GRANT USAGE, CREATE ON SCHEMA public TO {name};"
        f"GRANT REFERENCES ON organizations, user_profiles TO {name}",
    )
    _init(role)
    _insert(role, ORG)
    with connect(role) as database:
        assert [row["name"] for row in database.rows("SELECT name FROM integrations")] == ["Mail"]
    with pytest.raises(NotFoundError, match="No such organisation"):
        _insert(role, str(uuid.uuid4()))


def _insert(target: Target, org_id: str) -> None:
    with changes.unit_of_work(target) as session:
        changes.insert_integration(
            session,
            changes.NewIntegration(
                id=changes.new_id(),
                org_id=org_id,
                type="email",
                provider="smtp",
                name="Mail",
                config={"v": 1},
                status="active",
                interval_minutes=5,
                due="now",
            ),
        )


def test_a_prepared_database_needs_no_ownership(role: Target, empty_postgresql: Target) -> None:
    """Init run by a user who may only read and write rows changes nothing and succeeds."""
    _init(empty_postgresql)
    name = role.parameters["user"]
    _run(
        empty_postgresql,
        f"GRANT USAGE ON SCHEMA public TO {name};"
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}",
    )
    assert not _init(role).changed


def test_organisations_that_cannot_be_read_are_a_notice(role: Target, empty_postgresql: Target) -> None:
    """A user without SELECT on our own organizations table is told to name the id."""
    _init(empty_postgresql)
    name = role.parameters["user"]
    _run(
        empty_postgresql,
        f"GRANT USAGE ON SCHEMA public TO {name};GRANT SELECT ON integrations, intctl_alembic_version TO {name}",
    )
    prepared = _init(role)
    assert (prepared.organization, prepared.changed) == (None, False)
    assert "--org ID" in prepared.notices[0]


def test_a_portals_organisations_are_listed_where_they_can_be_read(empty_postgresql: Target) -> None:
    """Without row-level security the notice names the portal's organisations with their ids."""
    _run(empty_postgresql, PORTAL + "ALTER TABLE organizations DISABLE ROW LEVEL SECURITY")
    assert f'"Portal" {ORG}' in _init(empty_postgresql).notices[0]


def test_the_specifications_tables_are_adopted_with_their_rows(
    empty_postgresql: Target, postgresql_target: Target
) -> None:
    """Additions are added, rows stay as they were, and those without a sealed config are listed."""
    _run(empty_postgresql, PORTAL + SPECIFICATION + ROWS)
    with describe.server(empty_postgresql) as connection:
        before = connection.execute("SELECT * FROM integrations ORDER BY name").fetchall()
    prepared = _init(empty_postgresql)
    assert [name for _, name in prepared.adopted] == ["List", "Plain"]
    with describe.server(empty_postgresql) as connection:
        after = connection.execute("SELECT * FROM integrations ORDER BY name").fetchall()
        assert [row[:15] for row in after] == before
        assert [row[15:] for row in after] == [(None, 1, None)] * 3
        assert connection.execute("SELECT count(*) FROM integration_schedules").fetchall() == [(0,)]
    ours = (
        "integrations",
        "oauth_tokens",
        "webhooks",
        "webhook_deliveries",
        "integration_retry_config",
        "integration_health_logs",
        "integration_schedules",
    )
    assert describe.postgresql(empty_postgresql, *ours) == describe.postgresql(postgresql_target, *ours)
    assert [name for _, name in _init(empty_postgresql).adopted] == ["List", "Plain"]


def test_what_does_no_harm_is_adopted(empty_postgresql: Target) -> None:
    """Wider text, more columns that fill themselves, NOT NULL where a default stands, and a like-minded deleted_at."""
    _run(
        empty_postgresql,
        PORTAL
        + SPECIFICATION
        + """
        ALTER TABLE integrations ALTER COLUMN name TYPE TEXT, ALTER COLUMN type TYPE VARCHAR(80),
            ALTER COLUMN status SET NOT NULL, ADD COLUMN colour TEXT, ADD COLUMN rank INT NOT NULL DEFAULT 1,
            ADD COLUMN number INT GENERATED ALWAYS AS IDENTITY, ADD COLUMN deleted_at TIMESTAMPTZ""",
    )
    _init(empty_postgresql)
    _insert(empty_postgresql, ORG)


def test_every_difference_is_listed_and_nothing_changed(empty_postgresql: Target) -> None:
    """A different table is refused with all its differences at once, and the database stays as it was."""
    _run(
        empty_postgresql,
        PORTAL
        + SPECIFICATION
        + """
        ALTER TABLE integrations DROP COLUMN error_count, ALTER COLUMN config TYPE TEXT,
            ALTER COLUMN name DROP NOT NULL, ALTER COLUMN last_sync TYPE TIMESTAMP,
            ALTER COLUMN provider TYPE VARCHAR(20),
            ALTER COLUMN created_by SET NOT NULL, ALTER COLUMN status DROP DEFAULT,
            ADD COLUMN owner TEXT NOT NULL, ADD COLUMN deleted_at BOOLEAN;
        ALTER TABLE oauth_tokens DROP CONSTRAINT oauth_tokens_integration_id_fkey;
        ALTER TABLE integration_health_logs DROP COLUMN integration_id;
        ALTER TABLE webhooks DROP CONSTRAINT webhooks_org_id_fkey,
            ADD FOREIGN KEY (org_id) REFERENCES organizations(id);
        ALTER TABLE integration_retry_config DROP CONSTRAINT integration_retry_config_pkey""",
    )
    described = describe.postgresql(empty_postgresql)
    with pytest.raises(StoreError) as caught:
        _init(empty_postgresql)
    differences = set(str(caught.value).partition("nothing was changed: ")[2].split("; "))
    assert differences == {
        "integrations.error_count is missing",
        "integrations.config is text, not jsonb",
        "integrations.name may be NULL",
        "integrations.last_sync is timestamp without time zone, not timestamp with time zone",
        "integrations.provider is character varying(20), not character varying(50)",
        "integrations.created_by is NOT NULL",
        "integrations.status has no default",
        "integrations.owner is unknown to intctl, and is NOT NULL without a default",
        "integrations.deleted_at is boolean, not timestamp with time zone",
        "oauth_tokens.integration_id does not reference integrations",
        "integration_health_logs.integration_id is missing",
        "webhooks.org_id references organizations without ON DELETE CASCADE",
        "integration_retry_config.id is not the primary key",
    }
    assert describe.postgresql(empty_postgresql) == described


def test_organisations_with_other_ids_are_a_difference(empty_postgresql: Target) -> None:
    """A portal whose organisations are numbered can't be joined."""
    _run(empty_postgresql, "CREATE TABLE organizations (id BIGINT PRIMARY KEY, name TEXT)")
    with pytest.raises(StoreError, match=r"organizations\.id is bigint, not uuid"):
        _init(empty_postgresql)


def test_a_view_is_not_a_table(empty_postgresql: Target) -> None:
    """Something else by one of our names is named as a difference."""
    _run(empty_postgresql, "CREATE VIEW webhooks AS SELECT 1 AS id")
    with pytest.raises(StoreError, match="webhooks is not a table"):
        _init(empty_postgresql)


def test_tables_of_another_owner_or_hidden_rows_are_refused(role: Target, empty_postgresql: Target) -> None:
    """Additions need the owner: the message says how; rows that would be hidden are a difference."""
    name = role.parameters["user"]
    _run(
        empty_postgresql,
        PORTAL
        + SPECIFICATION
        + f"""
        GRANT USAGE, CREATE ON SCHEMA public TO {name};
        GRANT REFERENCES ON organizations, user_profiles TO {name}""",
    )
    with pytest.raises(StoreError, match=f"ALTER TABLE integrations OWNER TO {name};"):
        _init(role)
    _run(empty_postgresql, "ALTER TABLE integrations ENABLE ROW LEVEL SECURITY")
    with pytest.raises(StoreError, match=f"integrations has row-level security that hides rows from {name}"):
        _init(role)


def test_living_names_that_differ_in_case_only_are_listed(empty_postgresql: Target) -> None:
    """Names that the unique index would refuse are listed, and nothing is changed; deleted ones don't count."""
    values = "('{org}', 'email', 'smtp', '{name}', '{{}}')"
    names = ("Mail", "mail", "Other")
    insert = "INSERT INTO integrations (org_id, type, provider, name, config) VALUES "
    rows = ", ".join(values.format(org=ORG, name=name) for name in names)
    _run(empty_postgresql, PORTAL + SPECIFICATION + insert + rows)
    described = describe.postgresql(empty_postgresql)
    with pytest.raises(StoreError) as caught:
        _init(empty_postgresql)
    assert f"'Mail', 'mail' of organisation {ORG}" in str(caught.value)
    assert "Other" not in str(caught.value)
    assert describe.postgresql(empty_postgresql) == described
    _run(
        empty_postgresql,
        "ALTER TABLE integrations ADD COLUMN deleted_at TIMESTAMPTZ;"
        "UPDATE integrations SET deleted_at = NOW() WHERE name = 'mail'",
    )
    _init(empty_postgresql)


def test_a_locked_table_does_not_hold_up_the_portal(empty_postgresql: Target) -> None:
    """Init gives up after a few seconds where a portal holds a table, so that nobody queues behind it."""
    _run(empty_postgresql, PORTAL + SPECIFICATION)
    with psycopg.connect(**empty_postgresql.parameters) as portal:  # type: ignore[arg-type]
        portal.execute("SELECT count(*) FROM integrations")
        with pytest.raises(StoreError, match="lock was held") as caught:
            _init(empty_postgresql)
    assert caught.value.transient
    _init(empty_postgresql)
