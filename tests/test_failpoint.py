"""Failpoints: nothing without both variables, and then exactly what was asked, exactly there."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

_RUN = """
import os
from intctl.failpoint import arm, reach
arm(os.environ)
reach("token_saving")
print("before", flush=True)
reach("token_saved")
print("after")
"""


def ran(point: str, armed: str = "1") -> tuple[int, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN], env={"INTCTL_FAILPOINT": point, "INTCTL_TEST_FAILPOINTS": armed},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    return process.returncode, out


@pytest.mark.parametrize(
    "point",
    ["", "token_saved", "elsewhere:kill", "token_before_api:kill", "token_saved:", "token_saved:explode"],
)
def test_nothing_happens_elsewhere(point: str) -> None:
    """Another point, no action: the process goes on."""
    assert ran(point) == (0, "before\nafter\n")


@pytest.mark.parametrize("armed", ["", "0", "yes"])
def test_one_variable_is_not_enough(armed: str) -> None:
    """A stray variable breaks no real run."""
    assert ran("token_saved:kill", armed) == (0, "before\nafter\n")


@pytest.mark.parametrize(("action", "code"), [("kill", -signal.SIGKILL), ("raise", 1)])
def test_the_action_is_done_there(action: str, code: int) -> None:
    """What came before the point is done, what comes after it is not."""
    assert ran(f"token_saved:{action}") == (code, "before\n")
