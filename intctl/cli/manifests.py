"""Manifests from files, folders and standard input."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from intctl.cli.context import Context
from intctl.errors import ManifestError, Problem, UsageError
from intctl.text import Secret, clean

if TYPE_CHECKING:
    from intctl.manifest import Manifest, StoredConfig, ValueSources

F = TypeVar("F", bound=Callable[..., Any])

#: One byte above the size limit of a manifest, so that a longer one is detected.
_STDIN_LIMIT = 1024 * 1024 + 1
#: The ends of the names of manifests. A subfolder with only .json files may be one of keys: it is not reported.
_ENDINGS = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Access:
    """The options that say which secrets a manifest may contain or refer to."""

    allow_inline_secrets: bool
    allow_env: str | None
    files_below: str | None

    @property
    def is_given(self) -> bool:
        """Whether any of the options was given."""
        return self.allow_inline_secrets or self.allow_env is not None or self.files_below is not None

    def sources(self, context: Context) -> ValueSources:
        """The sources of the manifest's values. Raises UsageError."""
        from intctl import manifest

        below = None if self.files_below is None else Path(self.files_below)
        if below is not None and not below.is_dir():
            raise UsageError(f"--files-below: {clean(below)} is not a folder.")
        names = None if self.allow_env is None else frozenset(name.strip() for name in self.allow_env.split(","))
        return manifest.ValueSources(context.environ, context.forbidden_files, self.allow_inline_secrets, names, below)


def access_options(function: F) -> F:
    """Add the options of `Access`."""
    for option in (
        click.option(
            "--files-below", metavar="DIR", help="Allow {file: …} only for files in DIR, wherever links lead."
        ),
        click.option("--allow-env", metavar="NAMES", help="Allow {env: …} only for these variables: A,B."),
        click.option(
            "--allow-inline-secrets", is_flag=True, help="Allow plaintext secrets in the file (prints a warning)."
        ),
    ):
        function = option(function)
    return function


def load(
    context: Context,
    files: Sequence[str],
    assignments: Sequence[str],
    access: Access,
    *,
    stored: StoredConfig | None = None,
    secrets: Mapping[str, Secret] | None = None,
    partial: bool = False,
) -> list[Manifest]:
    """Load the manifests of all files. Raises ManifestError with the problems of all of them."""
    from intctl import manifest

    found: list[Manifest] = []
    problems: list[Problem] = []
    for file in files:
        try:
            data = sys.stdin.buffer.read(_STDIN_LIMIT) if file == "-" else _read(context, Path(file))
            loaded = manifest.load(
                data,
                file="<stdin>" if file == "-" else file,
                sources=access.sources(context),
                overrides=manifest.Overrides(tuple(assignments), secrets or {}),
                stored=stored,
                partial=partial,
            )
        except manifest.SecretsNeeded:
            raise
        except ManifestError as error:
            problems += error.problems
            continue
        found += loaded.items
        for warning in loaded.warnings:
            context.warn_once(warning)
    if not problems and len(files) > 1:
        problems += manifest.same_names(found)
    if problems:
        raise ManifestError(problems)
    return found


def _read(context: Context, path: Path) -> bytes:
    """Read a manifest, and warn if all users can change it."""
    from intctl import manifest, trust

    data = manifest.read_file(path)
    found = path.stat()
    if stat.S_ISREG(found.st_mode) and found.st_mode & stat.S_IWOTH and trust.is_writable(found, str(path)):
        context.warn(f"{clean(path)}: {trust.writable(str(path), found)}")
    return data


def files_of(context: Context, paths: Sequence[str]) -> list[str]:
    """Replace each folder among the paths by the manifests in it: its files that end in .yaml, .yml or .json.

    Hidden files are left out, because editors and archives keep copies and locks under such names. Warns of a
    subfolder with manifests, which is not read. Raises UsageError for a folder without manifests.
    """
    found = []
    for path in paths:
        if not path:
            raise UsageError("A path is empty (an unset variable?). Nothing was read.")
        if path == "-" or not Path(path).is_dir():
            found.append(path)
            continue
        inside, below = _inside(Path(path))
        more = " ".join(f"-f {shlex.quote(clean(folder))}" for folder in below)
        if not inside:
            hint = f", and its subfolders are not read. Name them: {more}" if below else ""
            raise UsageError(f"There is no .yaml file in {clean(path)}{hint}")
        if below:
            context.warn(f"{clean(path)}: its subfolders are not read. To read them too, add: {more}")
        found += inside
    return found


def _inside(folder: Path) -> tuple[list[str], list[Path]]:
    """The manifests in a folder, and its subfolders that have some."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        raise UsageError(f"The folder {clean(folder)} cannot be read by this user. Nothing was read.") from None
    files = [str(entry) for entry in entries if entry.suffix.lower() in _ENDINGS and not entry.is_dir()]
    return files, [entry for entry in entries if entry.is_dir() and _has_manifests(entry)]


def _has_manifests(folder: Path) -> bool:
    for _, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        if any(not name.startswith(".") and Path(name).suffix.lower() in _ENDINGS[:2] for name in names):
            return True
    return False
