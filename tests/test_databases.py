"""The database fixtures themselves."""

from __future__ import annotations

from intctl.db.connect import connect
from intctl.db.url import Target, parse_url

from .conftest import ORG_NAME, ORG_SLUG, database_url


def test_the_url_of_a_target_leads_to_the_same_database(target: Target, org_id: str) -> None:
    """A subprocess given `database_url(target)` opens what the test has: one organisation and nothing else."""
    again = parse_url(database_url(target), "INTCTL_DATABASE_URL")
    assert again == target
    with connect(again) as database:
        found = database.rows("SELECT id, name, slug FROM organizations")
        assert database.rows("SELECT id FROM integrations") == []
    assert found == [{"id": org_id, "name": ORG_NAME, "slug": ORG_SLUG}]
