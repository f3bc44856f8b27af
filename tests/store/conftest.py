"""The database that the tests of the store read and write: SQLite and PostgreSQL in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from intctl.db.connect import Database, connect
from intctl.db.url import Target

#: A second organisation: what belongs to it must not be seen from the first.
OTHER_ORG = "0b0b0b0b-0000-4000-8000-00000000beef"


@pytest.fixture
def database(target: Target) -> Iterator[Database]:
    """An open connection to a prepared database."""
    with connect(target) as opened:
        yield opened


def another_organisation(database: Database) -> None:
    """Add a second organisation."""
    database.run("INSERT INTO organizations (id, name, slug) VALUES (:id, 'Other', 'other')", {"id": OTHER_ORG})
