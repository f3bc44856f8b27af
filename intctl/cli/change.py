"""The commands add, edit and apply: test manifests, then seal and save them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from intctl.cli.context import Context, command, output_option, pass_context, takes, timeout_option
from intctl.errors import EXIT_OK, ConflictError, ManifestError, Problem, UsageError
from intctl.text import clean

if TYPE_CHECKING:
    from intctl.manifest import Manifest
    from intctl.plan import Change, Runtime
from intctl.cli.change_report import report, report_kept
from intctl.cli.editing import from_editor, from_file, provider_of, revised, stored_config
from intctl.cli.manifests import Access, access_options, files_of, load
from intctl.cli.runtime import make_runtime, progress

_set_option = click.option(
    "--set",
    "assignments",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a non-secret key; only for a single integration.",
)
_no_test_option = click.option("--no-test", is_flag=True, help="Save without testing the connection.")


@dataclass(frozen=True, slots=True)
class SaveOptions(Access):
    """The options that add, apply and edit have in common."""

    assignments: tuple[str, ...]
    no_test: bool
    deadline_s: float
    style: str


@dataclass(frozen=True, slots=True)
class AddOptions(SaveOptions):
    """The arguments of `intctl add`."""

    kind: str
    file: str | None


@command()
@click.argument("kind")
@click.option("-f", "--file", "file", metavar="FILE", help="Manifest file, or - for standard input.")
@_set_option
@access_options
@_no_test_option
@timeout_option
@output_option
@pass_context
@takes(AddOptions)
def add(context: Context, options: AddOptions) -> int:
    """Add an integration of KIND from a YAML file, after testing its connection.

    KIND is a provider (sendgrid), a type (email), or smtp or oauth for any provider that uses that
    protocol; the file must match it. If the test fails, nothing is saved and the exit code is 1.

    Without -f, the command prompts for each field and hides the secrets.
    """
    from intctl import plan
    from intctl.providers import catalogue
    from intctl.views.steps import quoted

    kind, file = options.kind, options.file
    if file is None and (options.assignments or not sys.stdin.isatty()):
        why = "--set requires a file" if options.assignments else "there is no terminal to prompt on"
        raise UsageError(f"-f FILE is required: {why}. To write a template, run: intctl providers template PROVIDER")
    if kind not in catalogue.kinds():
        from intctl.text import nearest

        raise UsageError(f'There is no kind "{clean(kind, 40)}"{nearest(kind, catalogue.kinds())}')
    if file is None:
        manifests = [_asked(context, kind)]
    else:
        manifests = load(context, [file], options.assignments, options)
    wrong = [one for one in manifests if not catalogue.accepts(kind, one.provider, one.type)]
    if wrong:
        problems = [
            Problem(
                one.file, one.line, 1, f"the provider {one.provider.name} does not match the kind {kind} given to add"
            )
            for one in wrong
        ]
        raise ManifestError(problems)
    runtime = make_runtime(context, options.deadline_s)
    changes = plan.diff(runtime.database, runtime.keyring, runtime.org_id, manifests)
    taken = [change.name for change in changes if change.action != "create"]
    if taken:
        raise ConflictError(
            f'An integration named "{clean(taken[0])}" already exists. '
            f"To change it, run: intctl edit {quoted(taken[0])}"
        )
    return _carry_out(context, runtime, changes, options)


def _asked(context: Context, kind: str) -> Manifest:
    """Prompt for a manifest, after checking that the database and the keyring are available."""
    from intctl.cli.ask import ask
    from intctl.store import configs

    context.keyring()
    return ask(context, kind, [one.name for one in configs.sealed(context.database(), context.org_id())])


@dataclass(frozen=True, slots=True)
class ApplyOptions(SaveOptions):
    """The arguments of `intctl apply`."""

    paths: tuple[str, ...]
    more: tuple[str, ...]
    keep_going: bool
    dry_run: bool


@command()
@click.option(
    "-f", "--file", "paths", metavar="PATH", multiple=True, help="File, folder, or - for standard input; repeatable."
)
@click.argument("more", nargs=-1, metavar="[PATH]...")
@_set_option
@access_options
@_no_test_option
@click.option("--keep-going", is_flag=True, help="Save the integrations that pass even if others fail.")
@click.option("--dry-run", is_flag=True, help="Print the changes without testing or saving anything.")
@timeout_option
@output_option
@pass_context
@takes(ApplyOptions)
def apply(context: Context, options: ApplyOptions) -> int:
    """Create or update integrations to match YAML files.

    Tests all new and changed integrations first, then saves them in one transaction. Integrations
    that no file names are not changed. Applying the same files again changes nothing.
    """
    from intctl import plan

    wanted = [*options.paths, *options.more]
    if not wanted:
        raise UsageError("At least one file or folder is required: intctl apply -f PATH")
    if wanted.count("-") > 1:
        raise UsageError("Standard input can be read only once.")
    files = files_of(context, wanted)
    manifests = load(context, files, options.assignments, options, partial=True)
    runtime = make_runtime(context, options.deadline_s)
    changes = plan.diff(runtime.database, runtime.keyring, runtime.org_id, manifests)
    if options.dry_run:
        return report(context, changes, options.style, saved=None)
    return _carry_out(context, runtime, changes, options, keep_going=options.keep_going)


@dataclass(frozen=True, slots=True)
class EditOptions(SaveOptions):
    """The arguments of `intctl edit`."""

    name: str
    file: str | None
    secrets: tuple[str, ...]


@command()
@click.argument("name")
@click.option("-f", "--file", "file", metavar="FILE", help="The new manifest file, or - for standard input.")
@_set_option
@click.option(
    "--secret",
    "secrets",
    metavar="FIELD",
    multiple=True,
    help="Replace this secret (prompted for, or read from stdin).",
)
@access_options
@_no_test_option
@timeout_option
@output_option
@pass_context
@takes(EditOptions)
def edit(context: Context, options: EditOptions) -> int:
    """Change the integration NAME and test it before saving.

    -f replaces its config by that of the file; --set and --secret change single fields. Without
    these options, $EDITOR opens the manifest, with !keep in place of each unchanged secret.
    Changing the destination requires re-entering the secrets.
    """
    from intctl import plan
    from intctl.store import configs, integrations

    file, assignments, secrets = options.file, options.assignments, options.secrets
    if file is not None and secrets:
        raise UsageError("--secret cannot be used with -f: the file refers to its own secrets.")
    id = integrations.find(context.database(), context.org_id(), options.name).id
    runtime = make_runtime(context, options.deadline_s)
    sealed = configs.sealed(runtime.database, runtime.org_id, id=id)[0]
    provider = provider_of(sealed)
    if file is not None:
        manifest = from_file(context, runtime, sealed, provider, file, assignments, options)
    elif assignments or secrets:
        manifest = revised(context, stored_config(runtime, sealed, provider), assignments, secrets)
    else:
        edited = from_editor(context, runtime, sealed, provider, options)
        if edited is None:
            context.out(f"{clean(sealed.name)}: nothing was changed.\n")
            return EXIT_OK
        manifest = edited
    change = plan.compare(runtime.keyring, manifest, sealed, replace_lost=file is not None)
    return _carry_out(context, runtime, [change], options)


def _carry_out(
    context: Context, runtime: Runtime, changes: Sequence[Change], options: SaveOptions, *, keep_going: bool = False
) -> int:
    try:
        saved = _saved(context, runtime, changes, options, keep_going=keep_going)
    except (ConflictError, KeyboardInterrupt):
        report_kept(context, changes)
        raise
    return report(context, changes, options.style, saved=saved)


def _saved(
    context: Context, runtime: Runtime, changes: Sequence[Change], options: SaveOptions, *, keep_going: bool
) -> list[Change]:
    """Test the changes and save those that may be; return these."""
    from intctl import plan

    wanting = [change for change in changes if change.wants_test]
    try:
        if options.no_test:
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
    return saved
