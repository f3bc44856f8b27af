"""The messages to $NOTIFY_SOCKET, and the interval of watchdog messages."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from intctl.service.systemd import ServiceManager

from ..agent_rig import until
from .manager import manager


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_what_is_said(tmp_path: Path, kind: str) -> None:
    """Each state is one datagram of sd_notify(3), on a socket in the file system or an abstract one."""
    with manager(tmp_path, f"@intctl-{uuid.uuid4().hex}" if kind == "abstract" else "") as made:
        service_manager = ServiceManager({"NOTIFY_SOCKET": made.address})
        service_manager.ready("Started")
        service_manager.status("checked 1:\n1 healthy\x1b[31m")
        service_manager.reloading()
        service_manager.stopping()
        until(lambda: len(made.received_any) == 4, "four messages")
    ready, status, reloading, stopping = made.messages()
    assert (ready, stopping.splitlines()[0]) == ("READY=1\nSTATUS=Started", "STOPPING=1")
    assert status.startswith("STATUS=checked 1: 1 healthy") and "\n" not in status and "\x1b" not in status
    first, second = reloading.splitlines()
    assert (first, second.partition("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
    assert 0 < int(second.partition("=")[2]) <= int(made.received_any[2][0] * 1_000_000) + 1_000_000


@pytest.mark.parametrize("address", ["", "relative", "/does/not/exist", "vsock:2:1234"])
def test_nobody_listens(address: str) -> None:
    """Without a manager, or with one that does not listen, nothing happens and nothing fails."""
    ServiceManager({"NOTIFY_SOCKET": address} if address else {}).ready("Started")


def test_a_manager_that_is_full_is_not_waited_for(tmp_path: Path) -> None:
    """A full queue does not delay the agent."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        service_manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "deaf")})
        for _ in range(2000):
            service_manager.status("x" * 400)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def signs(tmp_path: Path, times: list[float], **environ: str) -> int:
    """The number of watchdog messages for progress at these times."""
    with manager(tmp_path) as made:
        clock = Clock()
        service_manager = ServiceManager({"NOTIFY_SOCKET": made.address, **environ}, clock)
        for clock.now in times:
            service_manager.progress()
        service_manager.stopping()
        until(lambda: made.messages("STOPPING"), "the end")
        return len(made.messages("WATCHDOG=1"))


def test_signs_of_life_come_at_half_the_interval(tmp_path: Path) -> None:
    """Progress is reported to systemd at half its interval, and at least once a second."""
    tenths = [tenth / 10 for tenth in range(50)]
    assert signs(tmp_path, tenths, WATCHDOG_USEC="1000000") == 10
    (tmp_path / "notify").unlink()
    assert signs(tmp_path, tenths, WATCHDOG_USEC="180000000") == 5


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}],
)
def test_no_watchdog_no_signs(tmp_path: Path, environ: dict[str, str]) -> None:
    """Without a watchdog, or with one for another process, no messages are sent."""
    assert signs(tmp_path, [0.0, 10.0], **environ) == 0


def test_the_watchdog_of_this_process_is_ours(tmp_path: Path) -> None:
    """WATCHDOG_PID with this process's id is the same as none."""
    assert signs(tmp_path, [0.0], WATCHDOG_USEC="1000000", WATCHDOG_PID=str(os.getpid())) == 1


def test_no_child_can_speak_for_us() -> None:
    """The variables are removed from the environment."""
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "LANG": "C"}
    ServiceManager(environ)
    assert environ == {"LANG": "C"}
