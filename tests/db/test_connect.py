"""Opening a database: which one a URL means, and what is said of one that can't be used."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest

from intctl.db.connect import VERSION_TABLE, Database, connect, prepared, time_text, time_value
from intctl.db.driver_errors import translate
from intctl.db.url import POSTGRESQL, SQLITE, Target, parse_url, sqlite_target
from intctl.errors import BusyError, ConflictError, StoreError, UsageError
from intctl.schema.engine import engine

WORD = "hunter2-value"

# --- URLs


@pytest.mark.parametrize(
    ("url", "parameters"),
    [
        (
            "postgresql://u@h/d",
            {
                "host": "h",
                "port": "5432",
                "dbname": "d",
                "user": "u",
                "sslmode": "verify-full",
                "sslrootcert": "system",
            },
        ),
        (
            "postgres://u:p%40%23%2F@localhost:6543/d",
            {"host": "localhost", "port": "6543", "dbname": "d", "user": "u", "password": "p@#/"},
        ),
        ("postgresql+psycopg://127.0.0.1/d", {"host": "127.0.0.1", "port": "5432", "dbname": "d"}),
        ("postgresql:///d?host=/run/postgresql", {"host": "/run/postgresql", "port": "5432", "dbname": "d"}),
        ("postgresql://[::1]:5433/d", {"host": "::1", "port": "5433", "dbname": "d"}),
        ("postgresql://h/d?sslmode=disable", {"host": "h", "port": "5432", "dbname": "d", "sslmode": "disable"}),
        (
            " postgresql://h/d?sslrootcert=/ca.pem\n",
            {"host": "h", "port": "5432", "dbname": "d", "sslmode": "verify-full", "sslrootcert": "/ca.pem"},
        ),
    ],
)
def test_what_a_url_means(url: str, parameters: dict[str, str]) -> None:
    """Every part of the URL, and TLS that is verified wherever the database is not on this machine."""
    target = parse_url(url, "X")
    assert (target.dialect, dict(target.parameters)) == (POSTGRESQL, parameters)


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///a.db", "a.db"), ("sqlite:////var/a%20b.db", "/var/a b.db"), ("sqlite:///%23.db", "#.db")],
)
def test_sqlite_urls(url: str, path: str) -> None:
    """Three slashes are relative, four absolute; %XX is decoded."""
    assert parse_url(url, "X") == sqlite_target(Path(path))


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("", "scheme"),
        (WORD, "scheme"),
        (f"mysql://u:{WORD}@h/d", "scheme"),
        (f"u:{WORD}@h/d", "scheme"),
        (f"sqlite://{WORD}", "path"),
        ("sqlite:///", "path"),
        (f"postgresql://u:{WORD}#1@h/d", "password"),
        (f"postgresql://u:{WORD}@1@h/d", "password"),
        (f"postgresql://u:x@h:{WORD}/d", "host or port"),
        ("postgresql://h:99999/d", "host or port"),
        (f"postgresql://[{WORD}/d", "host or port"),
        (f"postgresql://{WORD} x/d", "host or port"),
        (f"postgresql://u:{WORD}@h", "database name"),
        (f"postgresql://u:{WORD}@h/", "database name"),
        (f"postgresql://u:{WORD}@h/a/b", "database name"),
        (f"postgresql://h/d?password={WORD}", "query"),
        (f"postgresql://h/d?options=-c{WORD}", "query"),
    ],
)
def test_a_wrong_url_is_told_by_its_part_and_never_by_its_value(url: str, part: str) -> None:
    """The source and the wrong part are named; nothing of the URL itself is."""
    with pytest.raises(UsageError) as told:
        parse_url(url, "INTCTL_DATABASE_URL")
    assert f"INTCTL_DATABASE_URL is not a valid database URL (part: {part})" in str(told.value)
    assert WORD not in str(told.value) and "\n" not in str(told.value)


def test_a_target_never_shows_its_password() -> None:
    """Neither its repr nor its label."""
    target = parse_url(f"postgresql://u:{WORD}@db.example.com/portal", "X")
    assert WORD not in repr(target) + target.label
    assert target.label == "PostgreSQL portal at db.example.com:5432"
    assert "local socket" in parse_url("postgresql:///portal", "X").label


# --- files


def refused(target: Target) -> str:
    with pytest.raises(StoreError) as told:
        connect(target).close()
    assert "\n" not in str(told.value)
    return str(told.value)


def test_files_that_are_no_database(tmp_path: Path) -> None:
    """A missing file, a folder, a text, an empty file: each has its own words, and none is written."""
    assert "There is no database" in refused(sqlite_target(tmp_path / "none.db"))
    assert not (tmp_path / "none.db").exists()
    assert "is not a file" in refused(sqlite_target(tmp_path))
    text = tmp_path / "notes.txt"
    text.write_text("these are notes, not a database\n" * 100)
    assert "is not an SQLite database. It was not touched." in refused(sqlite_target(text))
    assert text.read_text() == "these are notes, not a database\n" * 100
    (tmp_path / "empty.db").touch()
    assert "intctl init" in refused(sqlite_target(tmp_path / "empty.db"))


def test_a_damaged_file_is_said_to_be_one(sqlite_target: Target) -> None:
    """Pages overwritten with rubbish: damaged, restore it from a backup."""
    with sqlite_target.path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)
    assert "damaged" in refused(sqlite_target)


def test_odd_file_names(tmp_path: Path, sqlite_target: Target) -> None:
    """Characters that mean something in a URI are only characters."""
    path = tmp_path / "a %20b?c#d'e.db"
    shutil.copy(sqlite_target.path, path)
    with connect(Target(SQLITE, path=path)) as database:
        assert database.row("SELECT 1 AS one") == {"one": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_a_file_that_may_not_be_written(sqlite_target: Target) -> None:
    """Without the right to write, the user who owns it is the hint."""
    sqlite_target.path.chmod(0o400)
    assert "can't be read and written by this user" in refused(sqlite_target)


# --- versions


@pytest.mark.parametrize(
    ("version", "words"), [("0001", "older intctl. Run: intctl init"), ("9999", "newer intctl. Upgrade")]
)
def test_another_version(target: Target, version: str, words: str) -> None:
    """An older database names init, a newer one an upgrade of intctl; both name the database."""
    with connect(target) as database:
        database.run(f"UPDATE {VERSION_TABLE} SET version_num = :version", {"version": version})
    assert words in refused(target) and target.label in refused(target)


def test_a_version_table_without_a_row_is_not_initialised(target: Target) -> None:
    """A half-made database is none."""
    with connect(target) as database:
        database.run(f"DELETE FROM {VERSION_TABLE}")
    assert "is not initialised. Run: intctl init" in refused(target)


# --- a server that is not there, or not for us


def test_servers_that_cannot_be_used(postgresql_server: Target, empty_postgresql: Target) -> None:
    """Refused, unknown host, no such database, no such user, no TLS: our words, and the label; never libpq's."""

    def at(**parameters: str) -> Target:
        return replace(postgresql_server, parameters={**postgresql_server.parameters, **parameters})

    assert "was refused" in refused(at(host="127.0.0.1", port="1"))
    assert "could not be looked up" in refused(at(host="nowhere.invalid", port="5432"))
    assert "no database with that name" in refused(at(dbname="there-is-none"))
    assert "Can't connect" in refused(at(user="there-is-none"))
    assert "Can't connect" in refused(at(host="/nowhere"))
    assert "is not initialised" in refused(empty_postgresql)
    for target in (at(host="127.0.0.1", port="1", password=WORD), at(dbname="there-is-none", password=WORD)):
        assert WORD not in refused(target)


