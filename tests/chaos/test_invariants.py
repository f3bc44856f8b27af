"""The invariants themselves: each is broken once, and detected."""

from __future__ import annotations

import pytest

from intctl.db.connect import connect
from intctl.db.url import SQLITE, Target

from ..agent_rig import Fleet, Host
from .invariants import CANARY, INVARIANTS, broken, runner

#: Statements that break each of them, on both databases.
BREAKERS = {
    "I2 tokens": "UPDATE integration_health_logs SET lease_token = 3 WHERE lease_token = 1",
    "I2 no row": "UPDATE integration_schedules SET lease_token = 9; "
    "INSERT INTO integration_health_logs (id, integration_id, check_type, status, lease_token) "
    "SELECT '00000000-0000-4000-8000-000000000000', integration_id, 'scheduled', 'success', 8 "
    "FROM integration_schedules",
    "I3": "UPDATE integrations SET status = 'error'",
    "I4": "UPDATE integration_schedules SET lease_owner = 'x', lease_expires_at = '2999-01-01T00:00:00.000000Z'; "
    "UPDATE integration_schedules SET lease_owner = 'y', lease_token = lease_token + 1",
    "I5": "UPDATE integration_schedules SET next_check_at = '2999-01-01T00:00:00.000000Z'",
    "I9 every token": "DELETE FROM seen_claims WHERE token = 1",
    "I9 a lease": "UPDATE integration_schedules SET lease_owner = 'x', lease_token = 3, "
    "lease_expires_at = '2999-01-01T00:00:00.000000Z'; "
    "UPDATE integration_schedules SET lease_owner = NULL, lease_expires_at = NULL",
    "I9 what": "DELETE FROM seen_ends",
    "I10": f"UPDATE integration_health_logs SET error_message = 'it was {CANARY}'",
}


@pytest.mark.parametrize("name", [None, *BREAKERS])
def test_what_is_broken_is_noticed(fleet: Fleet, provider: Host, name: str | None) -> None:
    """After two passes all hold; each one that is broken is reported by name."""
    runner(fleet.target)
    fleet.add({"a": f"{provider.url}/a"}, auth="bearer", token=CANARY)
    for _ in range(2):
        assert fleet.once().recorded == 1
        fleet.all_due()
    if name is None:
        assert broken(fleet.target) == []
        return
    assert any(known.startswith(name) for known in INVARIANTS)
    with connect(fleet.target) as database:
        for statement in BREAKERS[name].split("; "):
            database.run(statement)
    assert any(told.startswith(name) for told in broken(fleet.target))


def test_a_transaction_that_stays_open_is_noticed(postgresql_target: Target) -> None:
    """An open transaction is reported a second after its last statement."""
    runner(postgresql_target)
    with connect(postgresql_target) as database, database.transaction():
        database.rows("SELECT pg_sleep(0)")
        with connect(postgresql_target) as other:
            other.rows("SELECT pg_sleep(1.2)")
        assert [told[:2] for told in broken(postgresql_target)] == ["I7"]


def test_a_damaged_file_is_noticed(sqlite_target: Target) -> None:
    """On SQLite the seventh invariant checks the integrity of the file."""
    assert sqlite_target.dialect == SQLITE
    runner(sqlite_target)
    assert broken(sqlite_target) == []
    with connect(sqlite_target) as database:
        database.rows("PRAGMA writable_schema = ON")
        database.run("DELETE FROM sqlite_master WHERE name = 'idx_integrations_org'")
    assert any(told.startswith("I7") for told in broken(sqlite_target))
