"""OAuth tokens at rest: sealed, and replaced only by compare-and-set.

A row of `oauth_tokens` holds the successors of one refresh token from a manifest (its `origin`). A config names its
origin, so a new token from a new manifest gets a row of its own, and the old one stays valid until the new config
is committed: a kill at any point loses neither.

A process that spends a refresh token holds the integration's lease (`store/claims.py`), so only one refreshes
at a time. The compare-and-set is for a process whose lease expired during the refresh.

On PostgreSQL another session, a portal, may keep the integration's row locked. So the lock of these tokens is that of
the schedule's row, which only intctl writes, and the row of a refresh token is inserted before it is spent (`reserve`):
an insert would wait for the integration's row, to check its foreign key; an update does not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from intctl.db import lease
from intctl.db.connect import Database, connect
from intctl.db.ids import new_id
from intctl.db.url import POSTGRESQL
from intctl.errors import BusyError, SealError, StoreError
from intctl.failpoint import hit
from intctl.keyring import Binding, Keyring
from intctl.probes.spec import Tokens
from intctl.store.claims import lock_tries
from intctl.text import Secret, stored_json

#: The delays between attempts to save, in seconds: a rotated token is stored nowhere else.
_PAUSES_S = (0.2, 1.0, 3.0)

_ROWS = """
SELECT t.id, t.access_token, t.refresh_token, t.expires_at, t.scope FROM oauth_tokens t
  JOIN integrations i ON i.id = t.integration_id
 WHERE t.integration_id = :integration_id AND i.org_id = :org_id ORDER BY t.created_at, t.id"""
# SQLite's write lock covers the whole file; on PostgreSQL this row's lock covers the integration's tokens.
_SCHEDULE = "SELECT s.integration_id FROM integration_schedules s WHERE s.integration_id = :integration_id"
_BOTH = """
SELECT s.integration_id FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE s.integration_id = :integration_id"""
_INSERT = """
INSERT INTO oauth_tokens (id, integration_id, access_token, refresh_token, expires_at, scope, created_at, updated_at)
VALUES (:id, :integration_id, :access, :refresh, :expires_at, :scope, {now}, {now})"""
_REPLACE = """
UPDATE oauth_tokens SET access_token = :access, refresh_token = :refresh, expires_at = :expires_at, scope = :scope,
       updated_at = {now}
 WHERE id = :id"""
_DROP_OTHERS = "DELETE FROM oauth_tokens WHERE integration_id = :integration_id AND id <> :id"
_DROP_ALL = "DELETE FROM oauth_tokens WHERE integration_id = :integration_id"
# A draft is version 0. A process that checks it now may receive the token that must not be lost.
_DRAFT = """
SELECT i.id FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE i.id = :integration_id AND i.org_id = :org_id AND i.config_version = 0 AND i.status = 'inactive'
   AND (s.lease_expires_at IS NULL OR s.lease_expires_at <= {now})"""
_DROP_DRAFT = "DELETE FROM integrations WHERE id = :integration_id AND org_id = :org_id"


class SealedTokens:
    """The tokens of one integration. Synchronous: the caller must keep it off the event loop.

    `origin` is the refresh token that the config names; None for client credentials. `config` is the config's
    fingerprint: an access token is valid only for the config that obtained it.
    """

    def __init__(
        self, database: Database, keyring: Keyring, binding: Binding, *, name: str, origin: Secret | None, config: str
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._binding = binding
        self._name = name
        self._origin = origin
        self._config = config
        self._key = {"integration_id": binding.integration_id, "org_id": binding.org_id}

    def load(self) -> Tokens | None:
        """The current tokens of this origin, or None. A row that does not open is skipped."""
        return self._stored(self._database)[1]

    def reserve(self) -> tuple[bool, Tokens | None]:
        """Insert the row that a successor of the refresh token will replace, unless there is one.

        Returns whether the integration's row is free, and the inserted tokens, if any. If another database session has
        locked that row, nothing is inserted, and no token may be spent.
        """
        database = self._database
        if database.dialect != POSTGRESQL:
            return True, None
        key = {"integration_id": self._binding.integration_id}
        for _ in lock_tries(database):
            with database.transaction():
                if database.row(_BOTH + lease.lock(database.dialect, "s, i"), key) is None:
                    continue
                if self._origin is None or self._stored(database)[1] is not None:
                    return True, None
                placed = Tokens(None, None, refresh_token=self._origin, origin=self._origin)
                self._insert(database, self._row(placed))
                return True, placed
        return False, None

    def save(self, tokens: Tokens, previous: Tokens | None) -> Tokens:
        """Replace `previous` with `tokens`, durably. Returns the current tokens.

        If another process saved first, its tokens are kept and returned. If the database rejects the write, it is
        retried for a few seconds over a connection of its own. Raises StoreError.
        """
        try:
            return self._put(self._database, tokens, previous)
        except (BusyError, StoreError) as error:
            found: BusyError | StoreError = error
        for pause_s in _PAUSES_S:
            time.sleep(pause_s)
            try:
                with connect(self._database.target) as another:
                    return self._put(another, tokens, previous)
            except (BusyError, StoreError) as error:
                found = error
        raise found

    def _put(self, database: Database, tokens: Tokens, previous: Tokens | None) -> Tokens:
        row = self._row(tokens)
        with self._alone(database):
            id, stored = self._stored(database)
            if stored is None:
                self._insert(database, row)
            elif _same(stored, previous):
                database.run(_REPLACE, {**row, "id": id})
            else:
                return stored
            hit("token_saving")
        hit("token_saved")
        return tokens

    def _row(self, tokens: Tokens) -> dict[str, object]:
        access, refresh = self._seal(tokens)
        expires = datetime.fromtimestamp(tokens.expires_at, UTC) if tokens.expires_at is not None else None
        return {"access": access, "refresh": refresh, "expires_at": expires, "scope": tokens.scope or None}

    def _insert(self, database: Database, row: dict[str, object]) -> None:
        database.run(_INSERT, {**row, "id": new_id(), "integration_id": self._binding.integration_id})

    def drop_others(self) -> None:
        """Remove the tokens of other origins: the config that named them is gone."""
        key = {"integration_id": self._binding.integration_id}
        with self._alone(self._database):
            id, stored = self._stored(self._database)
            if stored is None:
                self._database.run(_DROP_ALL, key)
            else:
                self._database.run(_DROP_OTHERS, {**key, "id": id})

    def withdraw_draft(self) -> bool:
        """Remove the draft of an integration, unless that would lose a rotated token. Returns whether it is gone."""
        database = self._database
        draft = _DRAFT + lease.lock(database.dialect, "s, i")
        with database.transaction():
            if database.row(draft, self._key) is None:
                return False
            for row in database.rows(_ROWS, self._key):
                refresh = self._open(row["refresh_token"])
                if row["refresh_token"] and (refresh is None or refresh["refresh_token"] != refresh["origin"]):
                    return False
            database.run(_DROP_DRAFT, self._key)
        return True

    @contextmanager
    def _alone(self, database: Database) -> Iterator[None]:
        """Open a transaction in which no other process changes these tokens."""
        with database.transaction():
            if database.dialect == POSTGRESQL:
                database.rows(f"{_SCHEDULE} FOR NO KEY UPDATE", {"integration_id": self._binding.integration_id})
            yield

    def _stored(self, database: Database) -> tuple[str, Tokens | None]:
        """The row of this origin: its id and its tokens."""
        for row in database.rows(_ROWS, self._key):
            access, refresh = self._open(row["access_token"]), self._open(row["refresh_token"])
            if access is None or (row["refresh_token"] and refresh is None):
                continue
            origin = _secret(refresh, "origin")
            if origin != self._origin:
                continue
            expires = row["expires_at"].timestamp() if row["expires_at"] else None
            current = access.get("config") == self._config
            tokens = Tokens(
                access_token=_secret(access, "access_token") if current else None,
                expires_at=expires if current else None,
                refresh_token=_secret(refresh, "refresh_token"),
                origin=origin,
                scope=row["scope"] or "",
            )
            return str(row["id"]), tokens
        return "", None

    def _open(self, text: str | None) -> dict[str, Any] | None:
        if not text:
            return None
        try:
            return self._keyring.open(stored_json(text), self._binding, self._name)
        except (ValueError, SealError):
            return None

    def _seal(self, tokens: Tokens) -> tuple[str, str | None]:
        access: dict[str, Any] = {"config": self._config}
        if tokens.access_token:
            access["access_token"] = tokens.access_token.reveal()
        if tokens.refresh_token is None:
            return self._sealed(access), None
        origin = tokens.origin or tokens.refresh_token
        return self._sealed(access), self._sealed(
            {"refresh_token": tokens.refresh_token.reveal(), "origin": origin.reveal()}
        )

    def _sealed(self, plain: dict[str, Any]) -> str:
        return json.dumps(self._keyring.seal(plain, self._binding))


def _secret(plain: dict[str, Any] | None, key: str) -> Secret | None:
    value = (plain or {}).get(key)
    return Secret(value) if isinstance(value, str) else None


def _same(one: Tokens, other: Tokens | None) -> bool:
    return other is not None and one.access_token == other.access_token and one.refresh_token == other.refresh_token
