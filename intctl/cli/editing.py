"""The three sources of an edit: a file, options, $EDITOR."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intctl.cli.context import Context
from intctl.errors import ManifestError, UsageError
from intctl.health.status import is_enabled
from intctl.text import Secret, clean

if TYPE_CHECKING:
    from intctl.manifest import Manifest, StoredConfig
    from intctl.plan import Runtime
    from intctl.providers.base import Provider
    from intctl.store.configs import SealedConfig
from intctl.cli.manifests import Access, load

#: The size limit of a key on standard input, in bytes.
_MAX_KEY = 64 * 1024


def provider_of(sealed: SealedConfig) -> Provider:
    """The provider of an integration. Raises UsageError if this version does not know it."""
    from intctl.providers import catalogue

    provider = catalogue.get(sealed.provider)
    if provider is None:
        raise UsageError(f'This version of intctl does not know the provider "{sealed.provider}". Upgrade intctl.')
    return provider


def stored_config(runtime: Runtime, sealed: SealedConfig, provider: Provider) -> StoredConfig:
    """Open the stored config, secrets wrapped. Raises SealError if it cannot be opened."""
    from intctl.manifest import StoredConfig
    from intctl.vault import open_config

    return StoredConfig(provider, open_config(runtime.keyring, sealed, provider))


def from_file(
    context: Context,
    runtime: Runtime,
    sealed: SealedConfig,
    provider: Provider,
    file: str,
    assignments: Sequence[str],
    access: Access,
) -> Manifest:
    """Load the file's manifest. A stored config that cannot be opened is replaced."""
    from intctl.errors import SealError
    from intctl.manifest import StoredConfig

    try:
        stored = stored_config(runtime, sealed, provider)
    except SealError:
        stored = StoredConfig(provider, {})
    return load(context, [file], assignments, access, stored=stored)[0]


def revised(context: Context, stored: StoredConfig, assignments: Sequence[str], fields: Sequence[str]) -> Manifest:
    """Change fields of the stored manifest; prompts for the secrets if the destination changes."""
    from intctl import manifest
    from intctl.text import nearest

    known = tuple(sorted(stored.provider.secrets))
    for field in fields:
        if field not in known:
            has = ", ".join(known)
            raise UsageError(
                f"--secret: {clean(field, 40)!r} is not a secret field{nearest(field, known)} (secret fields: {has})"
            )
    given = _entered(context, stored.provider, fields)
    try:
        revised = manifest.revise(stored, environ=context.environ, assignments=assignments, secrets=given)
    except manifest.SecretsNeeded as needed:
        changed = "Changing the destination requires re-entering the secrets"
        if not sys.stdin.isatty():
            options = " ".join(f"--secret {field}" for field in sorted(needed.fields))
            raise UsageError(f"{changed}: add {options}. Nothing was sent or saved.") from None
        context.say(f"{changed}.")
        given.update(_entered(context, stored.provider, sorted(needed.fields)))
        revised = manifest.revise(stored, environ=context.environ, assignments=assignments, secrets=given)
    for warning in revised.warnings:
        context.warn(warning)
    return revised.items[0]


def _entered(context: Context, provider: Provider, names: Sequence[str]) -> dict[str, Secret]:
    """Read the secrets in this order: prompted for, or from standard input, a line for each."""
    fields = {field.name: field for field in provider.fields}
    given = {}
    for name in names:
        if fields[name].kind != "pem":
            given[name] = Secret(context.secret(name))
        elif sys.stdin.isatty():
            given[name] = Secret(_from_path(context, name))
        else:
            given[name] = Secret(_block(name, is_last=name == names[-1]))
    return given


def _from_path(context: Context, name: str) -> str:
    """Prompt for the file of a key: its lines cannot be typed at one prompt."""
    from intctl.errors import Problem
    from intctl.manifest.references import ValueSources, from_file
    from intctl.manifest.values import Wrong

    path: str = click.prompt(f"New {name} (path of a PEM file)", err=True)
    try:
        content, warning = from_file(path, Path(), ValueSources({}, context.forbidden_files), secret=True)
    except Wrong as wrong:
        raise ManifestError([Problem("--secret", 0, 0, f"{name}: {wrong}", (name,))]) from None
    if warning:
        context.warn_once(warning)
    return content


def _block(name: str, *, is_last: bool) -> str:
    """Read a key from standard input: the rest of it for the last secret, else up to the line that ends a PEM block."""
    data = b""
    while len(data) <= _MAX_KEY and (line := sys.stdin.buffer.readline(_MAX_KEY + 1)):
        data += line
        if not is_last and (b"-----BEGIN" not in data or b"-----END" in line):
            break
    try:
        text = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise UsageError(f"{name}: standard input is not UTF-8 text. Nothing was changed.") from None
    if not text.strip():
        raise UsageError(f"No {name} was given on standard input. Nothing was changed.")
    return text


def from_editor(
    context: Context, runtime: Runtime, sealed: SealedConfig, provider: Provider, access: Access
) -> Manifest | None:
    """Open the manifest in an editor and load the result; None if it is unchanged."""
    import tempfile

    from intctl import manifest

    if not sys.stdin.isatty():
        raise UsageError("There is no terminal for an editor. Use -f FILE, --set KEY=VALUE or --secret FIELD.")
    stored = stored_config(runtime, sealed, provider)
    before = manifest.dump(
        name=sealed.name,
        provider=provider,
        config=stored.config,
        interval=sealed.health_check_interval_minutes,
        enabled=is_enabled(sealed.status),
        secrets="keep",
    )
    with tempfile.TemporaryDirectory(prefix="intctl-") as folder:
        path = Path(folder) / "integration.yaml"
        path.write_text(before, "utf-8")
        while True:
            _open_editor(context, path)
            if path.read_text("utf-8", errors="replace") == before:
                return None
            try:
                return load(context, [str(path)], [], access, stored=stored)[0]
            except ManifestError as error:
                for problem in error.problems:
                    context.say(str(problem).replace(str(path), "the text"))
                if not click.confirm("Edit it again?", default=True, err=True):
                    raise


def _open_editor(context: Context, path: Path) -> None:
    """Run $VISUAL or $EDITOR and wait for it. Its environment contains no variable that may be a secret."""
    import shlex
    import subprocess

    wanted = (
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "TERM",
        "COLORTERM",
        "LANG",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "TMPDIR",
    )
    environ = {key: value for key, value in context.environ.items() if key in wanted or key.startswith(("LC_", "XDG_"))}
    editor = context.environ.get("VISUAL") or context.environ.get("EDITOR") or "vi"
    try:
        code = subprocess.run([*shlex.split(editor), str(path)], env=environ, check=False).returncode  # noqa: S603 - the user's own editor
    except (OSError, ValueError):
        raise UsageError(f"The editor {clean(editor, 60)!r} can't be started. Set EDITOR.") from None
    if code != 0:
        raise UsageError(f"The editor exited with code {code}. Nothing was changed.")
