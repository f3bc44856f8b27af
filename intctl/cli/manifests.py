"""Manifests from files, folders and standard input."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from intctl.cli.context import Context
from intctl.errors import ManifestError, Problem, UsageError
from intctl.text import Secret, clean

if TYPE_CHECKING:
    from intctl.manifest import Manifest, StoredConfig


#: One byte above the size limit of a manifest, so that a longer one is detected.
_STDIN_LIMIT = 1024 * 1024 + 1


def load(
    context: Context,
    files: Sequence[str],
    assignments: Sequence[str],
    allow_inline_secrets: bool,
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
            data = sys.stdin.buffer.read(_STDIN_LIMIT) if file == "-" else manifest.read_file(Path(file))
            loaded = manifest.load(
                data,
                file="<stdin>" if file == "-" else file,
                sources=manifest.ValueSources(context.environ, context.forbidden_files, allow_inline_secrets),
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
            context.warn(warning)
    if not problems and len(files) > 1:
        problems += manifest.same_names(found)
    if problems:
        raise ManifestError(problems)
    return found


def files_of(paths: Sequence[str]) -> list[str]:
    """Replace each folder among the paths by the YAML files in it."""
    found = []
    for path in paths:
        if not path:
            raise UsageError("A path is empty (an unset variable?). Nothing was read.")
        if path == "-" or not Path(path).is_dir():
            found.append(path)
            continue
        inside = sorted(str(entry) for entry in Path(path).iterdir() if entry.suffix in (".yaml", ".yml", ".json"))
        if not inside:
            raise UsageError(f"There is no .yaml file in {clean(path)}")
        found += inside
    return found
