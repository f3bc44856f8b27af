"""The reads: search, sorting, names, organisations, and the same Python values from both databases."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from intctl.db.connect import Database, connect
from intctl.db.url import POSTGRESQL, SQLITE, Target
from intctl.errors import NotFoundError, StoreError, UsageError
from intctl.store import history, reads

from ..conftest import ORG_ID
from ..test_metrics import add_integration, add_log

OTHER_ORG = "0b0b0b0b-0000-4000-8000-00000000beef"


@pytest.fixture
def database(target: Target) -> Any:
    with connect(target) as opened:
        yield opened


def another_organisation(database: Database) -> None:
    database.run("INSERT INTO organizations (id, name, slug) VALUES (:id, 'Other', 'other')", {"id": OTHER_ORG})


def names(database: Database, **wanted: Any) -> list[str]:
    return [row["name"] for row in reads.integrations(database, ORG_ID, **wanted)]


# --- search, filters, sorting

HOSTILE = [
    "100 %", "a_b", "aXb", "back\\slash", "'; DROP TABLE integrations; --", "bang!", ":org_id", "{name}", "%(x)s",
]  # fmt: skip
PARTS = [("%", 2), ("_", 2), ("\\", 1), ("!", 1), ("DROP table", 1), ("smtp", 9), ("EMAIL", 9)]


@pytest.mark.parametrize("text", HOSTILE)
def test_search_takes_every_character_as_itself(database: Database, text: str) -> None:
    """What means something to LIKE, SQL or a driver is only text."""
    for name in HOSTILE:
        add_integration(database, name)
    assert names(database, search=text) == [text]
    assert reads.find(database, ORG_ID, text)["name"] == text


@pytest.mark.parametrize(("text", "count"), PARTS)
def test_search_is_a_part_of_name_provider_or_type(database: Database, text: str, count: int) -> None:
    """Upper and lower case are the same; wildcards find themselves."""
    for name in HOSTILE:
        add_integration(database, name)
    assert len(names(database, search=text)) == count


def test_filters(database: Database) -> None:
    """Type, provider and status narrow, together too; what was deleted is in no list."""
    add_integration(database, "A", type="sms", provider="twilio", status="error")
    add_integration(database, "B", type="sms", provider="other", status="active")
    add_integration(database, "Gone", deleted_at=datetime.now(UTC))
    assert names(database, type_="sms") == ["A", "B"]
    assert names(database, type_="sms", status="error") == ["A"]
    assert names(database, provider="twilio", status="active") == []
    assert names(database) == ["A", "B"]
    assert reads.stats(database, ORG_ID) == {"total": 2, "active": 1, "error": 1, "disabled": 0}


@pytest.mark.parametrize("key", reads.SORTS)
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
    found = reads.integrations(database, ORG_ID, sort=key)
    values = [row[column] for row in found]
    wanted = sorted(values, key=lambda value: (value is not None, value.lower() if isinstance(value, str) else value))
    assert values == wanted
    assert reads.integrations(database, ORG_ID, sort=f"-{key}") == found[::-1]


def test_names_sort_alike_on_both(database: Database) -> None:
    """ASCII case does not count, everything else by code point: one order for both databases."""
    for name in ("b", "A", "_x", "é", "Z", "É", "a b"):
        add_integration(database, name)
    assert names(database) == ["_x", "A", "a b", "b", "Z", "É", "é"]
    assert names(database, sort="-name") == ["é", "É", "Z", "b", "a b", "A", "_x"]


# --- what a NAME means


def test_an_exact_name_is_before_an_id_before_a_prefix(database: Database) -> None:
    """Name, else id, else unique prefix of either; case is the same, an exact spelling first."""
    first = add_integration(database, "Mail")
    add_integration(database, "Mail backup")
    by_id = add_integration(database, first)  # a name that is another one's id
    assert reads.find(database, ORG_ID, "Mail")["id"] == first
    assert reads.find(database, ORG_ID, "mAIL")["id"] == first
    assert reads.find(database, ORG_ID, first)["id"] == by_id
    assert reads.find(database, ORG_ID, by_id.upper())["name"] == first
    assert reads.find(database, ORG_ID, "mail B")["name"] == "Mail backup"
    assert reads.find(database, ORG_ID, by_id[:13])["id"] == by_id


def test_an_ambiguous_prefix_lists_what_it_could_be(database: Database) -> None:
    """Several that begin so: none is taken, all are named, made harmless."""
    for name in ("Mail one", "Mail two", "Mail \x1b[31mred"):
        add_integration(database, name)
    with pytest.raises(UsageError) as told:
        reads.find(database, ORG_ID, "mail")
    assert "3 integrations" in str(told.value) and '"Mail one", "Mail two"' in str(told.value)
    assert "\x1b" not in str(told.value)


@pytest.mark.parametrize("name", ["", "nobody", "%", "M%", "Mai_", "x" * 100_000, "\\", "' OR 1=1 --", "Mailx"])
def test_what_is_not_there_is_not_found(database: Database, name: str) -> None:
    """Wildcards match nothing but themselves; a long name is a name that is not there, and is cut in the message."""
    add_integration(database, "Mail")
    with pytest.raises(NotFoundError) as told:
        reads.find(database, ORG_ID, name)
    assert len(str(told.value)) < 200


def test_bytes_that_are_no_text_are_refused_in_words(database: Database) -> None:
    """What the command line could not decode is wrong usage, not a bug."""
    with pytest.raises(UsageError, match="UTF-8"):
        reads.find(database, ORG_ID, "\udcff")
    with pytest.raises(UsageError, match="UTF-8"):
        reads.integrations(database, ORG_ID, search="\udcff")


def test_deleted_ones_are_found_only_among_the_deleted(database: Database) -> None:
    """Of several deleted ones with a name, the one deleted last; a living one is none of them."""
    now = datetime.now(UTC)
    add_integration(database, "Mail", deleted_at=now - timedelta(2))
    last = add_integration(database, "Mail", deleted_at=now - timedelta(1))
    add_integration(database, "Mail")
    assert reads.find(database, ORG_ID, "mail", deleted=True)["id"] == last
    assert reads.find(database, ORG_ID, "Mail")["deleted_at"] is None
    with pytest.raises(NotFoundError, match="deleted integration"):
        reads.find(database, ORG_ID, "nobody", deleted=True)


# --- organisations


def test_everything_stays_inside_its_organisation(database: Database) -> None:
    """No read shows, counts or finds what is somebody else's, by name or by id."""
    another_organisation(database)
    theirs = add_integration(database, "Theirs", OTHER_ORG, status="error")
    add_log(database, theirs, "failure", 5)
    for name in ("Theirs", theirs, "Thei", theirs[:13]):
        with pytest.raises(NotFoundError):
            reads.find(database, ORG_ID, name)
    assert reads.integrations(database, ORG_ID) == reads.alerts(database, ORG_ID) == reads.logs(database, ORG_ID) == []
    assert reads.logs(database, ORG_ID, id=theirs) == reads.sealed(database, ORG_ID) == []
    assert reads.sealed(database, ORG_ID, id=theirs) == reads.tokens(database, ORG_ID, theirs) == []
    assert history.members(database, ORG_ID) == history.members(database, ORG_ID, theirs) == []
    assert reads.stats(database, ORG_ID)["total"] == 0
    assert reads.find(database, OTHER_ORG, "Theirs")["id"] == theirs


