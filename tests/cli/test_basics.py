"""The root: help without imports, exit codes, error messages, closed or full output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from intctl import __version__, cli
from intctl.errors import EXIT_CODES

from .conftest import Intctl

HEAVY = ("sqlmodel", "sqlalchemy", "pydantic", "httpx", "psycopg", "cryptography", "asyncio")
PROBING = ("sqlmodel", "sqlalchemy", "httpx", "aiosmtplib")


def imported(code: str, names: tuple[str, ...], environ: dict[str, str]) -> tuple[int, list[str]]:
    """The exit code of `intctl …` in a fresh interpreter, and the imported modules among `names`."""
    script = (
        "import atexit, sys\n"
        f"atexit.register(lambda: sys.stderr.write('IMPORTED ' + ' '.join(n for n in {names!r} if n in sys.modules)))\n"
        f"sys.argv = ['intctl', *{code!r}.split()]\n"
        "from intctl.cli import main\n"
        "main()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environ, check=False, timeout=60
    )
    return ran.returncode, ran.stderr.rpartition("IMPORTED ")[2].split()


def lines() -> list[str]:
    """Every command line with a help text."""
    subcommands = [f"org {name} --help" for name in ("list", "create", "set")]
    subcommands += [f"maintenance {name} --help" for name in ("add", "list", "remove")] + ["logs prune --help"]
    subcommands += ["agent status --help"]
    subcommands += [f"sandbox {name} --help" for name in ("up", "manifests", "run")]
    subcommands += [f"providers {name} --help" for name in ("list", "show", "template", "schema")]
    return ["--help", "--version", *(f"{name} --help" for name in cli.COMMANDS), *subcommands]


@pytest.mark.parametrize("line", lines())
def test_help_imports_nothing_heavy(line: str, tmp_path: Path) -> None:
    """Help and version import nothing but click."""
    code, found = imported(line, HEAVY, {"INTCTL_HOME": str(tmp_path)})
    assert (code, found) == (0, [])


@pytest.mark.parametrize(
    "line", ["list", "list -o json", "stats", "alerts", "logs", "metrics", "maintenance list", "agent --once"]
)
def test_reads_and_an_idle_pass_import_no_framework(
    line: str, sqlite_target: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands that run every minute import no framework."""
    from intctl import keyring
    from intctl.db.url import Target

    assert isinstance(sqlite_target, Target)
    keyring.write_file(tmp_path / "keyring.json", [keyring.new_key()])
    environ = {"INTCTL_HOME": str(tmp_path), "INTCTL_DATABASE_URL": f"sqlite:///{sqlite_target.path}"}
    assert imported(line, PROBING, environ) == (0, [])


def test_root_help_names_every_command_and_exit_code(intctl: Intctl) -> None:
    """The root help is the table of commands and the table of exit codes."""
    text = intctl("--help").out
    assert all(f"\n  {name} " in text for name in cli.COMMANDS)
    assert all(f"\n  {code} " in text for code in EXIT_CODES)


def test_each_command_says_in_its_help_what_the_table_says_of_it() -> None:
    """The help lines of the lazy table match the commands."""
    from importlib import import_module

    for name, (module, attribute, line) in cli.COMMANDS.items():
        command = getattr(import_module(module), attribute)
        assert command.name == name
        assert line.endswith(".") and command.help


def test_version(intctl: Intctl) -> None:
    """The version is one line."""
    assert intctl("--version").out == f"intctl {__version__}\n"


def test_a_mistyped_command_is_met_with_the_nearest(intctl: Intctl) -> None:
    """A typo exits 2 and suggests the nearest name."""
    assert 'did you mean "list"?' in intctl("lst", code=2).err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["list", "--sort", "colour"], 2),
        (["list", "--search", "x" * 300], 2),
        (["show", "nobody"], 3),
        (["check"], 2),
        (["check", "--all", "x"], 2),
        (["test"], 2),
        (["interval", "x", "61"], 2),
        (["add", "smtp", "-f", "/does/not/exist.yaml"], 2),
        (["add", "nonsense", "-f", "-"], 2),
        (["apply"], 2),
        (["delete", "x"], 3),
        (["logs", "--since", "yesterday"], 2),
        (["synced", "x", "--at", "noon"], 2),
        (["--org", "nobody", "list"], 3),
        (["list", "--org", "nobody"], 3),
        (["stats", "-o", "name"], 2),
    ],
)
def test_wrong_usage_is_one_line_and_its_code(intctl: Intctl, words: list[str], code: int) -> None:
    """An error has its exit code, no standard output and no traceback."""
    ran = intctl(*words, code=code)
    assert ran.out == ""
    assert ran.err and "Traceback" not in ran.err


def test_an_uninitialised_home_says_what_to_run(intctl: Intctl, tmp_path: Path) -> None:
    """Without a database every command names `intctl init`, with the exit code of the database."""
    url = f"sqlite:///{tmp_path / 'none.db'}"
    for words in (["list"], ["check", "--all"], ["agent", "--once"], ["apply", "-f", "-"]):
        ran = intctl(*words, code=None, INTCTL_DATABASE_URL=url)
        assert (ran.code, "intctl init" in ran.err) == ((5, True) if words[0] != "apply" else (2, False))


def test_output_that_nobody_takes(tmp_path: Path) -> None:
    """A closed pipe is no error; a full disk is one, reported on one line."""
    run = [sys.executable, "-m", "intctl", "--help"]
    piped = subprocess.run(f"{' '.join(run)} | head -1", shell=True, capture_output=True, text=True, check=False)
    assert (piped.returncode, piped.stderr) == (0, "")
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(run, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == 74
    assert ran.stderr.count("\n") == 1 and "could not be written" in ran.stderr


def test_an_ascii_terminal_is_no_obstacle(tmp_path: Path) -> None:
    """A locale without UTF-8 loses icons, not the output."""
    environ = {"INTCTL_HOME": str(tmp_path), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environ["COLUMNS"] = "1"
    for words in (["init"], ["dashboard"]):
        ran = subprocess.run(
            [sys.executable, "-m", "intctl", *words], capture_output=True, env=environ, check=False, timeout=60
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.isascii()
