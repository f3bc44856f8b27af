"""`intctl sandbox run`, as a process."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

PRINT = "import os, sys; print('\\n'.join(f'{k}={v}' for k, v in os.environ.items() if '\\n' not in v))"


def start(*argv: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "intctl", "sandbox", "run", *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environ or {})},
    )


def run(*argv: str, environ: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    with start(*argv, environ=environ) as process:
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


def test_command_finds_the_sandbox_in_its_environment(tmp_path: Path) -> None:
    """The variables of the examples and INTCTL_SANDBOX_* are there; the folder is gone afterwards."""
    code, out, _ = run("--", sys.executable, "-c", PRINT, environ={"TMPDIR": str(tmp_path), "CALLER": "kept"})
    found = dict(line.split("=", 1) for line in out.splitlines())
    assert code == 0
    assert found["TWILIO_AUTH_TOKEN"] and found["SENDGRID_API_KEY"] and found["CALLER"] == "kept"
    assert found["INTCTL_SANDBOX_URL_TWILIO"].startswith("https://127.0.0.1:")
    assert f"--set base_url={found['INTCTL_SANDBOX_URL_TWILIO']}" in found["INTCTL_SANDBOX_SET_TWILIO"]
    assert f"port={found['INTCTL_SANDBOX_PORT_STARTTLS']}" in found["INTCTL_SANDBOX_SET_SMTP"]
    assert found["INTCTL_SANDBOX_CA_FILE"].startswith(found["INTCTL_SANDBOX_DIR"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)])
def test_exit_code_is_the_commands(script: str, code: int) -> None:
    """The command's own exit code, or 128 and the signal that ended it."""
    assert run("sh", "-c", script) == (code, "", "")


def test_options_of_the_command_are_its_own() -> None:
    """intctl does not parse the command's arguments, with and without `--`."""
    assert run("echo", "--org", "-h", "--help")[:2] == (0, "--org -h --help\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_passed_on(number: signal.Signals, tmp_path: Path) -> None:
    """SIGTERM and SIGINT reach the command, and its exit code is returned."""
    script = f"trap 'exit 9' {number.name[3:]}; echo ready; while :; do sleep 0.1; done"
    with start("sh", "-c", script, environ={"TMPDIR": str(tmp_path)}) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == 9
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("executable", [False, True])
def test_a_command_that_cannot_run_is_said_to_be_one(tmp_path: Path, executable: bool) -> None:
    """Exit 2 and one line, for a missing command and for one that is not executable."""
    command = tmp_path / "tool"
    if executable:
        command.write_text("not a program")
        command.chmod(stat.S_IRUSR)
    code, out, err = run(str(command))
    assert (code, out) == (2, "")
    assert err == f'intctl: "{command}" can\'t be run: there is no such command, or it is not executable.\n'


def test_missing_extra_is_one_line(tmp_path: Path) -> None:
    """Without aiosmtpd the command says what to install, and nothing is started."""
    stand_in = tmp_path / "aiosmtpd"
    stand_in.mkdir()
    (stand_in / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'aiosmtpd'\", name='aiosmtpd')")
    code, out, err = run("echo", "started", environ={"PYTHONPATH": str(tmp_path)})
    assert (code, out) == (2, "")
    assert err == "intctl: The sandbox requires another package. Run: pip install 'intctl[sandbox]'\n"
