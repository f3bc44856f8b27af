"""add, edit, apply: from a manifest to a tested, sealed, stored integration."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intctl.cli.context import Context, command, output_option, pass_context, timeout_option
from intctl.cli.probe import make_runtime, progress
from intctl.errors import EXIT_NOT_HEALTHY, EXIT_OK, ConflictError, ManifestError, Problem, UsageError
from intctl.health.status import is_enabled
from intctl.text import Secret, clean

if TYPE_CHECKING:
    from intctl.manifest import Manifest, StoredConfig
    from intctl.plan import Change, Runtime
    from intctl.providers.base import Provider

Row = dict[str, Any]

CHANGE_KEYS = ("name", "id", "provider", "action", "changed", "verdict", "code", "message", "response_time_ms")

#: One byte more than a manifest may have, so that a longer one is seen to be too long.
_STDIN_LIMIT = 1024 * 1024 + 1

_set_option = click.option(
    "--set", "assignments", metavar="KEY=VALUE", multiple=True, help="Override what is not secret; for one integration."
)
_inline_option = click.option(
    "--allow-inline-secrets", is_flag=True, help="Take secrets that stand in the file, with a warning."
)
_no_test_option = click.option("--no-test", is_flag=True, help="Save without testing the connection.")


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
    """The manifests of all files, with every problem of all of them at once."""
    from intctl import manifest

    found: list[Manifest] = []
    problems: list[Problem] = []
    for file in files:
        try:
            data = sys.stdin.buffer.read(_STDIN_LIMIT) if file == "-" else manifest.read_file(Path(file))
            loaded = manifest.load(
                data,
                file="<stdin>" if file == "-" else file,
                environ=context.environ,
                allow_inline_secrets=allow_inline_secrets,
                assignments=assignments,
                secrets=secrets,
                forbidden=context.forbidden_files,
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


# --- add -----------------------------------------------------------------------------------------


@command()
@click.argument("kind")
@click.option("-f", "--file", "file", metavar="FILE", help="The manifest, - for standard input.")
@_set_option
@_inline_option
@_no_test_option
@timeout_option
@output_option
@pass_context
def add(
    context: Context,
    kind: str,
    file: str | None,
    assignments: tuple[str, ...],
    allow_inline_secrets: bool,
    no_test: bool,
    deadline_s: float,
    style: str,
) -> int:
    """Add an integration of KIND from a YAML file, after a test of its connection.

    KIND is a provider (sendgrid), a type (email), or smtp or oauth for any provider that speaks
    it; the file must agree. A failed test saves nothing and exits 1.

    Without -f, the fields are asked for on the terminal, secrets hidden.
    """
    from intctl import plan
    from intctl.providers import catalogue

    if file is None and (assignments or not sys.stdin.isatty()):
        why = "--set goes with a file" if assignments else "there is no terminal to ask on"
        raise UsageError(f"-f FILE is needed: {why}. A file to fill in: intctl providers template PROVIDER")
    if kind not in catalogue.kinds():
        from intctl.text import nearest

        raise UsageError(f'There is no kind "{clean(kind, 40)}"{nearest(kind, catalogue.kinds())}')
    manifests = [_asked(context, kind)] if file is None else load(context, [file], assignments, allow_inline_secrets)
    wrong = [one for one in manifests if not catalogue.accepts(kind, one.provider, one.type)]
    if wrong:
        problems = [
            Problem(
                one.file, one.line, 1, f"the provider {one.provider.name} is not of the kind {kind} that add was given"
            )
            for one in wrong
        ]
        raise ManifestError(problems)
    runtime = make_runtime(context, deadline_s)
    changes = plan.diff(runtime.database, runtime.keyring, runtime.org_id, manifests)
    taken = [change.name for change in changes if change.action != "create"]
    if taken:
        raise ConflictError(
            f'There is already an integration named "{clean(taken[0])}". Change it with intctl edit or apply.'
        )
    return _carry_out(context, runtime, changes, style, no_test=no_test)


def _asked(context: Context, kind: str) -> Manifest:
    """What a person answers. Nobody is asked anything before database and keyring are known to be there."""
    from intctl.cli.ask import ask
    from intctl.store import reads

    context.keyring()
    return ask(context, kind, [row["name"] for row in reads.sealed(context.database(), context.org_id())])


# --- apply ---------------------------------------------------------------------------------------


@command()
@click.option("-f", "--file", "paths", metavar="PATH", multiple=True, help="A file, a folder, or - ; repeatable.")
@click.argument("more", nargs=-1, metavar="[PATH]...")
@_set_option
@_inline_option
@_no_test_option
@click.option("--keep-going", is_flag=True, help="Save those that pass even when others fail.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done; tests nothing.")
@timeout_option
@output_option
@pass_context
def apply(
    context: Context,
    paths: tuple[str, ...],
    more: tuple[str, ...],
    assignments: tuple[str, ...],
    allow_inline_secrets: bool,
    no_test: bool,
    keep_going: bool,
    dry_run: bool,
    deadline_s: float,
    style: str,
) -> int:
    """Make the integrations what the files say: create, update, leave the rest.

    Everything new or changed is tested first and saved in one transaction; applied twice, the
    second time changes nothing.
    """
    from intctl import plan

    wanted = [*paths, *more]
    if not wanted:
        raise UsageError("Name at least one file or folder: intctl apply -f PATH")
    if wanted.count("-") > 1:
        raise UsageError("Standard input can be read only once.")
    manifests = load(context, _files(wanted), assignments, allow_inline_secrets, partial=True)
    runtime = make_runtime(context, deadline_s)
    changes = plan.diff(runtime.database, runtime.keyring, runtime.org_id, manifests)
    if dry_run:
        return _report(context, changes, style, saved=None)
    return _carry_out(context, runtime, changes, style, no_test=no_test, keep_going=keep_going)


def _files(paths: Sequence[str]) -> list[str]:
    """The paths, with each folder as the YAML files in it."""
    found = []
    for path in paths:
        if not path:
            raise UsageError("A path is empty: an unset variable? Nothing was read.")
        if path == "-" or not Path(path).is_dir():
            found.append(path)
            continue
        inside = sorted(str(entry) for entry in Path(path).iterdir() if entry.suffix in (".yaml", ".yml", ".json"))
        if not inside:
            raise UsageError(f"There is no .yaml file in {clean(path)}")
        found += inside
    return found


# --- edit ----------------------------------------------------------------------------------------


@command()
@click.argument("name")
@click.option("-f", "--file", "file", metavar="FILE", help="The new manifest, - for standard input.")
@_set_option
@click.option(
    "--secret", "secrets", metavar="FIELD", multiple=True, help="Give this secret anew: asked, or read from stdin."
)
@_inline_option
@_no_test_option
@timeout_option
@output_option
@pass_context
def edit(
    context: Context,
    name: str,
    file: str | None,
    assignments: tuple[str, ...],
    secrets: tuple[str, ...],
    allow_inline_secrets: bool,
    no_test: bool,
    deadline_s: float,
    style: str,
) -> int:
    """Change the integration NAME, tested before it is saved.

    With -f its config is replaced by the file's. With --set and --secret single fields change.
    Without any of them, $EDITOR opens the manifest, with !keep for secrets left as they are.
    A change of where the secrets go asks for them again.
    """
    from intctl import plan
    from intctl.store import reads

    if file is not None and secrets:
        raise UsageError("--secret goes with --set or alone; with -f, the file says where its secrets are.")
    row = reads.find(context.database(), context.org_id(), name)
    runtime = make_runtime(context, deadline_s)
    sealed = reads.sealed(runtime.database, runtime.org_id, id=row["id"])[0]
    provider = _provider(sealed)
    if file is not None:
        manifest = _from_file(context, runtime, sealed, provider, file, assignments, allow_inline_secrets)
    elif assignments or secrets:
        manifest = _revised(context, _stored(runtime, sealed, provider), assignments, secrets)
    else:
        edited = _in_editor(context, runtime, sealed, provider)
        if edited is None:
            context.out(f"{clean(row['name'])}: nothing was changed.\n")
            return EXIT_OK
        manifest = edited
    change = plan.compare(runtime.keyring, manifest, sealed, replace_lost=file is not None)
    return _carry_out(context, runtime, [change], style, no_test=no_test)


def _provider(row: Row) -> Provider:
    from intctl.providers import catalogue

    provider = catalogue.get(row["provider"])
    if provider is None:
        raise UsageError(f'This version of intctl does not know the provider "{row["provider"]}". Upgrade intctl.')
    return provider


def _stored(runtime: Runtime, row: Row, provider: Provider) -> StoredConfig:
    """The config as it is now, secrets wrapped. Raises SealError when it does not open."""
    from intctl.manifest import StoredConfig
    from intctl.vault import open_config

    return StoredConfig(provider, open_config(runtime.keyring, row, provider))


def _from_file(
    context: Context,
    runtime: Runtime,
    row: Row,
    provider: Provider,
    file: str,
    assignments: Sequence[str],
    allow_inline_secrets: bool,
) -> Manifest:
    """The file's manifest. A stored config that does not open is in nobody's way: it is replaced."""
    from intctl.errors import SealError
    from intctl.manifest import StoredConfig

    try:
        stored = _stored(runtime, row, provider)
    except SealError:
        stored = StoredConfig(provider, {})
    return load(context, [file], assignments, allow_inline_secrets, stored=stored)[0]


def _revised(context: Context, stored: StoredConfig, assignments: Sequence[str], fields: Sequence[str]) -> Manifest:
    """The stored manifest with some fields changed; asks for the secrets that a new destination needs."""
    from intctl import manifest
    from intctl.text import nearest

    known = tuple(sorted(stored.provider.secrets))
    for field in fields:
        if field not in known:
            has = ", ".join(known)
            raise UsageError(
                f"--secret: {clean(field, 40)!r} is not a secret field{nearest(field, known)} (there are: {has})"
            )
    given = {field: Secret(context.secret(field)) for field in fields}
    try:
        revised = manifest.revise(stored, environ=context.environ, assignments=assignments, secrets=given)
    except manifest.SecretsNeeded as needed:
        changed = "That changes where the secrets go, so they must be given again"
        if not sys.stdin.isatty():
            options = " ".join(f"--secret {field}" for field in sorted(needed.fields))
            raise UsageError(f"{changed}: add {options}. Nothing was sent or saved.") from None
        context.say(f"{changed}.")
        given.update({field: Secret(context.secret(field)) for field in sorted(needed.fields)})
        revised = manifest.revise(stored, environ=context.environ, assignments=assignments, secrets=given)
    for warning in revised.warnings:
        context.warn(warning)
    return revised.items[0]


def _in_editor(context: Context, runtime: Runtime, row: Row, provider: Provider) -> Manifest | None:
    """What the person left in the editor; None when it is as it was."""
    import tempfile

    from intctl import manifest

    if not sys.stdin.isatty():
        raise UsageError("There is no terminal to edit on. Use -f FILE, --set KEY=VALUE or --secret FIELD.")
    stored = _stored(runtime, row, provider)
    before = manifest.dump(
        name=row["name"],
        provider=provider,
        config=stored.config,
        interval=row["health_check_interval_minutes"],
        enabled=is_enabled(row["status"]),
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
                return load(context, [str(path)], [], False, stored=stored)[0]
            except ManifestError as error:
                context.say(str(error).replace(str(path), "the text"))
                if not click.confirm("Edit it again?", default=True, err=True):
                    raise


def _open_editor(context: Context, path: Path) -> None:
    """Waits for $VISUAL or $EDITOR. It is given what it needs to show itself, and nothing that may be a secret."""
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
        code = subprocess.run([*shlex.split(editor), str(path)], env=environ, check=False).returncode  # noqa: S603 - the person's own editor
    except (OSError, ValueError):
        raise UsageError(f"The editor {clean(editor, 60)!r} can't be started. Set EDITOR.") from None
    if code != 0:
        raise UsageError(f"The editor ended with code {code}. Nothing was changed.")


# --- test, save, say -----------------------------------------------------------------------------


def _carry_out(
    context: Context,
    runtime: Runtime,
    changes: Sequence[Change],
    style: str,
    *,
    no_test: bool,
    keep_going: bool = False,
) -> int:
    from intctl import plan

    wanting = [change for change in changes if change.wants_test]
    try:
        if no_test:
            if wanting:
                context.say(f"Not tested (--no-test): {', '.join(clean(change.name) for change in wanting)}")
        else:
            with progress(len(wanting), "Testing") as step:
                runtime.progress = step
                plan.test(runtime, changes)
        failed = [change for change in changes if not plan.savable(change)]
        saved = [change for change in changes if change not in failed] if keep_going or not failed else []
        plan.save(runtime, saved)
    finally:
        plan.withdraw(runtime, changes)
    return _report(context, changes, style, saved=saved)


def _report(context: Context, changes: Sequence[Change], style: str, *, saved: Sequence[Change] | None) -> int:
    """Says what was done; `saved` is None for a dry run."""
    from intctl.render.rows import Column

    rows = [_row(change, saved) for change in changes]
    _notices(context, changes, saved)
    if style != "table":
        context.rows(rows, [], CHANGE_KEYS, style)
    elif len(rows) == 1 and saved is not None:
        context.out(_line(rows[0]) if rows[0]["action"] != "failed" else "")
    else:
        columns = [
            Column("Integration", lambda row: row["name"]),
            Column("Provider", lambda row: row["provider"]),
            Column("Action", lambda row: row["action"]),
            Column("Changed", lambda row: ", ".join(row["changed"])),
            Column("Verdict", lambda row: row["verdict"] or "-"),
        ]
        context.rows(rows, columns, CHANGE_KEYS, style)
        context.out(_totals(rows, dry_run=saved is None))
    return EXIT_NOT_HEALTHY if any(row["action"] in ("failed", "not saved") for row in rows) else EXIT_OK


_DONE = {"create": "created", "update": "updated", "unchanged": "unchanged"}


def _row(change: Change, saved: Sequence[Change] | None) -> Row:
    from intctl import plan

    outcome = change.outcome
    action = _DONE[change.action]
    if saved is not None and change not in saved and change.action != "unchanged":
        action = "not saved" if plan.savable(change) else "failed"
    elif saved is None and change.action != "unchanged":
        action = f"would be {action}"
    return {
        "name": change.name,
        "id": change.id,
        "provider": change.provider.name,
        "action": action,
        "changed": list(change.changed),
        "verdict": outcome.verdict if outcome else None,
        "code": outcome.code if outcome else None,
        "message": outcome.message if outcome else None,
        "response_time_ms": outcome.response_time_ms if outcome else None,
    }


def _line(row: Row) -> str:
    """One change in one line: name, id, verdict, time."""
    verdict = f"{row['verdict']}, {row['response_time_ms']} ms" if row["verdict"] else "not tested"
    if row["action"] == "unchanged":
        return f"Unchanged: {clean(row['name'])} ({row['id']})\n"
    if (
        row["action"] == "updated"
        and row["verdict"] is None
        and not any(c.startswith("config") for c in row["changed"])
    ):
        verdict = f"changed {', '.join(row['changed'])}"
    return f"{row['action'].capitalize()} {clean(row['name'])} ({row['id']}): {verdict}\n"


def _totals(rows: Sequence[Row], *, dry_run: bool) -> str:
    created = sum(row["action"].endswith("created") for row in rows)
    updated = sum(row["action"].endswith("updated") for row in rows)
    unchanged = sum(row["action"] == "unchanged" for row in rows)
    missed = len(rows) - created - updated - unchanged
    verb = "to change" if dry_run else "changed"
    text = f"{created + updated} {verb} ({created} created, {updated} updated), {unchanged} unchanged"
    return f"\n{text}, {missed} not saved\n" if missed else f"\n{text}\n"


def _notices(context: Context, changes: Sequence[Change], saved: Sequence[Change] | None) -> None:
    """What a person must know beside the table, on standard error."""
    from intctl.views.steps import next_step

    for change in changes:
        outcome, name = change.outcome, clean(change.name)
        if outcome is None or outcome.verdict == "healthy":
            continue
        if saved is not None and change in saved:
            context.warn(f"{name}: {outcome.message}. {next_step(outcome.code, change.name)}")
            continue
        context.say(f"{name}: {outcome.verdict} — {outcome.message} ({outcome.code})")
        context.say(f"  Next: {next_step(outcome.code, change.name, saved=False)}")
        if change.drafted:
            context.say(
                f"  {name} was kept, disabled: its provider replaced the token, and the new one must not be lost. "
                "Run the same again to finish it."
            )
    if saved is not None and not saved and any(change.action != "unchanged" for change in changes):
        context.say("Nothing was saved.")