def test_the_organisation_by_id_slug_name_or_because_it_is_the_only_one(database: Database) -> None:
    """An id is taken unseen; slug and name are looked up; without one there must be only one."""
    assert reads.organization_id(database, None) == ORG_ID
    assert reads.organization_id(database, "acme") == reads.organization_id(database, "Acme") == ORG_ID
    unseen = str(uuid.uuid4())
    assert reads.organization_id(database, unseen.upper()) == unseen
    with pytest.raises(NotFoundError, match="org list"):
        reads.organization_id(database, "nobody")
    another_organisation(database)
    with pytest.raises(UsageError, match="several"):
        reads.organization_id(database, None)
    database.run("DELETE FROM organizations")
    with pytest.raises(NotFoundError, match="org create"):
        reads.organization_id(database, None)


def test_organisations_that_cannot_be_read_are_named_by_id(database: Database) -> None:
    """Where a portal's table has no slug: ids still work, everything else says so."""
    database.run("ALTER TABLE organizations RENAME COLUMN slug TO handle")
    with pytest.raises(StoreError, match="--org ID"):
        reads.organizations(database)
    with pytest.raises(NotFoundError):
        reads.organization_id(database, "acme")
    assert reads.organization_id(database, ORG_ID) == ORG_ID


# --- values


def kind(value: object) -> object:
    """The type of a value, dictionaries by their keys."""
    if isinstance(value, datetime):
        return f"datetime {value.utcoffset()}"
    return {key: kind(item) for key, item in value.items()} if isinstance(value, dict) else type(value).__name__


def test_both_databases_return_the_same_types(sqlite_target: Target, postgresql_target: Target) -> None:
    """ids are str, times aware UTC datetimes, JSON Python values: whichever database it is."""
    answers = []
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
                    reads.find(database, ORG_ID, "One"),
                    reads.sealed(database, ORG_ID)[0],
                    reads.logs(database, ORG_ID)[0],
                    reads.alerts(database, ORG_ID)[0],
                    reads.organizations(database)[0],
                    reads.stats(database, ORG_ID),
                    {"now": reads.now(database)},
                ]
            )
    assert [kind(answer) for answer in answers[0]] == [kind(answer) for answer in answers[1]]
    found = answers[0][0]
    assert kind(found["last_sync"]) == "datetime 0:00:00" and found["code"] == "x"
    for answer in answers:
        assert list(answer[0]["phases_ms"]) == ["dns", "tcp"] and list(answer[0]["facts"]) == ["a", "b"]


