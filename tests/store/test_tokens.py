"""Sealed OAuth tokens on both databases: one winner, nothing lost, nothing readable."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from intctl.db.connect import Database, connect
from intctl.db.url import Target
from intctl.errors import ConflictError, StoreError
from intctl.keyring import Binding, Keyring, new_key
from intctl.probes.spec import Tokens
from intctl.store import changes
from intctl.store import tokens as tokens_module
from intctl.store.tokens import SealedTokens
from intctl.text import Secret

ENVELOPE = {"v": 1, "alg": "A256GCM", "kid": "k_0000000000000000", "n": "A" * 16, "ct": "A" * 22}
ORIGIN = Secret("origin-token")
FIRST = Tokens(Secret("access-1"), 2_000_000_000.0, Secret("refresh-1"), ORIGIN, "calendar")


@pytest.fixture
def id(target: Target, org_id: str) -> str:
    made = changes.new_id()
    with changes.unit_of_work(target) as session:
        changes.insert_integration(
            session,
            changes.NewIntegration(
                id=made,
                org_id=org_id,
                type="calendar",
                provider="google",
                name="Calendar",
                config=ENVELOPE,
                status="active",
                interval_minutes=5,
                due="now",
            ),
        )
    return made


@pytest.fixture
def keyring() -> Keyring:
    return Keyring([new_key()], "the test")


def store(
    database: Database, keyring: Keyring, org_id: str, id: str, *, origin: Secret | None = ORIGIN, config: str = "one"
) -> SealedTokens:
    binding = Binding(org_id, id, "oauth:google")
    return SealedTokens(database, keyring, binding, name="Calendar", origin=origin, config=config)


def rows(database: Database) -> list[dict[str, object]]:
    return database.rows("SELECT * FROM oauth_tokens ORDER BY created_at")


def test_what_is_saved_comes_back_and_is_sealed(database: Database, keyring: Keyring, org_id: str, id: str) -> None:
    """Saved tokens load unchanged, and the row contains none of their text."""
    tokens = store(database, keyring, org_id, id)
    assert tokens.load() is None
    assert tokens.save(FIRST, None) == FIRST
    assert tokens.load() == FIRST
    (row,) = rows(database)
    assert not any(word in repr(row) for word in ("access-1", "refresh-1", "origin-token"))


def test_the_first_to_save_wins(database: Database, keyring: Keyring, org_id: str, id: str) -> None:
    """A save with a stale predecessor returns the current tokens and writes nothing."""
    tokens = store(database, keyring, org_id, id)
    tokens.save(FIRST, None)
    second = replace(FIRST, access_token=Secret("access-2"), refresh_token=Secret("refresh-2"))
    third = replace(FIRST, access_token=Secret("access-3"), refresh_token=Secret("refresh-3"))
    assert tokens.save(second, FIRST) == second
    assert tokens.save(third, FIRST) == second
    assert tokens.load() == second
    assert len(rows(database)) == 1


@pytest.mark.parametrize("first", [FIRST, None], ids=["replaced", "new"])
def test_of_many_at_once_one_wins(target: Target, keyring: Keyring, org_id: str, id: str, first: Tokens | None) -> None:
    """Of eight saves over the same predecessor, or none, one wins; all return its tokens, and one row exists."""
    start, won = threading.Barrier(8), []

    def save(number: int) -> Tokens:
        mine = replace(FIRST, access_token=Secret(f"access-1{number}"), refresh_token=Secret(f"refresh-1{number}"))
        with connect(target) as database:
            start.wait(30)
            stands = store(database, keyring, org_id, id).save(mine, first)
        won.append(stands == mine)
        return stands

    with connect(target) as database:
        if first is not None:
            store(database, keyring, org_id, id).save(first, None)
        with ThreadPoolExecutor(8) as threads:
            stands = list(threads.map(save, range(8)))
        assert sum(won) == 1
        assert len({tokens.refresh_token for tokens in stands}) == 1
        assert store(database, keyring, org_id, id).load() == stands[0]
        assert len(rows(database)) == 1


def test_a_save_that_fails_is_tried_again(target: Target, keyring: Keyring, org_id: str, id: str) -> None:
    """A rotated token is stored nowhere else: after a lost connection it is saved over a new one."""
    database = connect(target)
    tokens = store(database, keyring, org_id, id)
    tokens.save(FIRST, None)
    second = replace(FIRST, access_token=Secret("access-2"), refresh_token=Secret("refresh-2"))
    database.close()
    assert tokens.save(second, FIRST) == second
    assert tokens.save(second, FIRST) == second  # as after a COMMIT whose reply was lost
    with connect(target) as again:
        assert store(again, keyring, org_id, id).load() == second


def test_a_save_that_goes_on_failing_is_told(
    sqlite_target: Target, keyring: Keyring, org_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreachable database raises intctl's own error, after all attempts."""
    monkeypatch.setattr(tokens_module, "_PAUSES_S", (0.0, 0.0))
    with connect(sqlite_target) as database:
        tokens = store(database, keyring, org_id, changes.new_id())
        database.close()
        sqlite_target.path.unlink()
        with pytest.raises(StoreError, match="There is no database"):
            tokens.save(FIRST, None)


