"""Integrations: search, sorting, names, and the same Python values from both databases."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from intctl.db.connect import Database, connect
from intctl.db.url import POSTGRESQL, SQLITE, Target
from intctl.errors import NotFoundError, UsageError
from intctl.store import alerts, clock, configs, history, integrations, logs, organizations
from intctl.store.integrations import Selection
from intctl.store.stats import Stats, stats

from ..conftest import ORG_ID
from ..test_metrics import add_integration, add_log
from .conftest import OTHER_ORG, another_organisation


def names(database: Database, **wanted: Any) -> list[str]:
    return [row.name for row in integrations.find_all(database, ORG_ID, Selection(**wanted))]


# --- search, filters, sorting

HOSTILE = [
    "100 %", "a_b", "aXb", "back\\slash", "'; DROP TABLE integrations; --", "bang!", ":org_id", "{name}", "%(x)s",
]  # fmt: skip
PARTS = [("%", 2), ("_", 2), ("\\", 1), ("!", 1), ("DROP table", 1), ("smtp", 9), ("EMAIL", 9)]


@pytest.mark.parametrize("text", HOSTILE)
def test_search_takes_every_character_as_itself(database: Database, text: str) -> None:
    """Characters with a meaning in LIKE, SQL or a driver are only text."""
    for name in HOSTILE:
        add_integration(database, name)
    assert names(database, search=text) == [text]
    assert integrations.find(database, ORG_ID, text).name == text


@pytest.mark.parametrize(("text", "count"), PARTS)
def test_search_is_a_part_of_name_provider_or_type(database: Database, text: str, count: int) -> None:
    """Case does not count; wildcards match only themselves."""
    for name in HOSTILE:
        add_integration(database, name)
    assert len(names(database, search=text)) == count


def test_filters(database: Database) -> None:
    """Type, provider and status filter, also together; deleted integrations are in no list."""
    add_integration(database, "A", type="sms", provider="twilio", status="error")
    add_integration(database, "B", type="sms", provider="other", status="active")
    add_integration(database, "Gone", deleted_at=datetime.now(UTC))
    assert names(database, type="sms") == ["A", "B"]
    assert names(database, type="sms", status="error") == ["A"]
    assert names(database, provider="twilio", status="active") == []
    assert names(database) == ["A", "B"]
    assert stats(database, ORG_ID) == Stats(total=2, active=1, error=1, disabled=0)


@pytest.mark.parametrize("key", integrations.SORTS)
def test_every_sort_key_sorts_both_ways(database: Database, key: str) -> None:
    """Each key orders by its column, absent values first, and the reverse is the reverse."""
    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = [
        {
            "type": "sms",
            "provider": "b",
            "status": "error",
            "last_health_check": now,
            "last_sync": None,
            "created_at": now - timedelta(3),
        },
        {
            "type": "email",
            "provider": "c",
            "status": "active",
            "last_health_check": now - timedelta(1),
            "last_sync": now,
            "created_at": now - timedelta(2),
        },
        {
            "type": "hris",
            "provider": "a",
            "status": "inactive",
            "last_health_check": None,
            "last_sync": now - timedelta(1),
            "created_at": now - timedelta(1),
        },
    ]
    for name, row in zip(("b", "C", "a"), rows, strict=True):
        add_integration(database, name, **row)
    column = {"last-check": "last_health_check", "last-sync": "last_sync", "created": "created_at"}.get(key, key)
    found = integrations.find_all(database, ORG_ID, Selection(sort=key))
    values = [getattr(row, column) for row in found]
    wanted = sorted(values, key=lambda value: (value is not None, value.lower() if isinstance(value, str) else value))
    assert values == wanted
    assert integrations.find_all(database, ORG_ID, Selection(sort=f"-{key}")) == found[::-1]


def test_names_sort_alike_on_both(database: Database) -> None:
    """ASCII case does not count, everything else by code point: one order for both databases."""
    for name in ("b", "A", "_x", "é", "Z", "É", "a b"):
        add_integration(database, name)
    assert names(database) == ["_x", "A", "a b", "b", "Z", "É", "é"]
    assert names(database, sort="-name") == ["é", "É", "Z", "b", "a b", "A", "_x"]


# --- NAME


def test_an_exact_name_is_before_an_id_before_a_prefix(database: Database) -> None:
    """NAME is a name, an id, or a unique prefix of either; case does not count, but an exact spelling comes first."""
    first = add_integration(database, "Mail")
    add_integration(database, "Mail backup")
    by_id = add_integration(database, first)  # a name that is another one's id
    assert integrations.find(database, ORG_ID, "Mail").id == first
    assert integrations.find(database, ORG_ID, "mAIL").id == first
    assert integrations.find(database, ORG_ID, first).id == by_id
    assert integrations.find(database, ORG_ID, by_id.upper()).name == first
    assert integrations.find(database, ORG_ID, "mail B").name == "Mail backup"
    assert integrations.find(database, ORG_ID, by_id[:13]).id == by_id


def test_an_ambiguous_prefix_lists_what_it_could_be(database: Database) -> None:
    """An ambiguous prefix selects none: the error lists all matches, sanitized."""
    for name in ("Mail one", "Mail two", "Mail \x1b[31mred"):
        add_integration(database, name)
    with pytest.raises(UsageError) as told:
        integrations.find(database, ORG_ID, "mail")
    assert "3 integrations" in str(told.value) and '"Mail one", "Mail two"' in str(told.value)
    assert "\x1b" not in str(told.value)


@pytest.mark.parametrize("name", ["", "nobody", "%", "M%", "Mai_", "x" * 100_000, "\\", "' OR 1=1 --", "Mailx"])
def test_what_is_not_there_is_not_found(database: Database, name: str) -> None:
    """Wildcards match only themselves; a name that is too long is not found, and is truncated in the message."""
    add_integration(database, "Mail")
    with pytest.raises(NotFoundError) as told:
        integrations.find(database, ORG_ID, name)
    assert len(str(told.value)) < 200


def test_bytes_that_are_no_text_are_refused_in_words(database: Database) -> None:
    """Text that the command line could not decode is a usage error, not a bug."""
    with pytest.raises(UsageError, match="UTF-8"):
        integrations.find(database, ORG_ID, "\udcff")
    with pytest.raises(UsageError, match="UTF-8"):
        integrations.find_all(database, ORG_ID, Selection(search="\udcff"))


def test_deleted_ones_are_found_only_among_the_deleted(database: Database) -> None:
    """Of several deleted integrations with one name, the one deleted last is found; never a living one."""
    now = datetime.now(UTC)
    add_integration(database, "Mail", deleted_at=now - timedelta(2))
    last = add_integration(database, "Mail", deleted_at=now - timedelta(1))
    add_integration(database, "Mail")
    assert integrations.find(database, ORG_ID, "mail", deleted=True).id == last
    assert integrations.find(database, ORG_ID, "Mail").deleted_at is None
    with pytest.raises(NotFoundError, match="deleted integration"):
        integrations.find(database, ORG_ID, "nobody", deleted=True)


def test_everything_stays_inside_its_organisation(database: Database) -> None:
    """No read shows, counts or finds another organisation's integrations, by name or by id."""
    another_organisation(database)
    theirs = add_integration(database, "Theirs", OTHER_ORG, status="error")
    add_log(database, theirs, "failure", 5)
    for name in ("Theirs", theirs, "Thei", theirs[:13]):
        with pytest.raises(NotFoundError):
            integrations.find(database, ORG_ID, name)
    assert integrations.find_all(database, ORG_ID) == []
    assert alerts.find_all(database, ORG_ID) == []
    assert logs.newest(database, ORG_ID) == logs.newest(database, ORG_ID, id=theirs) == []
    assert configs.sealed(database, ORG_ID) == []
    assert configs.sealed(database, ORG_ID, id=theirs) == []
    assert history.members(database, ORG_ID) == history.members(database, ORG_ID, theirs) == []
    assert stats(database, ORG_ID) == Stats(0, 0, 0, 0)
    assert integrations.find(database, OTHER_ORG, "Theirs").id == theirs


