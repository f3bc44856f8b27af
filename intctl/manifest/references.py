"""Read the files and variables that a manifest refers to, and the manifest file itself. Nothing here blocks.

A manifest may come from another person, and its secrets are sent to the host that it names. So no reference reaches
a secret of intctl itself: its variables, its files, or any text that holds a key of a keyring.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from intctl import trust
from intctl.errors import ManifestError, Problem
from intctl.keyring import OWN_VARIABLES, holds_key
from intctl.manifest.tree import MAX_BYTES
from intctl.manifest.values import Wrong, located
from intctl.text import clean

MAX_SECRET_BYTES = 64 * 1024
# Their values may have the proxy's password.
_PROXIES = ("https_proxy", "http_proxy", "all_proxy")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
#: File systems in which the kernel shows processes, with their environment and open files.
_KERNEL = ("/proc", "/sys")
#: Paths of standard input and of a shell's process substitution: pipes that another process is writing to.
_STREAMS = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")


@dataclass(frozen=True, slots=True)
class ValueSources:
    """The sources of a manifest's values.

    `!env` reads `environ`, only the variables of `allow_env` if that is given. `!file` reads any file except those that
    are, or are in, the `forbidden` ones; only files in `files_below` if that is given, wherever links lead. Plaintext
    secrets in the manifest require `allow_inline_secrets`.
    """

    environ: Mapping[str, str] = field(repr=False)
    forbidden: tuple[Path, ...] = ()
    allow_inline_secrets: bool = False
    allow_env: frozenset[str] | None = None
    files_below: Path | None = None


def read_file(path: Path) -> bytes:
    """Read a manifest: a regular file, or a pipe given as /dev/stdin or `<(command)`.

    Raises ManifestError for any other kind of file, and above 1 MiB.
    """
    try:
        return _read(path, MAX_BYTES, "1 MiB", stream=str(path).startswith(_STREAMS))[0]
    except Wrong as wrong:
        raise ManifestError([Problem(clean(path), 0, 0, str(wrong))]) from None


def from_environment(name: str, sources: ValueSources) -> str:
    """Return the value of a variable. Raises Wrong if it is not allowed, unset or empty."""
    environ = sources.environ
    if not _VARIABLE.fullmatch(name):
        raise Wrong("env requires the name of an environment variable")
    if name.startswith(OWN_VARIABLES) or name.lower() in _PROXIES:
        raise Wrong(f"environment variable {name} belongs to intctl or to its database connection: use another name")
    if sources.allow_env is not None and name not in sources.allow_env:
        raise Wrong(f"environment variable {name} is not in --allow-env")
    if name not in environ:
        raise Wrong(f"environment variable {name} is not set")
    if not environ[name].strip():
        raise Wrong(f"environment variable {name} is empty")
    return _not_a_key(environ[name], f"environment variable {name}")


def _not_a_key(text: str, place: str) -> str:
    if holds_key(text):
        raise Wrong(f"{place} holds a key of intctl's own keyring")
    return text


def from_file(text: str, folder: Path, sources: ValueSources, *, secret: bool) -> tuple[str, str]:
    """Return the text of a file, without its final newline, and a warning or "".

    Raises Wrong, also for a `secret` that other users can change.
    """
    if not text.strip() or "\0" in text:
        raise Wrong("file requires the path of a file")
    path = located(folder, text)
    shown = clean(path, 200)
    real = Path(os.path.realpath(path))
    try:
        if sources.files_below is not None and not real.is_relative_to(os.path.realpath(sources.files_below)):
            raise Wrong("it is not in the folder of --files-below")
        data, found = _read(real, MAX_SECRET_BYTES, "64 KiB")
        if any(_is_device(found, place) for place in _KERNEL):
            raise Wrong("files of the kernel are not read")
        if any(_belongs_to(real, found, other) for other in sources.forbidden):
            raise Wrong("this place is reserved for intctl's own keyring or database")
    except Wrong as wrong:
        raise Wrong(f"{shown}: {wrong}") from None
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Wrong(f"{shown}: not UTF-8 text") from None
    content = content.removesuffix("\n").removesuffix("\r")
    if not content.strip():
        raise Wrong(f"{shown}: is empty")
    _not_a_key(content, shown)
    if not secret:
        return content, ""
    if trust.is_writable(found, str(real)):
        raise Wrong(f"{shown}: {trust.writable(str(path), found)}")
    return content, trust.secret_warning(str(path), found, str(real))


def _belongs_to(real: Path, found: os.stat_result, other: Path) -> bool:
    """Whether a file is `other`, is in the folder `other`, or is a hard link to a file there."""
    try:
        place = other.stat()
        if os.path.samestat(found, place):
            return True
        if not stat.S_ISDIR(place.st_mode):
            return False
        if real.is_relative_to(os.path.realpath(other)):
            return True
        return found.st_nlink > 1 and any(
            _same(found, Path(top) / name) for top, _, of in os.walk(other) for name in of
        )
    except OSError:
        return False


def _same(found: os.stat_result, other: Path) -> bool:
    try:
        return os.path.samestat(found, other.stat())
    except OSError:
        return False


def _is_device(found: os.stat_result, place: str) -> bool:
    try:
        return found.st_dev == Path(place).stat().st_dev
    except OSError:
        return False


def _read(path: Path, limit: int, limit_name: str, *, stream: bool = False) -> tuple[bytes, os.stat_result]:
    try:
        # Non-blocking, so that a FIFO without a writer is refused instead of waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        raise Wrong("its link leads to no file" if path.is_symlink() else "there is no such file") from None
    except PermissionError:
        raise Wrong("this user may not read it") from None
    except (OSError, ValueError):
        raise Wrong("it can't be opened") from None
    try:
        found = os.fstat(handle)
        if stream and stat.S_ISFIFO(found.st_mode):
            os.set_blocking(handle, True)
        elif not stat.S_ISREG(found.st_mode):
            raise Wrong("it is a folder" if stat.S_ISDIR(found.st_mode) else "it is not a regular file")
        data = b""
        while len(data) <= limit and (part := os.read(handle, limit + 1 - len(data))):
            data += part
    except OSError:
        raise Wrong("it can't be read") from None
    finally:
        os.close(handle)
    if len(data) > limit:
        raise Wrong(f"it is larger than {limit_name}")
    return data, found
