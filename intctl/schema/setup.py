"""`intctl init`: create or upgrade the database in one transaction; a second run changes nothing.

The transaction covers the inspection, the migrations and the organisation. Concurrent runs wait for each other (an
advisory lock on PostgreSQL, a locked folder on SQLite).
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intctl.db.connect import HEAD, VERSION_TABLE, Database, current_version, require_own_link
from intctl.db.driver_errors import translate
from intctl.db.url import POSTGRESQL, SQLITE, Target
from intctl.errors import IntctlError, StoreError
from intctl.schema.engine import engine
from intctl.schema.organization import Organization

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlmodel import Session

#: Creates the first organisation in a session.
MakeOrganization = Callable[["Session"], Organization]

# The key of the advisory lock: "intctl" in ASCII.
_ADVISORY_LOCK = 0x696E7463746C
# WAL requires memory shared between processes, which network file systems lack. Their locks are unreliable, too.
_NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "gpfs",
        "ocfs2",
        "beegfs",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.ceph",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.davfs",
        "davfs",
    }
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The result of `prepare`.

    `organization` is the only organisation, or None if there are several or the table is a portal's. `adopted` are
    (id, name) of rows without a sealed config.
    """

    created: bool
    upgraded_from: str | None
    changed: bool
    organization: Organization | None
    organization_created: bool
    adopted: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]


def prepare(target: Target, make_organization: MakeOrganization) -> Prepared:
    """Upgrade the database to this version; create the first organisation if intctl owns the table.

    Raises StoreError; then nothing was changed.
    """
    with _locked_folder(target.path) if target.dialect == SQLITE else nullcontext(False) as tightened:
        made = engine(target, patient=True)
        try:
            with made.connect() as connection, connection.begin():
                return _prepare(connection, target, make_organization, tightened)
        except Exception as error:
            ours = translate(error, target.label)
            if ours is None:
                raise
            raise ours from None
        finally:
            made.dispose()


def _prepare(connection: Connection, target: Target, make_organization: MakeOrganization, tightened: bool) -> Prepared:
    database = Database(target, connection.connection.dbapi_connection)
    if target.dialect == POSTGRESQL:
        database.run(f"SELECT pg_catalog.pg_advisory_xact_lock({_ADVISORY_LOCK})")
        database.run("SET LOCAL lock_timeout = '3s'")  # a portal in use must not queue behind this lock
    version = current_version(database)
    if version is not None and version > HEAD:
        raise StoreError(f"{target.label} was made by a newer intctl. Upgrade intctl on this machine.")
    if version != HEAD:
        if target.dialect == POSTGRESQL:
            from intctl.schema.adoption import require_adoptable

            require_adoptable(database)
        elif version is None:
            _require_empty(database)
        migrate(connection, HEAD)
    organization, organization_created, notices = _organization(connection, database, make_organization)
    return Prepared(
        created=version is None,
        upgraded_from=version if version != HEAD else None,
        changed=version != HEAD or organization_created or tightened,
        organization=organization,
        organization_created=organization_created,
        adopted=_unsealed(database),
        notices=tuple(notices),
    )


def migrate(connection: Connection, revision: str) -> None:
    """Apply Alembic's revisions up to `revision` in the connection's transaction."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(__file__).with_name("migrations")))

    def steps(current: Any, _: Any) -> Any:
        return script._upgrade_revs(revision, current)

    with EnvironmentContext(Config(), script) as environment:
        environment.configure(connection=connection, fn=steps, version_table=VERSION_TABLE)
        environment.run_migrations()


# --- the first organisation ----------------------------------------------------------------------


def organizations_are_ours(connection: Connection) -> bool:
    """Return whether intctl created the organizations table: only id, name and slug, no row-level security."""
    from sqlalchemy import inspect

    if {column["name"] for column in inspect(connection).get_columns("organizations")} != {"id", "name", "slug"}:
        return False
    if connection.dialect.name != POSTGRESQL:
        return True
    secured = connection.exec_driver_sql("SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass('organizations')")
    return not secured.scalar()


def _organization(
    connection: Connection, database: Database, make_organization: MakeOrganization
) -> tuple[Organization | None, bool, list[str]]:
    from sqlmodel import Session

    if not organizations_are_ours(connection):
        return None, False, [_portals_organizations(database)]
    if not _readable(database):
        return None, False, ["This user may not read the organizations. Name one by its id: --org ID"]
    there = database.rows("SELECT id, name, slug FROM organizations ORDER BY name LIMIT 11")
    if not there:
        with Session(connection) as session:
            return make_organization(session), True, []
    if len(there) == 1:
        return Organization(**there[0]), False, []
    return None, False, [f"There are several organisations ({_listed(there)}). Name one with --org or INTCTL_ORG."]


def _portals_organizations(database: Database) -> str:
    notice = "The organizations table belongs to another program and was not changed. Name one by its id: --org ID"
    if not _readable(database):
        return notice
    there = database.rows("SELECT id, name, slug FROM organizations ORDER BY name LIMIT 11")
    return f"{notice} (it has {_listed(there)})" if there else notice


def _readable(database: Database) -> bool:
    """Return whether this user may read id, name and slug of the organisations."""
    if database.dialect == SQLITE:
        return True
    found = database.row(
        """SELECT count(*) AS n FROM pg_attribute a
            WHERE a.attrelid = to_regclass('organizations') AND a.attname IN ('id', 'name', 'slug')
              AND NOT a.attisdropped AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')"""
    )
    return found is not None and found["n"] == 3


