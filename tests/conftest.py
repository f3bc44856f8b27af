"""Databases for all tests: a real PostgreSQL and SQLite files, each test with its own copy of a template.

PostgreSQL is the server of INTCTL_TEST_DATABASE_URL, else one started for this run (see postgresql_server.py). If
neither is reachable, the tests fail; they are never skipped.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

from intctl.db.url import POSTGRESQL, SQLITE, Target, parse_url
from intctl.schema.engine import engine
from intctl.schema.setup import prepare
from intctl.store.organization_changes import first_organization

from .postgresql_server import running_server

if TYPE_CHECKING:
    from .agent_rig import Fleet, Host

# The same examples in every run: new ones belong to `make test-slow`, so that an unrelated commit does not fail.
settings.register_profile("commit", derandomize=True)
settings.register_profile("long", derandomize=False)
settings.load_profile("commit")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job: the programs under test inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: The one organisation of every prepared database.
ORG_ID = "0a0a0a0a-0000-4000-8000-00000000acee"
ORG_NAME, ORG_SLUG = "Acme", "acme"


def database_url(target: Target) -> str:
    """The INTCTL_DATABASE_URL with which a subprocess reaches the same database."""
    if target.dialect == SQLITE:
        return f"sqlite:///{quote(str(target.path.absolute()))}"
    rest = dict(target.parameters)
    user, password = quote(rest.pop("user", ""), safe=""), quote(rest.pop("password", ""), safe="")
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    return f"postgresql://{login}/{quote(rest.pop('dbname'), safe='')}?{urlencode(rest)}"


@pytest.fixture
def org_id() -> str:
    """The id of the organisation in every prepared database."""
    return ORG_ID


# --- SQLite --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = Target(SQLITE, path=tmp_path_factory.mktemp("sqlite") / "template.db")
    _fill(target)
    return target.path


@pytest.fixture
def sqlite_target(_sqlite_template: Path, tmp_path: Path) -> Target:
    """A prepared SQLite file for one test."""
    path = tmp_path / "database" / "intctl.db"
    path.parent.mkdir(mode=0o700)
    shutil.copy(_sqlite_template, path)
    return Target(SQLITE, path=path)


# --- PostgreSQL ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers of this run."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def postgresql_server(_shared_folder: Path) -> Target:
    """The server, by its maintenance database, as a superuser."""
    if url := os.environ.get("INTCTL_TEST_DATABASE_URL"):
        return parse_url(url, "INTCTL_TEST_DATABASE_URL")
    run_pid = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    folder = running_server(_shared_folder, run_pid)
    return Target(POSTGRESQL, parameters={"host": folder, "port": "5432", "dbname": "postgres", "user": "postgres"})


@pytest.fixture(scope="session")
def _maintenance(postgresql_server: Target) -> Iterator[psycopg.Connection]:
    with psycopg.connect(**postgresql_server.parameters, autocommit=True) as connection:  # type: ignore[arg-type]
        yield connection


@pytest.fixture(scope="session")
def _postgresql_template(postgresql_server: Target, _maintenance: psycopg.Connection, _shared_folder: Path) -> str:
    with (_shared_folder / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = _shared_folder / "template.done"
        if not done.exists():
            name = f"intctl_template_{uuid.uuid4().hex}"
            _maintenance.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
            _fill(_database(postgresql_server, name))
            done.write_text(name)
        return done.read_text()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """On an external server, drop the template when the last worker has ended."""
    url = os.environ.get("INTCTL_TEST_DATABASE_URL")
    if url is None or hasattr(session.config, "workerinput"):
        return
    done = session.config._tmp_path_factory.getbasetemp() / "template.done"  # type: ignore[attr-defined]
    if done.exists():
        server = parse_url(url, "INTCTL_TEST_DATABASE_URL")
        with psycopg.connect(**server.parameters, autocommit=True) as connection:  # type: ignore[arg-type]
            _drop(connection, done.read_text())


@pytest.fixture
def postgresql_target(
    postgresql_server: Target, _maintenance: psycopg.Connection, _postgresql_template: str
) -> Iterator[Target]:
    """A prepared PostgreSQL database for one test."""
    name = f"intctl_{uuid.uuid4().hex}"
    ours = "INTCTL_TEST_DATABASE_URL" not in os.environ  # that server does not flush to disk, so a copy is quick
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}" + (" STRATEGY file_copy" if ours else ""))
    _maintenance.execute(create.format(sql.Identifier(name), sql.Identifier(_postgresql_template)))
    yield _database(postgresql_server, name)
    _drop(_maintenance, name)


@pytest.fixture
def empty_postgresql(postgresql_server: Target, _maintenance: psycopg.Connection) -> Iterator[Target]:
    """An empty PostgreSQL database."""
    name = f"intctl_{uuid.uuid4().hex}"
    _maintenance.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    yield _database(postgresql_server, name)
    _drop(_maintenance, name)


def _database(server: Target, name: str) -> Target:
    return replace(server, parameters={**server.parameters, "dbname": name})


def _drop(connection: psycopg.Connection, name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


# --- both ----------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest) -> Target:
    """A prepared database with one organisation; the test runs on both kinds."""
    found: Target = request.getfixturevalue(f"{request.param}_target")
    return found


@pytest.fixture
def fleet(target: Target, tmp_path: Path) -> Iterator[Fleet]:
    """Integrations in a database of their own, and their agents, which end with the test."""
    from .agent_rig import Fleet

    made = Fleet(target, tmp_path / "home")
    yield made
    made.end()


@pytest.fixture
def provider() -> Iterator[Host]:
    """A provider on loopback."""
    from .agent_rig import host

    with host() as made:
        yield made


def _fill(target: Target) -> None:
    prepare(target, first_organization(ORG_NAME, ORG_SLUG))
    made = engine(target)
    with made.begin() as connection:
        connection.exec_driver_sql(f"UPDATE organizations SET id = '{ORG_ID}'")
    made.dispose()
