"""The statements of every change, in their order: the schedule before the integration, as the agent locks them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlmodel import Session

from intctl.db.connect import connect
from intctl.db.url import POSTGRESQL, Target
from intctl.health.outcome import Outcome
from intctl.store import changes, clock, integrations, organization_changes
from intctl.store.changes import Changed, NewIntegration

_WORDS = re.compile(r"^\s*(?:(SELECT) .*?FROM|(INSERT) INTO|(UPDATE)|(DELETE) FROM) (\w+)", re.DOTALL | re.IGNORECASE)
_READ = ["lock integration_schedules", "lock integrations"]
_SCHEDULE, _INTEGRATION = "update integration_schedules", "update integrations"

Run = Callable[[Session, str, str], object]

#: Each change and its statements. The first note of an integration also writes its previous state.
CHANGES: dict[str, tuple[Run, list[str]]] = {
    "set_status off": (
        lambda s, id, org: changes.set_status(s, id=id, org_id=org, status="inactive"),
        [*_READ, _SCHEDULE, "select integration_changes", _INTEGRATION, "insert integration_changes"],
    ),
    "set_interval": (
        lambda s, id, org: changes.set_interval(s, id=id, org_id=org, minutes=1),
        [*_READ, _SCHEDULE, "select integration_changes", _INTEGRATION, "insert integration_changes"],
    ),
    "update config": (
        lambda s, id, org: changes.update_integration(
            s, id=id, org_id=org, expected_version=1, changed=Changed(config={"ct": "2"}, name="New", due="later")
        ),
        [*_READ, _SCHEDULE, "select integration_changes", _INTEGRATION, "insert integration_changes"],
    ),
    "update name": (
        lambda s, id, org: changes.update_integration(
            s, id=id, org_id=org, expected_version=1, changed=Changed(name="New")
        ),
        [*_READ, "select integration_changes", _INTEGRATION, "insert integration_changes"],
    ),
    "delete": (
        lambda s, id, org: changes.delete_integration(s, id=id, org_id=org),
        [*_READ, _SCHEDULE, "select integration_changes", _INTEGRATION, "insert integration_changes"],
    ),
    "record_sync": (
        lambda s, id, org: changes.record_sync(s, id=id, org_id=org, at=None, failed=None),
        [*_READ, _INTEGRATION],
    ),
    "record_outcome": (
        lambda s, id, org: changes.record_outcome(
            s, id=id, org_id=org, check_type="auto", outcome=Outcome("server.error"), agent="here"
        ),
        [
            *_READ,
            "insert integration_transitions",
            _INTEGRATION,
            "update integration_transitions",
            "insert integration_health_logs",
        ],
    ),
    "set_retention": (
        lambda s, id, org: organization_changes.set_retention(s, org_id=org, days=30),
        ["insert organization_settings"],
    ),
}


@contextmanager
def statements() -> Iterator[list[str]]:
    """Record the statements of the sessions, as verb and table; a SELECT that locks is a lock."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if words := _WORDS.match(statement):
            verb, table = next(filter(None, words.groups()[:4])).lower(), words[5]
            found.append(f"{'lock' if verb == 'select' and table in LOCKED else verb} {table}")

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


#: The tables whose rows a change locks when it reads them.
LOCKED = ("integration_schedules", "integrations")


def add(target: Target, org_id: str) -> str:
    id = changes.new_id()
    with changes.unit_of_work(target) as session:
        changes.insert_integration(
            session,
            NewIntegration(id, org_id, "email", "smtp", "Mail", {"ct": "1"}, "active", interval_minutes=5, due="now"),
        )
    return id


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_writes_the_schedule_first(target: Target, org_id: str, name: str) -> None:
    """Locks and writes of the schedule come before those of the integration, in the whole list of statements."""
    run, expected = CHANGES[name]
    id = add(target, org_id)
    with statements() as found, changes.unit_of_work(target) as session:
        run(session, id, org_id)
    assert [one for one in found if not one.endswith("alembic_version")] == expected


def test_a_restored_one_too(target: Target, org_id: str) -> None:
    """A deleted row is locked and written in the same order."""
    id = add(target, org_id)
    with changes.unit_of_work(target) as session:
        changes.delete_integration(session, id=id, org_id=org_id)
    with statements() as found, changes.unit_of_work(target) as session:
        changes.restore_integration(session, id=id, org_id=org_id)
    assert found == [*_READ, "select integration_changes", _INTEGRATION, "insert integration_changes"]


def test_a_new_one_is_written_before_its_schedule(target: Target, org_id: str) -> None:
    """The schedule references the integration; no other process can hold a lock on either yet."""
    with statements() as found:
        add(target, org_id)
    assert found == ["insert integrations", "insert integration_schedules", "insert integration_changes"]


def test_every_function_of_the_module_is_in_the_list() -> None:
    """Every function of the module is in the list, also one that is added later."""
    named = {name.split()[0] for name in CHANGES} | {"insert_integration", "restore_integration"}
    known = {"update": "update_integration", "delete": "delete_integration"}
    made = {known.get(name, name) for name in named}
    functions = {
        name
        for name in changes.__all__
        if name.split("_")[0] in ("insert", "update", "set", "delete", "restore", "record")
    }
    assert functions <= made


def test_the_locks_are_the_databases(postgresql_target: Target, org_id: str) -> None:
    """On PostgreSQL the schedule is read FOR UPDATE and the integration FOR NO KEY UPDATE, in that order."""
    id, texts = add(postgresql_target, org_id), []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        texts.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with changes.unit_of_work(postgresql_target) as session:
            changes.set_interval(session, id=id, org_id=org_id, minutes=9)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    locks = [text for text in texts if " FOR " in text]
    assert ["integration_schedules" in text for text in locks] == [True, False]
    assert locks[0].rstrip().endswith("FOR UPDATE") and locks[1].rstrip().endswith("FOR NO KEY UPDATE")
    assert postgresql_target.dialect == POSTGRESQL


def test_times_are_the_databases(target: Target, org_id: str) -> None:
    """Every timestamp of a change comes from the database's clock, not from this process."""
    id = add(target, org_id)
    given: list[Any] = []

    def note(_connection: Any, _cursor: Any, _statement: str, parameters: Any, *_: Any) -> None:
        given.extend(parameters.values() if isinstance(parameters, dict) else parameters)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with changes.unit_of_work(target) as session:
            changes.set_status(session, id=id, org_id=org_id, status="inactive")
            changes.set_status(session, id=id, org_id=org_id, status="active")
            changes.record_sync(session, id=id, org_id=org_id, at=None, failed=None)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert not [one for one in given if "T" in str(one) and str(one)[:2] == "20"]
    with connect(target) as database:
        row = integrations.find(database, org_id, id)
        assert row.last_sync is not None
        assert abs(clock.now(database) - row.last_sync) < timedelta(seconds=60)
