"""The command sandbox: simulated providers on loopback, for one command or until stopped."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from intctl.cli.context import Context, command, pass_context
from intctl.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import Popen
    from types import FrameType

    from intctl.sandbox import Sandbox


F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def sandbox() -> None:
    """Serve simulated providers on loopback.

    Each provider accepts one credential, new for every run, and rejects all others as the real
    provider does. Nothing leaves this machine, and no other machine can reach the providers.

    --fault NAME=CODE makes one provider fail, and a check of it reports that code:

    \b
      any provider    tls.expired, connection.reset, reply.timeout, deadline
      mail            starttls.missing, smtp.auth.rejected, temporary
      HTTP            http.auth.rejected, http.scope_missing, http.rate_limited,
                      server.error, unexpected.reply
      refresh token   reauthorise, rotated.token.lost
      quota reported  quota.high, quota.exhausted, balance.empty

    If a vendor has no distinct reply for a missing permission, http.scope_missing is reported as
    http.forbidden. With rotated.token.lost, each refresh invalidates the old token: a client that
    saves the new token stays healthy, and one that loses it gets reauthorise. sendgrid, gmail and
    microsoft365 are served as mail and over HTTP; a fault affects only its own login method.
    """


def _rehearsal_options(function: F) -> F:
    fault = click.option(
        "--fault", "faults", metavar="NAME=CODE", multiple=True, help="Make a provider fail with CODE; repeatable."
    )
    seed = click.option("--seed", type=int, help="Generate the same credentials for the same number.")
    return fault(seed(function))


@sandbox.command(cls=command.keywords["cls"])
@_rehearsal_options
@pass_context
def up(context: Context, faults: tuple[str, ...], seed: int | None) -> int:
    """Serve the providers until Ctrl-C or SIGTERM.

    Prints the path of a shell script that sets the variables to reach them; the script is deleted at the end.
    """
    import threading

    done = threading.Event()
    before = {number: signal.signal(number, lambda *_: done.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _sandbox(faults, seed) as box:
            context.out(_announcement(box, _write(box)))
            sys.stdout.flush()
            done.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _announcement(box: Sandbox, script: Path) -> str:
    from intctl.sandbox.faults import FAULTS

    lines = [f"The sandbox is running: {len(box.providers)} providers on 127.0.0.1. Press Ctrl-C to stop it."]
    lines += [f"  fault in {name}: {FAULTS[code].meaning}" for name, code in box.faults.items()]
    lines += ["In another terminal:", f"  . {script}", "  intctl sandbox manifests DIR", "  intctl apply -f DIR", ""]
    return "\n".join(lines)


@sandbox.command(cls=command.keywords["cls"])
@click.argument("folder", metavar="[DIR]", required=False)
@click.option("--ways", is_flag=True, help="Also write one for each other login method, such as OAuth for gmail.")
@pass_context
def manifests(context: Context, folder: str | None, ways: bool) -> int:
    """Write one manifest per provider into DIR.

    The manifests point at the running sandbox; their secrets are references to its environment.
    Without DIR, writes all of them to standard output as one file. Run it inside "sandbox run", or
    after sourcing the script that "sandbox up" prints. In DIR, only manifests that this command
    created are overwritten.
    """
    from pathlib import Path

    from intctl.sandbox.manifests import together

    source = context.environ.get("INTCTL_SANDBOX_DIR", "")
    made = {
        path.name: path.read_text("utf-8")
        for kind in (_MANIFESTS, _WAYS)[: 2 if ways else 1]
        for path in sorted(Path(source, kind).glob("*.yaml"))
    }
    if not source or not made:
        raise UsageError(
            "This shell has no sandbox. Run: intctl sandbox run -- sh; or source the script that "
            "intctl sandbox up prints."
        )
    if folder is None:
        context.out(together(made.values()))
        return 0
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            path, mark = target / name, text.partition("\n")[0]
            if path.exists() and not path.read_text("utf-8", "replace").startswith(mark):
                raise UsageError(f"{path} exists and was not created by this command. Nothing was written.")
        for name, text in made.items():
            (target / name).write_text(text, "utf-8")
    except OSError:
        raise UsageError(f"{folder} is not a writable folder.") from None
    context.say(f"{len(made)} manifests in {target}")
    return 0


#: Subfolders of INTCTL_SANDBOX_DIR: one manifest per provider, and those for other login methods.
_MANIFESTS, _WAYS = "manifests", "ways"


@sandbox.command(cls=command.keywords["cls"], context_settings={"allow_interspersed_args": False})
@click.argument("argv", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@_rehearsal_options
@pass_context
def run(context: Context, argv: tuple[str, ...], faults: tuple[str, ...], seed: int | None) -> int:
    """Run COMMAND with a sandbox and exit with its code.

    The environment of COMMAND has valid credentials for the files in examples/, and these variables:

    \b
      INTCTL_SANDBOX_DIR             folder with the certificates
      INTCTL_SANDBOX_CA_FILE         the certificate authority
      INTCTL_SANDBOX_SET_PROVIDER    --set options for the provider's example
      INTCTL_SANDBOX_URL_PROVIDER    base URL of an HTTPS provider
      INTCTL_SANDBOX_PORT_STARTTLS, INTCTL_SANDBOX_PORT_TLS    the mail server

    For example: intctl sandbox run -- sh -c 'intctl test -f examples/twilio.yaml $INTCTL_SANDBOX_SET_TWILIO'
    """
    with _sandbox(faults, seed) as box:
        _write(box)
        return _run(argv, {**context.environ, **_variables(box)})


@contextmanager
def _sandbox(faults: tuple[str, ...], seed: int | None) -> Iterator[Sandbox]:
    """Run a sandbox in a temporary folder."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    try:
        import aiosmtpd  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError("The sandbox requires another package. Run: pip install 'intctl[sandbox]'") from None
    from intctl.sandbox import Sandbox
    from intctl.sandbox.faults import parse

    wrong = parse(faults)
    with TemporaryDirectory(prefix="intctl-sandbox-") as folder, Sandbox(Path(folder), faults=wrong, seed=seed) as box:
        yield box


