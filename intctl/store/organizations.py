"""Reads of organisations: all readable ones, and the one that `--org` names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from intctl.db.connect import Database
from intctl.errors import NotFoundError, StoreError, UsageError

if TYPE_CHECKING:
    from intctl.schema.organization import Organization

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_ORGANIZATIONS = "SELECT id, name, slug FROM organizations ORDER BY name"
_IDS = "SELECT id FROM organizations WHERE slug = :text OR name = :text"


def find_all(database: Database) -> list[Organization]:
    """The readable organisations, by name.

    Raises StoreError where a portal's table hides them or lacks these columns.
    """
    from intctl.schema.organization import Organization

    return [Organization(id, name, slug) for id, name, slug in _read(database)]


def _read(database: Database) -> list[tuple[str, str, str]]:
    try:
        return [(str(id), name, slug) for id, name, slug in database.tuples(_ORGANIZATIONS)]
    except StoreError as error:
        if error.transient:
            raise
        raise StoreError("The organisations in this database can't be read. Specify yours by id: --org ID") from None


def find_id(database: Database, text: str | None) -> str:
    """Find the id that `--org` identifies: an id is used as given; a slug or a name is looked up.

    Without `--org`, the only organisation. Raises NotFoundError, or UsageError when there are several.
    """
    if text is not None and _ID.fullmatch(text.lower()):
        # Not looked up: a portal's row-level security may hide the organisation's row, but not its integrations.
        return text.lower()
    if text is not None:
        try:
            ids = [str(row["id"]) for row in database.rows(_IDS, {"text": text})]
        except StoreError as error:
            if error.transient:
                raise
            ids = []
        if len(ids) == 1:
            return ids[0]
        raise NotFoundError("No such organisation. See: intctl org list (or specify its id)")
    found = _read(database)
    if len(found) == 1:
        return found[0][0]
    if not found:
        raise NotFoundError("No organisation is visible here. Create one (intctl org create NAME) or use --org ID")
    raise UsageError("There are several organisations. Name one with --org or INTCTL_ORG (see: intctl org list)")