def _listed(rows: list[dict[str, Any]]) -> str:
    shown = ", ".join(f'"{row["name"]}" {row["id"]}' for row in rows[:10])
    return f"{shown}, …" if len(rows) > 10 else shown


def _unsealed(database: Database) -> tuple[tuple[str, str], ...]:
    if database.dialect == SQLITE:
        return ()  # an SQLite database has no rows of other programs
    rows = database.rows(
        """SELECT id, name FROM integrations
            WHERE deleted_at IS NULL
              AND NOT COALESCE(jsonb_typeof(config) = 'object' AND config ?& ARRAY['v', 'alg', 'kid', 'n', 'ct'], FALSE)
            ORDER BY name"""
    )
    return tuple((str(row["id"]), str(row["name"])) for row in rows)


# --- the SQLite file -----------------------------------------------------------------------------


@contextmanager
def _locked_folder(path: Path) -> Iterator[bool]:
    """Create the folder (0700) and the file (0600), and lock the folder against concurrent preparations.

    Yields True if an existing file was accessible to other users and no longer is.
    """
    folder = path.absolute().parent
    try:
        _make_folder(folder)
        _require_local(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # SQLite fails at once if another process is switching a new file to WAL.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield _make_file(path)
        finally:
            os.close(descriptor)
    except IntctlError:
        raise
    except NotADirectoryError:
        raise StoreError(f"{folder} is not a folder, so the database can't be made in it.") from None
    except OSError as error:
        raise StoreError(f"{path} can't be made: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    import errno

    reasons = {
        errno.EACCES: "this user may not write there. Run intctl as the user that owns it.",
        errno.EPERM: "this user may not write there. Run intctl as the user that owns it.",
        errno.EROFS: "the file system is read-only.",
        errno.ENOSPC: "the disk is full.",
        errno.EDQUOT: "this user's disk quota is used up.",
        errno.ENAMETOOLONG: "its name is too long.",
    }
    return reasons.get(error.errno or 0, f"the file system refused (error {error.errno}).")


def _make_folder(folder: Path) -> None:
    if not folder.exists():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        return
    if not folder.is_dir():
        raise NotADirectoryError


def _make_file(path: Path) -> bool:
    require_own_link(path)
    try:
        there = path.stat()
    except FileNotFoundError:
        if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
            raise StoreError(f"The folder {path.absolute().parent} can't be written by this user.") from None
        # Create the file before SQLite opens it: SQLite would make it readable by all users.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        return False
    if stat.S_ISDIR(there.st_mode):
        raise StoreError(f"{path} is a folder, not a database file.")
    if not stat.S_ISREG(there.st_mode):
        raise StoreError(f"{path} is not a regular file, so it can't be the database.")
    if there.st_size:
        with path.open("rb") as file:
            if file.read(16) != b"SQLite format 3\0":
                raise StoreError(f"{path} is not an SQLite database. It was not touched.")
    if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        # SQLite creates its log in the same folder.
        raise StoreError(f"The folder {path.absolute().parent} can't be written by this user.")
    if stat.S_IMODE(there.st_mode) & 0o077:
        path.chmod(0o600)
        return True
    return False


def _require_local(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> None:
    """Raise StoreError if the folder is on a known network file system."""
    if not mounts.exists():
        return
    place, best, kind = folder.resolve(), Path(), ""
    for line in mounts.read_text(errors="replace").splitlines():
        _, point, found, *_ = line.split(" ")
        mounted = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point))
        # A later mount hides an earlier one at the same point.
        if place.is_relative_to(mounted) and len(mounted.parts) >= len(best.parts):
            best, kind = mounted, found
    if kind in _NETWORK:
        raise StoreError(f"{folder} is on a network file system ({kind}): SQLite can't work there. Use PostgreSQL.")


def _require_empty(database: Database) -> None:
    found = database.row("SELECT name FROM sqlite_master ORDER BY name")
    if found:
        raise StoreError(f"{database.target.label} is another program's database. It was not touched.")
