"""The options of the notifiers of `intctl agent`, and where their targets come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from intctl.errors import UsageError
from intctl.notify.catalogue import CATALOGUE

if TYPE_CHECKING:
    from intctl.cli.context import Context
    from intctl.notify.catalogue import Entry

F = TypeVar("F", bound=Callable[..., Any])


def notifier_options(command: F) -> F:
    """Add the options of each notifier, in the order of the catalogue."""
    for entry in reversed(CATALOGUE.values()):
        if entry.file_option:
            text = f"Read the {entry.metavar} of {entry.option} from FILE."
            command = click.option(entry.file_option, metavar="FILE", help=text)(command)
        command = click.option(entry.option, metavar=entry.metavar, help=entry.help)(command)
    return command


def chosen_target(context: Context, entry: Entry, given: str | None, file: str | None) -> tuple[str | None, str]:
    """Return a notifier's target and where it is from: its option, else its file, else its variable.

    Warns of a secret on the command line. Raises UsageError.
    """
    from pathlib import Path

    from intctl.cli.places import read_secret

    if given is not None and file is not None:
        raise UsageError(f"{entry.option} and {entry.file_option} cannot be used together.")
    if file is not None:
        text = read_secret(Path(file), entry.file_option, context.warn_once).strip()
        if not text:
            raise UsageError(f"{entry.file_option}: {file} is empty.")
        return text, f"The file {file}"
    if given is None and entry.variable:
        return context.environ.get(entry.variable), entry.variable
    if given and entry.variable:
        context.warn(
            f"{entry.option}: process lists show its secret to all users. Use {entry.file_option} FILE or set "
            f"{entry.variable}."
        )
    return given, entry.option
