"""sandbox: run a command beside providers that are served on loopback."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from intctl.cli.context import Context, command, pass_context
from intctl.errors import UsageError

if TYPE_CHECKING:
    from subprocess import Popen
    from types import FrameType

    from intctl.sandbox import Sandbox


@click.group()
def sandbox() -> None:
    """Rehearse against providers served on loopback.

    They know one right credential each, new for every run, and refuse all others the way the real
    provider does. Nothing leaves this machine.
    """


@sandbox.command(cls=command.keywords["cls"], context_settings={"allow_interspersed_args": False})
@click.argument("argv", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_context
def run(context: Context, argv: tuple[str, ...]) -> int:
    """Run COMMAND while the sandbox is up, and exit with its code.

    COMMAND finds the variables that the files in examples/ refer to, with the right credentials, and

    \b
      INTCTL_SANDBOX_DIR             folder with the certificates
      INTCTL_SANDBOX_CA_FILE         the certificate authority
      INTCTL_SANDBOX_SET_PROVIDER    --set options that point an example here
      INTCTL_SANDBOX_URL_PROVIDER    base URL of an HTTPS provider
      INTCTL_SANDBOX_PORT_STARTTLS, INTCTL_SANDBOX_PORT_TLS    the mail server

    For instance: intctl sandbox run -- sh -c 'intctl test -f examples/twilio.yaml $INTCTL_SANDBOX_SET_TWILIO'
    """
    from pathlib import Path
    from tempfile import TemporaryDirectory

    try:
        import aiosmtpd  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError("The sandbox needs one more package. Run: pip install 'intctl[sandbox]'") from None
    from intctl.sandbox import Sandbox

    with TemporaryDirectory(prefix="intctl-sandbox-") as folder, Sandbox(Path(folder)) as box:
        return _run(argv, {**context.environ, **box.environ(), **_variables(box)})


def _variables(box: Sandbox) -> dict[str, str]:
    import shlex

    found = {"INTCTL_SANDBOX_DIR": str(box.folder), "INTCTL_SANDBOX_CA_FILE": str(box.ca_file)}
    for provider in (*box.accounts, *box.logins):
        options = [word for setting in box.settings(provider) for word in ("--set", setting)]
        found[f"INTCTL_SANDBOX_SET_{provider.upper()}"] = shlex.join(options)
    found |= {f"INTCTL_SANDBOX_URL_{provider.upper()}": box.url(provider) for provider in box.accounts}
    found |= {f"INTCTL_SANDBOX_PORT_{kind.upper()}": str(box.ports[kind]) for kind in ("starttls", "tls")}
    return found


def _run(argv: tuple[str, ...], environ: dict[str, str]) -> int:
    """Runs `argv`, passes SIGINT and SIGTERM on to it, and returns its exit code, or 128 + signal."""
    import subprocess

    process: Popen[bytes] | None = None
    early: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        if process is None:  # it may run already, while Popen has not returned
            early.append(number)
        else:
            process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process = subprocess.Popen(argv, env=environ)  # noqa: S603 -- running it is what was asked for
        for number in early:
            process.send_signal(number)
        code = process.wait()
    except OSError:
        raise UsageError(f'"{argv[0]}" can\'t be run: there is no such command, or it is not executable.') from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
