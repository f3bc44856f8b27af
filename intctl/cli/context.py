"""The state of one command: environment, database, keyring, organisation and output.

The command line reads the environment and the wall clock; lower rooms receive them as values.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from intctl.cli.streams import outlet
from intctl.errors import UsageError
from intctl.text import one_line, safe

if TYPE_CHECKING:
    from pathlib import Path

    from intctl.db.connect import Database
    from intctl.db.url import Target
    from intctl.keyring import Keyring
    from intctl.probes.guard import AddressPolicy
    from intctl.render.rows import Column

FORMATS = ("table", "json", "yaml", "csv", "name")

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
R = TypeVar("R")


class Context:
    """One run of one command."""

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        self.environ: MutableMapping[str, str] = os.environ if environ is None else environ
        self.org_option: str | None = None
        self.url_file: Path | None = None
        #: Receives warnings instead of standard error, such as an agent's journal.
        self.listener: Callable[[str], None] | None = None
        self._warned: set[str] = set()
        self._database: Database | None = None
        self._keyring: Keyring | None = None

    # --- where things are ---

    @functools.cached_property
    def home(self) -> Path:
        """The data folder. Raises UsageError if there is none."""
        from intctl.cli.places import data_folder

        return data_folder(self.environ)

    def trusted_home(self) -> Path:
        """The data folder, for reading and writing in it. Raises UsageError if other users can change what it holds."""
        from intctl import trust

        if problem := trust.folder_problem(str(self.home)):
            raise UsageError(f"The data folder {problem}")
        return self.home

    @property
    def is_database_in_home(self) -> bool:
        """Whether no option and no variable names the database, so that it is in the data folder."""
        return self.url_file is None and not self.environ.get("INTCTL_DATABASE_URL")

    @functools.cached_property
    def target(self) -> Target:
        """The database: --database-url-file, else INTCTL_DATABASE_URL, else SQLite in the data folder."""
        from intctl.cli.places import read_secret
        from intctl.db.url import parse_url, sqlite_target

        if self.url_file is not None:
            return parse_url(
                read_secret(self.url_file, "--database-url-file", self.warn_once), f"The file {self.url_file}"
            )
        if url := self.environ.get("INTCTL_DATABASE_URL"):
            return parse_url(url, "INTCTL_DATABASE_URL")
        return sqlite_target(self.trusted_home() / "intctl.db")

    def database(self) -> Database:
        """The database connection, opened at first use."""
        if self._database is None:
            from intctl.db.connect import connect

            self._database = connect(self.target)
        return self._database

    def org_id(self) -> str:
        """The id of the organisation that the command acts on."""
        from intctl.store.organizations import find_id

        return find_id(self.database(), self.organisation)

    @property
    def organisation(self) -> str | None:
        """The value of --org or INTCTL_ORG."""
        return self.org_option or self.environ.get("INTCTL_ORG") or None

    def keyring(self) -> Keyring:
        """The keyring, loaded at first use."""
        if self._keyring is None:
            from intctl import keyring

            self._keyring = self.load_keyring()
            self.environ.pop(keyring.KEY_VARIABLE, None)
            if self._keyring.warning:
                self.warn(self._keyring.warning)
        return self._keyring

    def load_keyring(self) -> Keyring:
        """Read the keyring, again at each call. The data folder is used only if no other source is named."""
        from intctl import keyring

        return keyring.load(self.environ, None if keyring.is_named(self.environ) else self.trusted_home())

    def policy(self) -> AddressPolicy:
        """The policy on which addresses may be contacted, and through which proxy."""
        from dataclasses import replace

        from intctl.probes.guard import AddressPolicy
        from intctl.probes.proxies import Proxies

        deny, allow = self.environ.get("INTCTL_DENY_NETWORKS", ""), self.environ.get("INTCTL_ALLOW_NETWORKS", "")
        return replace(AddressPolicy.parse(deny, allow), proxies=Proxies.parse(self.environ))

    @property
    def witness(self) -> str:
        """The validated INTCTL_WITNESS: a server that shows whether this machine's network works."""
        text = self.environ.get("INTCTL_WITNESS", "")
        if text:
            from intctl.probes.witness import parse

            parse(text)
        return text

    @property
    def forbidden_files(self) -> tuple[Path, ...]:
        """The files and folders that no manifest may refer to."""
        from intctl.cli.places import own_files

        own = own_files(self.environ, None if self.is_database_in_home else self.target)
        return (*own, *([self.url_file] if self.url_file else []))

    @functools.cached_property
    def host(self) -> str:
        """This machine's name, for logs."""
        import socket

        return socket.gethostname() or "localhost"

    def close(self) -> None:
        """Close the database connection, if it is open."""
        if self._database is not None:
            self._database.close()
            self._database = None

    # --- in and out ---

    def out(self, text: str) -> None:
        """Write data to standard output."""
        sys.stdout.write(safe(text))

    def say(self, text: str) -> None:
        """Write a message to standard error."""
        sys.stderr.write(f"{one_line(text)}\n")

    def warn(self, text: str) -> None:
        """Report a warning to the listener, or on standard error."""
        if self.listener is not None:
            self.listener(text)
        else:
            self.say(f"warning: {text}")

    def keep_going(self) -> None:
        """Drop data that cannot be written, instead of failing: the work matters more than its report."""
        if found := outlet(sys.stdout):
            found.never_fails = True

    @property
    def has_reader(self) -> bool:
        """Whether the other end of standard output is open."""
        found = outlet(sys.stdout)
        return found is None or not found.is_closed

    def warn_once(self, text: str) -> None:
        """Report a warning, unless this run already did."""
        if text not in self._warned:
            self._warned.add(text)
            self.warn(text)

    def rows(
        self,
        rows: Sequence[T],
        columns: Sequence[Column[T]],
        keys: Sequence[str],
        style: str,
        *,
        name: str = "name",
        empty: str = "",
    ) -> None:
        """Write records in the format that -o selects."""
        from intctl.render.rows import render

        self.out(render(rows, columns, keys, style, name=name, width=self.width, empty=empty))

    def one(self, record: object, keys: Sequence[str], style: str, table: str, name: str) -> None:
        """Write one record in the format that -o selects."""
        from intctl.render.rows import render_one

        self.out(render_one(record, keys, style, table, name))

    @property
    def width(self) -> int | None:
        """The terminal's width; None if the output is not a terminal, so that nothing is truncated."""
        if not sys.stdout.isatty():
            return None
        import shutil

        return max(shutil.get_terminal_size().columns, 20)

    @property
    def plain(self) -> bool:
        """Whether the output encoding cannot represent symbols."""
        return "utf" not in (sys.stdout.encoding or "").lower()

    def confirm(self, question: str, yes: bool) -> None:
        """Exit unless the user confirms. Raises UsageError if there is no terminal."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise UsageError(f"{question} There is no terminal to confirm on: add --yes")
        if not click.confirm(one_line(question), err=True):
            self.say("Cancelled; nothing was done.")
            raise click.exceptions.Exit(0)

    def secret(self, field: str) -> str:
        """Read one secret: typed without echo, or one line of standard input."""
        if sys.stdin.isatty():
            value: str = click.prompt(one_line(f"New {field}"), hide_input=True, err=True)
        else:
            try:  # of bytes: a text stream would end the line at a carriage return inside the secret
                value = sys.stdin.buffer.readline().decode().rstrip("\r\n")
            except UnicodeDecodeError:
                raise UsageError(f"{field}: standard input is not UTF-8 text. Nothing was changed.") from None
        if not value.strip():
            raise UsageError(f"No {field} was given on standard input. Nothing was changed.")
        return value


class Seconds(click.FloatRange):
    """A number of seconds in a range; click.FloatRange accepts NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = super().convert(value, param, ctx)
        return seconds if seconds == seconds else self.fail("is not a number", param, ctx)  # noqa: PLR0124