def test_whether_trying_again_may_help(postgresql_server: Target) -> None:
    """A refused connection is transient, a missing database is not."""
    for parameters, transient in (({"host": "127.0.0.1", "port": "1"}, True), ({"dbname": "there-is-none"}, False)):
        with pytest.raises(StoreError) as told:
            connect(replace(postgresql_server, parameters={**postgresql_server.parameters, **parameters}))
        assert told.value.transient is transient


# --- statements


def test_a_constraint_is_a_conflict_and_its_text_stays_inside(target: Target) -> None:
    """What the database says of a refused row holds the row: none of it leaves."""
    with connect(target) as database:
        statement = "INSERT INTO organizations (id, name, slug) SELECT id, :name, slug FROM organizations"
        with pytest.raises(ConflictError) as told:
            database.run(statement, {"name": WORD})
        assert WORD not in str(told.value)
        assert told.value.__cause__ is None and told.value.__suppress_context__


def test_wrong_statements_are_errors_of_the_database(target: Target) -> None:
    """A missing table names init; nonsense says that a statement was rejected; neither repeats it."""
    with connect(target) as database:
        with pytest.raises(StoreError, match="intctl init"):
            database.rows(f"SELECT 1 FROM missing_{WORD.replace('-', '_')}")
        with pytest.raises(StoreError) as told:
            database.rows(f"NONSENSE '{WORD}'")
        assert WORD not in str(told.value)


def test_a_locked_database_is_busy(target: Target) -> None:
    """Somebody else's write lock is waited for, and then said to be one."""
    with connect(target) as first, connect(target) as second:
        if target.dialect == SQLITE:
            second.run("PRAGMA busy_timeout = 100")
            expected: type[Exception] = BusyError
        else:
            second.run("SET lock_timeout = 100")
            expected = StoreError
        with first.transaction():
            first.run("UPDATE organizations SET name = 'x'")
            with pytest.raises(expected, match="Try again"), second.transaction():
                second.run("UPDATE organizations SET name = 'y'")
        assert second.row("SELECT name FROM organizations") == {"name": "x"}


