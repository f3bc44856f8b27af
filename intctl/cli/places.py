"""Where things are: the data folder, files with secrets that options name, and all places that hold a secret."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from intctl.errors import UsageError

if TYPE_CHECKING:
    from intctl.db.url import Target

#: Variables that name a file or folder with secrets of intctl or of its database connection.
_OWN_VARIABLES = (
    "INTCTL_KEYRING_FILE",
    "CREDENTIALS_DIRECTORY",
    "PGPASSFILE",
    "PGSERVICEFILE",
    "PGSYSCONFDIR",
    "PGSSLKEY",
)
#: Parameters of a database URL that do the same.
_OWN_PARAMETERS = ("passfile", "sslkey", "sslpassword", "servicefile")
#: Files and folders of the operator: libpq's defaults, those that docs/systemd.md names, and systemd's credentials.
_OWN_FILES = (
    "~/.pgpass",
    "~/.pg_service.conf",
    "~/.postgresql",
    "/etc/intctl/environment",
    "/etc/intctl/database.url",
    "/etc/intctl/keyring.json",
    "/etc/intctl/ping.url",
    "/run/credentials",
    "/etc/credstore",
    "/etc/credstore.encrypted",
)


def data_folder(environ: Mapping[str, str]) -> Path:
    """Return INTCTL_HOME, else the platform's user data folder. Raises UsageError if there is none."""
    if chosen := environ.get("INTCTL_HOME"):
        try:
            return Path(chosen).absolute()
        except FileNotFoundError:
            raise UsageError(
                "INTCTL_HOME is a relative path, and the current folder was deleted. Set INTCTL_HOME to an absolute "
                "path."
            ) from None
    from platformdirs import user_data_path

    try:
        return user_data_path("intctl")
    except RuntimeError:  # no HOME, and no entry in the user database
        raise UsageError(
            "This user has no home folder, so there is no place for the data of intctl. Set INTCTL_HOME to a folder, "
            "such as /var/lib/intctl."
        ) from None


def read_secret(path: Path, option: str, warn: Callable[[str], None]) -> str:
    """Read a file that an option names and that holds a secret. Raises UsageError if others can change it."""
    from intctl import trust

    try:
        facts = path.stat()
        text = path.read_text("utf-8") if stat.S_ISREG(facts.st_mode) and facts.st_size < 65536 else None
    except (OSError, UnicodeDecodeError):
        text = None
    if text is None:
        raise UsageError(f"{option}: {path} is not a readable text file below 64 KiB.")
    if trust.is_writable(facts, str(path)):
        raise UsageError(f"{option}: {path}: {trust.writable(str(path), facts)}")
    if warning := trust.secret_warning(str(path), facts, str(path)):
        warn(warning)
    return text


def own_files(environ: Mapping[str, str], database: Target | None) -> list[Path]:
    """Return the files and folders that hold secrets of intctl or of its database: no manifest may refer to them."""
    from intctl.db.url import SQLITE

    named: list[str | None] = [environ.get(name) for name in _OWN_VARIABLES]
    if database is not None:
        named += [database.parameters.get(name) for name in _OWN_PARAMETERS]
        if database.dialect == SQLITE:
            named += [f"{database.path}{suffix}" for suffix in ("", "-wal", "-shm", "-journal")]
    own = [Path(place) for place in named if place]
    for place in _OWN_FILES:
        with contextlib.suppress(RuntimeError):  # a user without a home folder
            own.append(Path(place).expanduser())
    with contextlib.suppress(UsageError):  # a manifest can be tested without a data folder
        own.append(data_folder(environ))
    return own
