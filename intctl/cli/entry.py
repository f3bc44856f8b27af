"""The entry point: the root group, and the only place that ends the process.

Commands are imported lazily from the table in `commands`. It also holds their help lines, because click
would import every command to show the root help.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import click

from intctl import __version__, failpoint
from intctl.cli import streams
from intctl.cli.commands import COMMANDS
from intctl.cli.context import Context, SharedOptions
from intctl.errors import (
    EXIT_BUG,
    EXIT_CODES,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    IntctlError,
    ManifestError,
    OutputError,
    frames,
)
from intctl.text import one_line, safe


class Root(SharedOptions, click.Group):
    """The root group; lists the commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from intctl.text import nearest

            ctx.fail(f'There is no command "{args[0]}"{nearest(args[0], tuple(COMMANDS))}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])


@click.command(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="intctl", message="%(prog)s %(version)s")
@click.pass_context
def root(ctx: click.Context) -> None:
    """Provision, verify and monitor an organisation's external integrations.

    First steps: intctl init, then intctl add smtp -f smtp.yaml, then intctl dashboard.
    """
    ctx.ensure_object(Context)


def main() -> NoReturn:
    """Run one command and exit with its code."""
    streams.prepare()
    code = _run()
    try:
        sys.stdout.flush()
    except OSError:
        _silence(sys.stdout)
        code = _end(OutputError("The output could not be written (disk full?)."))
    sys.exit(code)


def _run() -> int:
    context = Context(os.environ)
    failpoint.arm(context.environ)
    try:
        answer = root.main(prog_name="intctl", standalone_mode=False, obj=context, terminal_width=_help_width())
        return answer if isinstance(answer, int) else EXIT_OK
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        return _say(error.format_message(), EXIT_USAGE, prefix="")
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "intctl"
        return _say(f"{one_line(error.format_message())}\nTry: {where} --help", EXIT_USAGE)
    except click.ClickException as error:
        return _say(one_line(error.format_message()), EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted", EXIT_INTERRUPTED)
    except IntctlError as error:
        return _end(error)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and _is_folder_gone():
            return _say("The current folder was deleted. Change to another folder and try again: cd", EXIT_USAGE)
        if not _in_output(error):
            return _bug(error)
        _silence(sys.stdout)
        return _end(OutputError("The output could not be written (disk full?)."))
    except Exception as error:
        return _bug(error)
    finally:
        context.close()


def _help_width() -> int:
    """The help width that click would compute, without the imports that click needs for it."""
    try:
        found = int(os.environ.get("COLUMNS", "")) or os.get_terminal_size(1).columns
    except (ValueError, OSError):
        found = 80
    return max(min(found, 80) - 2, 50)


def _is_folder_gone() -> bool:
    """Whether the current folder was deleted, as by a pipeline that cleans its workspace."""
    try:
        os.stat(".")  # noqa: PTH116 -- without an import
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return True
    return False


def _in_output(error: OSError) -> bool:
    """Whether a write to standard output failed, by intctl or by click."""
    import errno

    return error.filename is None and error.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EBADF)


def _end(error: IntctlError) -> int:
    if isinstance(error, ManifestError):
        return _say("\n".join(one_line(str(one)) for one in error.problems), error.exit_code, prefix="")
    if error.exit_code == EXIT_BUG:
        return _bug(error)
    return _say(one_line(str(error)), error.exit_code)


def _say(message: str, code: int, prefix: str = "intctl: ") -> int:
    try:
        sys.stderr.write(safe(f"{prefix}{message}\n"))
        sys.stderr.flush()
    except OSError:
        _silence(sys.stderr)
    return code


def _bug(error: BaseException) -> int:
    """Report a bug by type and stack trace. The message is omitted: libraries put secrets into it."""
    where = "".join(f"  {frame}\n" for frame in frames(error))
    return _say(
        f"this is a bug in intctl ({type(error).__name__}); please report it with this stack trace:\n{where}", EXIT_BUG
    )


def _silence(stream: Any) -> None:
    # Without this, Python reports an error at exit when it flushes the remaining buffer.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