def test_who_has_read_in_a_transaction_can_still_write(sqlite_target: Target) -> None:
    """SQLite's write lock is taken at the beginning: nobody comes in between reading and writing."""
    with connect(sqlite_target) as first, connect(sqlite_target) as second:
        second.run("PRAGMA busy_timeout = 100")
        with first.transaction():
            assert first.row("SELECT name FROM organizations") == {"name": "Acme"}
            with pytest.raises(BusyError):
                second.run("UPDATE organizations SET name = 'y'")
            first.run("UPDATE organizations SET name = 'x'")
        assert second.row("SELECT name FROM organizations") == {"name": "x"}


def test_a_transaction_is_all_or_nothing(target: Target) -> None:
    """An error inside undoes everything; the connection goes on working."""
    with connect(target) as database:
        with pytest.raises(KeyError), database.transaction():
            database.run("UPDATE organizations SET name = 'changed'")
            raise KeyError
        assert database.row("SELECT name FROM organizations") == {"name": "Acme"}
        with database.transaction():
            assert database.run("UPDATE organizations SET name = 'changed'") == 1
        assert database.row("SELECT name FROM organizations") == {"name": "changed"}
        assert database.row("SELECT name FROM organizations WHERE name = 'none'") is None


def test_a_connection_that_was_cut_is_a_store_error(postgresql_target: Target) -> None:
    """The server ends the session: transient, without its words."""
    with connect(postgresql_target) as database, connect(postgresql_target) as other:
        pid = database.row("SELECT pg_backend_pid() AS pid")
        assert pid is not None
        other.rows("SELECT pg_terminate_backend(:pid)", pid)
        with pytest.raises(StoreError) as told:
            for _ in range(100):
                database.rows("SELECT 1")
        assert told.value.transient
        database.close()


def test_a_statement_is_not_waited_for_beyond_its_time(postgresql_target: Target) -> None:
    """The client ends the connection itself: transient, in our words; a new one works under the same limit."""
    with connect(postgresql_target) as database:
        database.limit(time.monotonic() + 0.3)
        with pytest.raises(StoreError, match="did not answer in time") as told, database.transaction():
            database.rows("SELECT pg_sleep(4)")
        assert told.value.transient and database.lost
        database.reopen()
        with pytest.raises(StoreError, match="did not answer in time"):
            database.rows("SELECT pg_sleep(4)")
        database.limit(None)
        database.reopen()
        assert database.row("SELECT pg_sleep(0.2)::text AS slept") == {"slept": ""}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("22P05", "rejected a value"),
        ("23505", "already exists"),
        ("23514", "violate a constraint"),
        ("42501", "lacks a privilege"),
        ("42P01", "intctl init"),
        ("55P03", "a lock was held"),
        ("57014", "was cancelled"),
        ("53100", "disk is full"),
        ("40001", "40001"),
        ("XX000", "XX000"),
    ],
)
def test_every_state_has_its_words(state: str, words: str) -> None:
    """What PostgreSQL's states mean to a person; the driver's text is left out."""
    error = psycopg.errors.lookup(state)(f"text with {WORD}")
    told = translate(error, "DB")
    assert words in str(told) and WORD not in str(told)
    assert getattr(told, "transient", False) == (state in ("55P03", "57014", "40001"))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_BUSY, "locked by another process"),
        (sqlite3.SQLITE_NOTADB, "not an SQLite database"),
        (sqlite3.SQLITE_CORRUPT, "damaged"),
        (sqlite3.SQLITE_FULL, "disk is full"),
        (sqlite3.SQLITE_IOERR, "failing"),
        (sqlite3.SQLITE_READONLY, "can't be opened for writing"),
        (sqlite3.SQLITE_ERROR, "SQLite error 1"),
    ],
)
def test_every_sqlite_code_has_its_words(code: int, words: str) -> None:
    """The same for SQLite."""
    error = sqlite3.OperationalError(f"text with {WORD}")
    error.sqlite_errorcode = code
    told = translate(error, "DB")
    assert words in str(told) and WORD not in str(told)


def test_other_errors_are_not_the_databases() -> None:
    """A bug of ours is not taken for a fault of the database."""
    assert translate(ValueError(WORD), "DB") is None


# --- values


def test_times_as_sqlite_keeps_them() -> None:
    """UTC with six digits and a Z, whatever the zone; read back it is the same moment."""
    moment = datetime(2026, 1, 31, 10, 30, tzinfo=timezone(timedelta(hours=1)))
    assert time_text(moment) == "2026-01-31T09:30:00.000000Z"
    assert time_value(time_text(moment)) == moment and time_value(time_text(moment)).tzinfo == UTC


