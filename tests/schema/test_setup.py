"""`prepare`: what it makes, what it leaves alone, what it refuses to touch."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from intctl.db.connect import HEAD, VERSION_TABLE, connect
from intctl.db.url import Target, sqlite_target
from intctl.errors import ConflictError, StoreError
from intctl.schema import setup
from intctl.schema.setup import Prepared, prepare
from intctl.store.organization_changes import first_organization

from . import describe


def _init(target: Target) -> Prepared:
    return prepare(target, first_organization("Acme", "acme"))


def _bytes(target: Target) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(target.path.parent.iterdir())}


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_0700_and_the_file_0600_whatever_the_umask(tmp_path: Path) -> None:
    """Nobody else can read the database, its log or its folders, also under umask 0."""
    target = sqlite_target(tmp_path / "a" / "b" / "intctl.db")
    before = os.umask(0)
    try:
        prepared = _init(target)
        with connect(target) as database, database.transaction():
            assert {path.name: _mode(path) for path in target.path.parent.iterdir()} == {
                "intctl.db": 0o600,
                "intctl.db-wal": 0o600,
                "intctl.db-shm": 0o600,
            }
    finally:
        os.umask(before)
    assert (prepared.created, prepared.changed, prepared.organization_created) == (True, True, True)
    assert _mode(target.path.parent) == _mode(target.path.parent.parent) == 0o700


def test_the_second_run_changes_nothing_in_the_file(tmp_path: Path) -> None:
    """Run again, init changes not one byte and says that it changed nothing."""
    target = sqlite_target(tmp_path / "intctl.db")
    first = _init(target)
    before = _bytes(target)
    second = prepare(target, first_organization("Other", "other"))
    assert _bytes(target) == before
    assert (second.created, second.upgraded_from, second.changed, second.organization_created) == (
        False,
        None,
        False,
        False,
    )
    assert second.organization == first.organization
    assert first.organization is not None
    assert (first.organization.name, first.organization.slug) == ("Acme", "acme")


def test_the_second_run_changes_nothing_in_postgresql(empty_postgresql: Target) -> None:
    """Run again, init writes no row: every row keeps the transaction that wrote it."""

    def rows() -> list[object]:
        with describe.server(empty_postgresql) as connection:
            return [
                connection.execute(f"SELECT xmin::text, ctid::text, * FROM {table}").fetchall()
                for table in ("organizations", VERSION_TABLE)
            ]

    assert _init(empty_postgresql).changed
    before, described = rows(), describe.postgresql(empty_postgresql)
    assert not _init(empty_postgresql).changed
    assert rows() == before
    assert describe.postgresql(empty_postgresql) == described


def test_a_file_that_others_could_read_is_closed(sqlite_target: Target) -> None:
    """An existing database that was made readable for others is theirs no longer."""
    sqlite_target.path.chmod(0o644)
    assert _init(sqlite_target).changed
    assert _mode(sqlite_target.path) == 0o600
    assert not _init(sqlite_target).changed


def test_a_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    """Init never closes a folder that it did not make."""
    tmp_path.chmod(0o755)
    _init(sqlite_target(tmp_path / "intctl.db"))
    assert _mode(tmp_path) == 0o755


def test_an_empty_file_is_filled(tmp_path: Path) -> None:
    """A file of 0 bytes becomes the database."""
    path = tmp_path / "intctl.db"
    path.touch(0o600)
    assert _init(sqlite_target(path)).created


def test_a_folder_a_text_and_a_pipe_are_refused(tmp_path: Path) -> None:
    """What is not a database is named as what it is, and left as it was."""
    folder, text, pipe = tmp_path / "folder", tmp_path / "text", tmp_path / "pipe"
    folder.mkdir()
    text.write_text("important notes")
    os.mkfifo(pipe)
    for path, words in ((folder, "is a folder"), (text, "is not an SQLite database"), (pipe, "not a regular file")):
        with pytest.raises(StoreError, match=words):
            _init(sqlite_target(path))
    assert text.read_text() == "important notes"
    with pytest.raises(StoreError, match="is not a folder"):
        _init(sqlite_target(text / "intctl.db"))


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """An SQLite file with somebody else's tables is not touched."""
    path = tmp_path / "places.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE integrations (id TEXT)")
    other.commit()
    other.close()
    path.chmod(0o600)
    with pytest.raises(StoreError, match="another program's database"):
        _init(sqlite_target(path))
    with sqlite3.connect(path) as again:
        assert again.execute("SELECT name FROM sqlite_master").fetchall() == [("integrations",)]
    again.close()


