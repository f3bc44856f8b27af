"""The first steps of the process: it is closed to others before anything is read, and runs no foreign module."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import pytest

# Reports, at the import of the command line and at the end: core limits, dumpable, and the modules that are loaded.
WATCHED = """
import atexit, ctypes, resource, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "intctl.cli":
            report()
def report():
    state = (resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
    print("STATE", state, "click" in sys.modules, file=sys.stderr)
sys.meta_path.insert(0, Watch())
atexit.register(report)
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sys.argv = ["intctl", *sys.argv[1:]]
from intctl.__main__ import main
main()
"""


@pytest.mark.case("security 5")
@pytest.mark.parametrize("line", ["--help", "list", "test -f -", "providers list", "agent --once", "none"])
def test_every_command_is_closed_before_anything_else(line: str, tmp_path: Path) -> None:
    """Before the command line is even imported, no core can be written and no other process can look in."""
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED, *line.split()],
        env={"INTCTL_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        input="",
        capture_output=True,
        text=True,
    )
    states = [found for found in ran.stderr.splitlines() if found.startswith("STATE")]
    assert states == ["STATE ((0, 0), 0) False", "STATE ((0, 0), 0) True"]


@pytest.mark.case("security 5")
def test_the_installed_command_starts_there() -> None:
    """The script `intctl` and `python -m intctl` run the same function."""
    (script,) = entry_points(group="console_scripts", name="intctl")
    assert script.value == "intctl.__main__:main"


@pytest.mark.case("security 5")
def test_a_waiting_command_leaves_no_core(tmp_path: Path) -> None:
    """A command that is aborted while it reads a manifest leaves no core file, whatever the limit was."""
    process = subprocess.Popen(
        ["sh", "-c", f"ulimit -c unlimited; exec '{sys.executable}' -m intctl test -f -"],
        env={"INTCTL_HOME": str(tmp_path / "home"), "TOKEN": "canary-7f3a9c"},
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    limits = Path(f"/proc/{process.pid}/limits")
    ends = time.monotonic() + 30
    while "Max core file size        0                    0 " not in limits.read_text():
        assert time.monotonic() < ends
        time.sleep(0.01)
    os.kill(process.pid, 6)
    process.communicate()
    assert list(tmp_path.rglob("*core*")) == []


@pytest.mark.case("security 28")
@pytest.mark.parametrize(
    "module", ["yaml", "json", "click", "sqlite3", "ctypes", "platformdirs", "typing", "re", "enum", "resource"]
)
def test_a_module_of_the_current_folder_is_not_run(module: str, tmp_path: Path) -> None:
    """`python -m intctl` in a folder with a yaml.py of somebody else does not import it."""
    (tmp_path / f"{module}.py").write_text("raise SystemExit('RUN')")
    ran = subprocess.run(
        [sys.executable, "-m", "intctl", "test", "-f", "-"],
        env={"INTCTL_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        input="name: X\nprovider: smtp\n",
        capture_output=True,
        text=True,
    )
    assert "RUN" not in ran.stderr
    assert ran.returncode == 2