# --- values


def kind(value: object) -> object:
    """The type of a value, records by their fields, dictionaries by their keys."""
    if isinstance(value, datetime):
        return f"datetime {value.utcoffset()}"
    if is_dataclass(value):
        return type(value).__name__, {field.name: kind(getattr(value, field.name)) for field in fields(value)}
    return {key: kind(item) for key, item in value.items()} if isinstance(value, dict) else type(value).__name__


def test_both_databases_return_the_same_types(sqlite_target: Target, postgresql_target: Target) -> None:
    """On both databases ids are str, times aware UTC datetimes, and JSON is Python values."""
    answers: list[list[Any]] = []
    for target in (sqlite_target, postgresql_target):
        with connect(target) as database:
            assert database.dialect == (SQLITE if target is sqlite_target else POSTGRESQL)
            now = datetime.now(UTC)
            id = add_integration(database, "One", status="error", last_health_check=now, last_sync=now)
            metadata: dict[str, Any] = {
                "verdict": "down",
                "code": "x",
                "config_version": 1,
                "phases_ms": {"tcp": 1.5, "dns": 1},
            }
            add_log(database, id, "failure", 5, **metadata, facts={"b": [1, None], "a": {"c": True}})
            add_log(database, id, "success", 5, seconds_ago=600)
            answers.append(
                [
                    integrations.find(database, ORG_ID, "One"),
                    configs.sealed(database, ORG_ID)[0],
                    logs.newest(database, ORG_ID)[0],
                    alerts.find_all(database, ORG_ID)[0],
                    organizations.find_all(database)[0],
                    stats(database, ORG_ID),
                    clock.now(database),
                ]
            )
    assert [kind(answer) for answer in answers[0]] == [kind(answer) for answer in answers[1]]
    found = answers[0][0]
    assert kind(found.last_sync) == "datetime 0:00:00" and found.code == "x"
    for answer in answers:
        assert list(answer[0].phases_ms) == ["dns", "tcp"] and list(answer[0].facts) == ["a", "b"]


def test_a_check_of_an_older_config_says_nothing_of_this_one(database: Database) -> None:
    """After an edit the verdict is unknown until the present config was checked."""
    id = add_integration(database, "One", config_version=2)
    add_log(database, id, "success", 5, verdict="healthy", code="ok", config_version=1)
    assert integrations.find(database, ORG_ID, "One").verdict == "unknown"
    add_log(database, id, "success", 5, seconds_ago=1, verdict="healthy", code="ok", config_version=2)
    assert integrations.find(database, ORG_ID, "One").code == "ok"