def test_a_check_of_an_older_config_says_nothing_of_this_one(database: Database) -> None:
    """After an edit the verdict is unknown until the config as it is now was checked."""
    id = add_integration(database, "One", config_version=2)
    add_log(database, id, "success", 5, verdict="healthy", code="ok", config_version=1)
    assert reads.find(database, ORG_ID, "One")["verdict"] == "unknown"
    add_log(database, id, "success", 5, seconds_ago=1, verdict="healthy", code="ok", config_version=2)
    assert reads.find(database, ORG_ID, "One")["code"] == "ok"


def test_failing_since_the_first_failure_after_the_last_success(database: Database) -> None:
    """An alert's time is when the failing began, not when it was seen last; without logs, the last check."""
    id = add_integration(database, "One", status="error")
    (alert,) = reads.alerts(database, ORG_ID)
    assert alert["since_at"] == alert["updated_at"]
    for status, seconds in (("failure", 900), ("success", 600), ("failure", 300), ("unknown", 200), ("failure", 60)):
        add_log(database, id, status, 5, seconds_ago=seconds)
    (alert,) = reads.alerts(database, ORG_ID)
    assert 299 <= (reads.now(database) - alert["since_at"]).total_seconds() < 590


def test_logs_newest_first_within_limit_and_time(database: Database) -> None:
    """Limit, failures and since narrow the logs of one or of all living integrations."""
    one, gone = add_integration(database, "One"), add_integration(database, "Gone")
    for seconds in (30, 10, 20):
        add_log(database, one, "failure" if seconds == 20 else "success", seconds, seconds_ago=seconds)
    add_log(database, gone, "success", 40, seconds_ago=40)
    database.run("UPDATE integrations SET deleted_at = {now} WHERE id = :id", {"id": gone})
    times = [row["response_time_ms"] for row in reads.logs(database, ORG_ID)]
    assert times == [10, 20, 30]
    assert [row["response_time_ms"] for row in reads.logs(database, ORG_ID, limit=2)] == [10, 20]
    assert [row["response_time_ms"] for row in reads.logs(database, ORG_ID, failures=True)] == [20]
    since = reads.now(database) - timedelta(seconds=25)
    assert [row["response_time_ms"] for row in reads.logs(database, ORG_ID, since=since)] == [10, 20]
    assert [row["response_time_ms"] for row in reads.logs(database, ORG_ID, id=gone)] == [40]


def test_since_is_the_first_failure_after_the_last_success(database: Database) -> None:
    """An alert's beginning: unknown checks in between end nothing, a success does; one at the same moment too."""
    id = add_integration(database, "One", status="error")
    for status, seconds in (("failure", 90), ("success", 80), ("failure", 70), ("unknown", 60), ("failure", 50)):
        add_log(database, id, status, 1, seconds_ago=seconds)
    (alert,) = reads.alerts(database, ORG_ID)
    first = sorted(row["checked_at"] for row in reads.logs(database, ORG_ID, failures=True))[1]
    assert alert["since_at"] == first


def test_history_is_read_from_the_covering_index(database: Database) -> None:
    """What the figures need of the checks comes from idx_integration_health_logs_history alone."""
    id, *_ = (add_integration(database, f"Integration {number}") for number in range(30))
    database.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)"
        " INSERT INTO integration_health_logs (integration_id, check_type, status, response_time_ms, checked_at)"
        " SELECT s.id, 'scheduled', 'success', n.i, {after -7 * n.i} FROM integrations s, n"
    )
    for sql in (history._LOGGED, history._COUNTED.replace("{packed}", history._PACKED[database.dialect])):
        text, parameters = history.asked(database, sql, "checked_at", [id])
        now = reads.now(database)
        parameters |= {"start": now - timedelta(minutes=10), "end": now}
        if database.dialect == POSTGRESQL:
            database.run("CHECKPOINT")  # the tests' server commits late, and VACUUM trusts only what is written
            database.run("VACUUM ANALYZE integration_health_logs")
            plan = database.rows(f"EXPLAIN {text}", parameters)
        else:
            plan = database.rows(f"EXPLAIN QUERY PLAN {text}", parameters)
        said = " ".join(str(value) for row in plan for value in row.values())
        assert "idx_integration_health_logs_history" in said
        assert ("Index Only Scan" if database.dialect == POSTGRESQL else "COVERING INDEX") in said