def test_a_save_that_can_not_be_made_says_so(database: Database, keyring: Keyring, org_id: str, id: str) -> None:
    """A save for a deleted integration fails."""
    with pytest.raises(ConflictError):
        store(database, keyring, org_id, changes.new_id()).save(FIRST, None)


def test_an_access_token_counts_for_its_config_only(database: Database, keyring: Keyring, org_id: str, id: str) -> None:
    """After an edit the refresh token is kept, and an access token of the old config is not used."""
    store(database, keyring, org_id, id).save(FIRST, None)
    after = store(database, keyring, org_id, id, config="another").load()
    assert after is not None
    assert (after.access_token, after.expires_at, after.refresh_token) == (None, None, FIRST.refresh_token)


def test_each_origin_has_its_own_tokens(database: Database, keyring: Keyring, org_id: str, id: str) -> None:
    """A new token of the manifest gets a row of its own; only drop_others removes the old one."""
    old = store(database, keyring, org_id, id)
    old.save(FIRST, None)
    new = store(database, keyring, org_id, id, origin=Secret("another"))
    assert new.load() is None
    new.save(replace(FIRST, refresh_token=Secret("r"), origin=Secret("another")), None)
    assert old.load() == FIRST
    new.drop_others()
    assert old.load() is None and new.load() is not None
    store(database, keyring, org_id, id, origin=Secret("third")).drop_others()
    assert rows(database) == []


def test_client_credentials_have_no_origin(database: Database, keyring: Keyring, org_id: str, id: str) -> None:
    """Without a refresh token, only the access token is kept."""
    tokens = store(database, keyring, org_id, id, origin=None)
    only = Tokens(Secret("access"), 2_000_000_000.0)
    tokens.save(only, None)
    assert tokens.load() == only
    tokens.save(replace(only, access_token=Secret("next")), only)
    loaded = tokens.load()
    assert loaded is not None and loaded.access_token == Secret("next")


def test_rows_that_do_not_open_are_passed_over(database: Database, keyring: Keyring, org_id: str, id: str) -> None:
    """A damaged row, or one under a lost key, is ignored."""
    store(database, keyring, org_id, id).save(FIRST, None)
    assert store(database, Keyring([new_key()], "other"), org_id, id).load() is None
    database.run("UPDATE oauth_tokens SET access_token = 'not json'")
    assert store(database, keyring, org_id, id).load() is None


def test_a_row_moved_to_another_integration_does_not_open(
    database: Database, keyring: Keyring, target: Target, org_id: str, id: str
) -> None:
    """Tokens are bound to their integration: copied to another one, they are ignored."""
    store(database, keyring, org_id, id).save(FIRST, None)
    other = changes.new_id()
    with changes.unit_of_work(target) as session:
        changes.insert_integration(
            session,
            changes.NewIntegration(
                id=other,
                org_id=org_id,
                type="calendar",
                provider="google",
                name="Other",
                config=ENVELOPE,
                status="active",
                interval_minutes=5,
                due="now",
            ),
        )
    database.run("UPDATE oauth_tokens SET integration_id = :other", {"other": other})
    assert store(database, keyring, org_id, other).load() is None
    assert store(database, keyring, org_id, id).load() is None


def test_another_organisation_sees_nothing(database: Database, keyring: Keyring, org_id: str, id: str) -> None:
    """Tokens are looked up inside the organisation."""
    store(database, keyring, org_id, id).save(FIRST, None)
    other = "ffffffff-0000-4000-8000-000000000000"
    assert store(database, keyring, other, id).load() is None
