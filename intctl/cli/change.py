"""add, edit, apply: from a manifest to a tested, sealed, stored integration."""

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
from intctl.cli.change_report import report
from intctl.cli.editing import from_editor, from_file, provider_of, revised, stored_config
from intctl.cli.manifests import files_of, load
from intctl.cli.runtime import make_runtime, progress

_set_option = click.option(
    "--set", "assignments", metavar="KEY=VALUE", multiple=True, help="Override what is not secret; for one integration."
)
_inline_option = click.option(
    "--allow-inline-secrets", is_flag=True, help="Take secrets that stand in the file, with a warning."
)
_no_test_option = click.option("--no-test", is_flag=True, help="Save without testing the connection.")


@dataclass(frozen=True, slots=True)
class SaveOptions:
    """The options that add, apply and edit have in common."""

    assignments: tuple[str, ...]
    allow_inline_secrets: bool
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
@click.option("-f", "--file", "file", metavar="FILE", help="The manifest, - for standard input.")
@_set_option
@_inline_option
@_no_test_option
@timeout_option
@output_option
@pass_context
@takes(AddOptions)
def add(context: Context, options: AddOptions) -> int:
    """Add an integration of KIND from a YAML file, after a test of its connection.

    KIND is a provider (sendgrid), a type (email), or smtp or oauth for any provider that speaks
    it; the file must agree. A failed test saves nothing and exits 1.

    Without -f, the fields are asked for on the terminal, secrets hidden.
    """
    from intctl import plan
    from intctl.providers import catalogue

    kind, file = options.kind, options.file
    if file is None and (options.assignments or not sys.stdin.isatty()):
        why = "--set goes with a file" if options.assignments else "there is no terminal to ask on"
        raise UsageError(f"-f FILE is needed: {why}. A file to fill in: intctl providers template PROVIDER")
    if kind not in catalogue.kinds():
        from intctl.text import nearest

        raise UsageError(f'There is no kind "{clean(kind, 40)}"{nearest(kind, catalogue.kinds())}')
    if file is None:
        manifests = [_asked(context, kind)]
    else:
        manifests = load(context, [file], options.assignments, options.allow_inline_secrets)
    wrong = [one for one in manifests if not catalogue.accepts(kind, one.provider, one.type)]
    if wrong:
        problems = [
            Problem(
                one.file, one.line, 1, f"the provider {one.provider.name} is not of the kind {kind} that add was given"
            )
            for one in wrong
        ]
        raise ManifestError(problems)
    runtime = make_runtime(context, options.deadline_s)
    changes = plan.diff(runtime.database, runtime.keyring, runtime.org_id, manifests)
    taken = [change.name for change in changes if change.action != "create"]
    if taken:
        raise ConflictError(
            f'There is already an integration named "{clean(taken[0])}". Change it with intctl edit or apply.'
        )
    return _carry_out(context, runtime, changes, options)


def _asked(context: Context, kind: str) -> Manifest:
    """What a person answers. Nobody is asked anything before database and keyring are known to be there."""
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
@takes(ApplyOptions)
def apply(context: Context, options: ApplyOptions) -> int:
    """Make the integrations what the files say: create, update, leave the rest.

    Everything new or changed is tested first and saved in one transaction; applied twice, the
    second time changes nothing.
    """
    from intctl import plan

    wanted = [*options.paths, *options.more]
    if not wanted:
        raise UsageError("Name at least one file or folder: intctl apply -f PATH")
    if wanted.count("-") > 1:
        raise UsageError("Standard input can be read only once.")
    files = files_of(wanted)
    manifests = load(context, files, options.assignments, options.allow_inline_secrets, partial=True)
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
@takes(EditOptions)
def edit(context: Context, options: EditOptions) -> int:
    """Change the integration NAME, tested before it is saved.

    With -f its config is replaced by the file's. With --set and --secret single fields change.
    Without any of them, $EDITOR opens the manifest, with !keep for secrets left as they are.
    A change of where the secrets go asks for them again.
    """
    from intctl import plan
    from intctl.store import configs, integrations

    file, assignments, secrets = options.file, options.assignments, options.secrets
    if file is not None and secrets:
        raise UsageError("--secret goes with --set or alone; with -f, the file says where its secrets are.")
    id = integrations.find(context.database(), context.org_id(), options.name).id
    runtime = make_runtime(context, options.deadline_s)
    sealed = configs.sealed(runtime.database, runtime.org_id, id=id)[0]
    provider = provider_of(sealed)
    if file is not None:
        manifest = from_file(context, runtime, sealed, provider, file, assignments, options.allow_inline_secrets)
    elif assignments or secrets:
        manifest = revised(context, stored_config(runtime, sealed, provider), assignments, secrets)
    else:
        edited = from_editor(context, runtime, sealed, provider)
        if edited is None:
            context.out(f"{clean(sealed.name)}: nothing was changed.\n")
            return EXIT_OK
        manifest = edited
    change = plan.compare(runtime.keyring, manifest, sealed, replace_lost=file is not None)
    return _carry_out(context, runtime, [change], options)


def _carry_out(
    context: Context, runtime: Runtime, changes: Sequence[Change], options: SaveOptions, *, keep_going: bool = False
) -> int:
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
    return report(context, changes, options.style, saved=saved)