def test_a_folder_that_this_user_cannot_write_is_refused(tmp_path: Path) -> None:
    """A read-only folder is said in one line, for a new file and for an old one."""
    for path in (tmp_path, *tmp_path.parents[:3]):
        if path != Path("/tmp"):
            path.chmod(0o755)
    shown = tmp_path / "old.db"
    _init(sqlite_target(shown))
    shown.chmod(0o666)
    tmp_path.chmod(0o555)
    code = """if True:
        import os, sys
        from pathlib import Path
        from intctl.errors import StoreError
        from intctl.store import changes, organization_changes
        from intctl.schema import setup
        from intctl.store.organization_changes import first_organization
        from intctl.db import url
        import alembic.config, alembic.script, alembic.runtime.environment
        if os.geteuid() == 0:  # root may write everywhere
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
        for name in ("new.db", "folder/new.db", "old.db"):
            try:
                setup.prepare(url.sqlite_target(Path(sys.argv[1]) / name), first_organization("A", "a"))
            except StoreError as error:
                print(error)
    """
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    tmp_path.chmod(0o755)
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    assert "can't be written by this user" in lines[0]
    assert "may not write there" in lines[1]
    assert "can't be written by this user" in lines[2]
    assert not (tmp_path / "folder").exists()


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    """The mount that holds the folder decides, the innermost and last one; blanks in its path too."""
    mounts, folder = tmp_path / "mounts", tmp_path / "my data"
    (folder / "inner").mkdir(parents=True)
    escaped = str(folder).replace(" ", "\\040")
    mounts.write_text(
        f"server:/x {escaped} ext4 rw 0 0\nserver:/x {escaped} nfs4 rw 0 0\nnone {escaped}/inner tmpfs rw 0 0\n"
        "/dev/x / ext4 rw 0 0\n"
    )
    with pytest.raises(StoreError, match=r"network file system \(nfs4\)"):
        setup._require_local(folder, mounts)
    setup._require_local(folder / "inner", mounts)
    setup._require_local(tmp_path, mounts)
    setup._require_local(folder, tmp_path / "none")


def test_a_newer_database_is_refused(target: Target) -> None:
    """A database of a newer intctl is left alone, and the message says what to upgrade."""
    with connect(target) as database:
        database.run(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer intctl"):
        _init(target)
    with pytest.raises(StoreError, match="newer intctl"):
        connect(target)


def test_several_organisations_are_listed(target: Target, org_id: str) -> None:
    """With several organisations none is chosen, and the notice names them."""
    with connect(target) as database:
        database.run("INSERT INTO organizations (name, slug) VALUES ('Beta', 'beta')")
    prepared = _init(target)
    assert prepared.organization is None
    assert not prepared.changed
    assert "Acme" in prepared.notices[0]
    assert org_id in prepared.notices[0]
    assert "Beta" in prepared.notices[0]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_inits_at_once_both_succeed(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Four at once: one makes everything, the others find it made."""
    target: Target = sqlite_target(tmp_path / "new" / "x.db")
    if kind == "postgresql":
        target = request.getfixturevalue("empty_postgresql")
    found: list[Prepared | Exception] = []
    gate = threading.Barrier(4)

    def run() -> None:
        gate.wait()
        try:
            found.append(_init(target))
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(one.changed if isinstance(one, Prepared) else repr(one) for one in found) == [
        False,
        False,
        False,
        True,
    ]
    with connect(target) as database:
        assert len(database.rows("SELECT id FROM organizations")) == 1


def test_an_init_waits_for_another_in_the_same_folder(tmp_path: Path) -> None:
    """While one process prepares the file, another waits: SQLite itself would fail at once."""
    target, found = sqlite_target(tmp_path / "x.db"), []
    second = threading.Thread(target=lambda: found.append(_init(target).created))
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        second.start()
        second.join(0.5)
        assert second.is_alive()
        assert not target.path.exists()
    finally:
        os.close(descriptor)
    second.join(30)
    assert found == [True]


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path, empty_postgresql: Target) -> None:
    """Cut short after all migrations, neither database holds one table of ours."""
    path = tmp_path / "x.db"
    for target in (sqlite_target(path), empty_postgresql):
        with pytest.raises(ConflictError):
            prepare(target, first_organization(None, "acme"))  # type: ignore[arg-type]
    assert describe.postgresql(empty_postgresql)["tables"] == []
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()


def test_the_version_is_the_head(target: Target) -> None:
    """After init the database is at the version that connections ask for."""
    with connect(target) as database:
        assert database.rows(f"SELECT version_num FROM {VERSION_TABLE}") == [{"version_num": HEAD}]