class SharedOptions(click.Command):
    """A command (or the root) that also accepts --org and --database-url-file."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *_SHARED]


def _take_org(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Context).org_option = value


def _take_url_file(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        from pathlib import Path

        ctx.ensure_object(Context).url_file = Path(value)


_SHARED: list[click.Parameter] = [
    click.Option(
        ["--org"],
        metavar="ORG",
        expose_value=False,
        callback=_take_org,
        help="Organisation: id, slug or name (or INTCTL_ORG).",
    ),
    click.Option(
        ["--database-url-file"],
        metavar="FILE",
        expose_value=False,
        callback=_take_url_file,
        help="File that holds the database URL (or INTCTL_DATABASE_URL).",
    ),
]


class Command(SharedOptions):
    """A command of intctl."""


command = functools.partial(click.command, cls=Command)
pass_context = click.make_pass_decorator(Context, ensure=True)


def takes(options: Callable[..., T]) -> Callable[[Callable[[Context, T], R]], Callable[..., R]]:
    """Collect the arguments and options of a command into one value.

    The decorated function receives (context, options). `options` is a frozen dataclass with a field
    for each parameter. Apply it below `pass_context`.
    """

    def decorated(function: Callable[[Context, T], R]) -> Callable[..., R]:
        @functools.wraps(function)
        def collected(context: Context, /, **given: object) -> R:
            return function(context, options(**given))

        return collected

    return decorated


def output_option(function: F) -> F:
    """Add -o / --output."""
    option = click.option(
        "-o", "--output", "style", type=click.Choice(FORMATS), default="table", show_default=True, help="Output format."
    )
    return option(function)


def timeout_option(function: F) -> F:
    """Add --timeout."""
    option = click.option(
        "--timeout",
        "deadline_s",
        type=Seconds(1, 60),
        default=20.0,
        show_default=True,
        help="Deadline of one exchange, in seconds.",
    )
    return option(function)


def affordable(concurrency: int = 50) -> int:
    """Limit the concurrency to the number of files that the process may open."""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return concurrency if soft == resource.RLIM_INFINITY else max(1, min(concurrency, (soft - 32) // 2))