def test_named_parameters_in_each_drivers_words() -> None:
    """One text for both: parameters, the clock, functions, per cents; a cast's colons are no parameter."""
    text = "SELECT :a, '50%', x::text, {now}, {after :n}"
    assert prepared(text, SQLITE).startswith("SELECT :a, '50%', x::text, strftime(")
    assert prepared(text, POSTGRESQL) == (
        "SELECT %(a)s, '50%%', x::text, pg_catalog.clock_timestamp(), "
        "(pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => %(n)s))"
    )


def test_damaged_json_is_shown_as_text(sqlite_target: Target) -> None:
    """A row whose document is broken is a value for whoever opens it, not an error of the query."""
    with connect(sqlite_target) as database:
        assert database.row("SELECT '{broken' AS config, '[1]' AS metadata, 5 AS other") == {
            "config": "{broken",
            "metadata": [1],
            "other": 5,
        }
        assert database.row("SELECT NULL AS config, NULL AS some_at") == {"config": None, "some_at": None}


def test_both_doors_open_the_same_database(target: Target) -> None:
    """What a session's engine writes, the plain door reads; errors of the engine get the same words."""
    made = engine(target, patient=True)
    with made.begin() as connection:
        connection.exec_driver_sql("UPDATE organizations SET name = 'by the engine'")
    made.dispose()
    with connect(target) as database:
        assert isinstance(database, Database)
        assert database.row("SELECT name FROM organizations") == {"name": "by the engine"}
        database.close()
        database.close()


@pytest.mark.case("F26")
@pytest.mark.parametrize(
    ("url", "hosts", "ports", "sslmode"),
    [
        ("postgresql://u:p@h1:5432,h2:5433/x?target_session_attrs=primary", "h1,h2", "5432,5433", "verify-full"),
        ("postgresql://u:p%40@h1,h2/x", "h1,h2", "5432,5432", "verify-full"),
        ("postgresql://[::1]:1,127.0.0.1:2/x", "::1,127.0.0.1", "1,2", None),
        ("postgresql://[2001:db8::1],h2:2/x?sslmode=require", "2001:db8::1,h2", "5432,2", "require"),
        ("postgresql://u@%2Frun%2Fpostgresql:5433/x", "/run/postgresql", "5433", None),
        ("postgresql:///x?host=/run/postgresql", "/run/postgresql", "5432", None),
        ("postgresql:///x?host=h1,h2&port=1,2&load_balance_hosts=random", "h1,h2", "1,2", "verify-full"),
        ("postgresql://127.0.0.1,db.example/x", "127.0.0.1,db.example", "5432,5432", "verify-full"),
    ],
)
def test_a_url_may_name_several_hosts(url: str, hosts: str, ports: str, sslmode: str | None) -> None:
    """As libpq reads it: a port for each host, and TLS unless all of them are this machine."""
    found = parse_url(url, "X").parameters
    assert (found["host"], found["port"], found.get("sslmode")) == (hosts, ports, sslmode)


@pytest.mark.case("F26")
@pytest.mark.parametrize(
    "query", ["sslmode=no-verify", "target_session_attrs=master", "gssencmode=on", "channel_binding=yes", "sslmode="]
)
def test_a_wrong_choice_is_a_wrong_setting(query: str) -> None:
    """It is no unreachable server: the message names the parameter and its values."""
    with pytest.raises(UsageError, match=f"part: {query.partition('=')[0]}.*; one of "):
        parse_url(f"postgresql://u:p@127.0.0.1:1/x?{query}", "INTCTL_DATABASE_URL")


@pytest.mark.case("F26")
@pytest.mark.parametrize("place", ["h1:0", "h1:65536", "h1:5432,h2:x", "h1,[::1", "h 1"])
def test_a_wrong_host_of_several_is_named(place: str) -> None:
    """The message says which part is wrong."""
    with pytest.raises(UsageError, match="part: host or port"):
        parse_url(f"postgresql://u:p@{place}/x", "INTCTL_DATABASE_URL")


@pytest.mark.case("F26")
def test_the_second_host_answers(postgresql_target: Target) -> None:
    """With a dead first host, the connection is made to the second."""
    own = postgresql_target.parameters
    several = {**own, "host": f"127.0.0.1,{own['host']}", "port": f"1,{own['port']}"}
    target = replace(postgresql_target, parameters=several)
    with connect(target) as database:
        assert database.rows("SELECT 1 AS n") == [{"n": 1}]
    assert f"127.0.0.1:1, {own['host']}:{own['port']}" in target.label
