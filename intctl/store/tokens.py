"""OAuth tokens at rest: sealed, and replaced only by compare-and-set.

A row of `oauth_tokens` holds the successors of one refresh token as a manifest gave it (its
`origin`). A config names its origin, so a new token from a new manifest gets a row of its own and
the old one stays good until the new config is committed: killed anywhere, neither is lost.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from intctl.errors import SealError
from intctl.keyring import Binding, Keyring
from intctl.probes.ask import Tokens
from intctl.store.connect import Database
from intctl.store.ids import new_id
from intctl.text import Secret

_ROWS = """
SELECT t.id, t.access_token, t.refresh_token, t.expires_at, t.scope FROM oauth_tokens t
  JOIN integrations i ON i.id = t.integration_id
 WHERE t.integration_id = :integration_id AND i.org_id = :org_id ORDER BY t.created_at, t.id"""
_INSERT = """
INSERT INTO oauth_tokens (id, integration_id, access_token, refresh_token, expires_at, scope, created_at, updated_at)
VALUES (:id, :integration_id, :access, :refresh, :expires_at, :scope, {now}, {now})"""
# The old ciphertext is the condition: whoever changed it first has won.
_REPLACE = """
UPDATE oauth_tokens SET access_token = :access, refresh_token = :refresh, expires_at = :expires_at, scope = :scope,
       updated_at = {now}
 WHERE id = :id AND access_token = :old_access AND COALESCE(refresh_token, '') = :old_refresh"""
_DROP_OTHERS = "DELETE FROM oauth_tokens WHERE integration_id = :integration_id AND id <> :id"
_DROP_ALL = "DELETE FROM oauth_tokens WHERE integration_id = :integration_id"


@dataclass(slots=True)
class _Stored:
    id: str
    access: str
    refresh: str
    tokens: Tokens


class SealedTokens:
    """The tokens of one integration. Synchronous: the caller keeps it off the event loop.

    `origin` is the refresh token that the config names; None for client credentials. An access
    token counts only for the `config_version` that got it: after an edit it would prove nothing.
    """

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        binding: Binding,
        *,
        name: str,
        origin: Secret | None,
        config_version: int,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._binding = binding
        self._name = name
        self._origin = origin
        self._config_version = config_version

    def load(self) -> Tokens | None:
        """The tokens that stand now for this origin, or None. A row that does not open is passed over."""
        stored = self._stored()
        return stored.tokens if stored else None

    def save(self, tokens: Tokens, previous: Tokens | None) -> Tokens:
        """Puts `tokens` in the place of `previous`, durably; the ones that stand afterwards.

        When somebody else was first, theirs stand and are returned.
        """
        access, refresh = self._seal(tokens)
        expires = datetime.fromtimestamp(tokens.expires_at, UTC) if tokens.expires_at is not None else None
        row = {"access": access, "refresh": refresh, "expires_at": expires, "scope": tokens.scope or None}
        with self._database.transaction():
            stored = self._stored()
            if stored is None:
                key = {"id": new_id(), "integration_id": self._binding.integration_id}
                self._database.run(_INSERT, {**row, **key})
                return tokens
            if previous is None or _same(stored.tokens, previous):
                old = {"id": stored.id, "old_access": stored.access, "old_refresh": stored.refresh}
                if self._database.run(_REPLACE, {**row, **old}):
                    return tokens
                stored = self._stored()
        return stored.tokens if stored else tokens

    def drop_others(self) -> None:
        """Removes what belongs to other origins: the config that named them is gone."""
        stored = self._stored()
        key = {"integration_id": self._binding.integration_id}
        if stored is None:
            self._database.run(_DROP_ALL, key)
        else:
            self._database.run(_DROP_OTHERS, {**key, "id": stored.id})

    def _stored(self) -> _Stored | None:
        key = {"integration_id": self._binding.integration_id, "org_id": self._binding.org_id}
        for row in self._database.rows(_ROWS, key):
            access, refresh = self._open(row["access_token"]), self._open(row["refresh_token"])
            if access is None or (row["refresh_token"] and refresh is None):
                continue
            origin = _secret(refresh, "origin")
            if origin != self._origin:
                continue
            expires = row["expires_at"].timestamp() if row["expires_at"] else None
            current = access.get("config_version") == self._config_version
            tokens = Tokens(
                access_token=_secret(access, "access_token") if current else None,
                expires_at=expires if current else None,
                refresh_token=_secret(refresh, "refresh_token"),
                origin=origin,
                scope=row["scope"] or "",
            )
            return _Stored(str(row["id"]), row["access_token"], row["refresh_token"] or "", tokens)
        return None

    def _open(self, text: str | None) -> dict[str, Any] | None:
        if not text:
            return None
        try:
            return self._keyring.open(json.loads(text), self._binding, self._name)
        except (ValueError, SealError):
            return None

    def _seal(self, tokens: Tokens) -> tuple[str, str | None]:
        access: dict[str, Any] = {"config_version": self._config_version}
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


def _same(one: Tokens, other: Tokens) -> bool:
    return one.access_token == other.access_token and one.refresh_token == other.refresh_token
