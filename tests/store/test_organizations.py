"""Organisations: by id, slug or name, and where they cannot be read."""

from __future__ import annotations

import uuid

import pytest

from intctl.db.connect import Database
from intctl.errors import NotFoundError, StoreError, UsageError
from intctl.store import organizations

from ..conftest import ORG_ID
from .conftest import another_organisation


def test_the_organisation_by_id_slug_name_or_because_it_is_the_only_one(database: Database) -> None:
    """An id is used as given; slug and name are looked up; without any there must be only one organisation."""
    assert organizations.find_id(database, None) == ORG_ID
    assert organizations.find_id(database, "acme") == organizations.find_id(database, "Acme") == ORG_ID
    unseen = str(uuid.uuid4())
    assert organizations.find_id(database, unseen.upper()) == unseen
    with pytest.raises(NotFoundError, match="org list"):
        organizations.find_id(database, "nobody")
    another_organisation(database)
    with pytest.raises(UsageError, match="several"):
        organizations.find_id(database, None)
    database.run("DELETE FROM organizations")
    with pytest.raises(NotFoundError, match="org create"):
        organizations.find_id(database, None)


def test_organisations_that_cannot_be_read_are_named_by_id(database: Database) -> None:
    """If a portal's table has no slug, ids still work, and every other call fails with a clear error."""
    database.run("ALTER TABLE organizations RENAME COLUMN slug TO handle")
    with pytest.raises(StoreError, match="--org ID"):
        organizations.find_all(database)
    with pytest.raises(NotFoundError):
        organizations.find_id(database, "acme")
    assert organizations.find_id(database, ORG_ID) == ORG_ID