def _write(box: Sandbox) -> Path:
    """Write the manifests and a shell script with the variables into the sandbox's folder; return the script's path."""
    import shlex

    from intctl.sandbox.manifests import manifests as texts

    folders = {kind: box.folder.absolute() / kind for kind in (_MANIFESTS, _WAYS)}
    for folder in folders.values():
        folder.mkdir(0o700)
    for name, text in texts(box, every_way=True).items():
        folder = folders[_MANIFESTS if name in box.providers else _WAYS]
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    script = box.folder.absolute() / "environment.sh"
    script.touch(0o600, exist_ok=False)
    lines = [f"export {name}={shlex.quote(text)}\n" for name, text in _variables(box).items()]
    script.write_text("".join(lines), "utf-8")
    return script


def _variables(box: Sandbox) -> dict[str, str]:
    import shlex

    found = {**box.environ(), "INTCTL_SANDBOX_DIR": str(box.folder), "INTCTL_SANDBOX_CA_FILE": str(box.ca_file)}
    for provider in box.providers:
        options = [word for setting in box.settings(provider) for word in ("--set", setting)]
        found[f"INTCTL_SANDBOX_SET_{provider.upper()}"] = shlex.join(options)
    found |= {f"INTCTL_SANDBOX_URL_{provider.upper()}": box.url(provider) for provider in box.accounts}
    found |= {f"INTCTL_SANDBOX_PORT_{kind.upper()}": str(box.ports[kind]) for kind in ("starttls", "tls")}
    return found


def _run(argv: tuple[str, ...], environ: dict[str, str]) -> int:
    """Run `argv`, forward SIGINT and SIGTERM to it, and return its exit code, or 128 + signal."""
    import subprocess

    process: Popen[bytes] | None = None
    early: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        if process is None:  # the process may run before Popen returns
            early.append(number)
        else:
            process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process = subprocess.Popen(argv, env=environ)  # noqa: S603 -- the user asked to run it
        for number in early:
            process.send_signal(number)
        code = process.wait()
    except OSError:
        raise UsageError(f'"{argv[0]}" can\'t be run: there is no such command, or it is not executable.') from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
