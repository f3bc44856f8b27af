"""The units in contrib/systemd, judged by systemd's own tool."""

from __future__ import annotations

import re
import shutil
import subprocess
from ipaddress import ip_network
from pathlib import Path

import pytest

from intctl.probes.guard import REFUSED

UNITS = Path(__file__).parents[2] / "contrib" / "systemd"
DOCS = Path(__file__).parents[2] / "docs" / "systemd.md"
NAMES = ("intctl-agent.service", "intctl-agent-loop.service")

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed: the units are NOT verified"
)


def copied(folder: Path, *, postgresql: bool) -> list[Path]:
    """The units with an ExecStart that exists on this machine."""
    shutil.copytree(UNITS, folder, dirs_exist_ok=True)
    for path in [*folder.glob("*.service"), *folder.glob("*/*.conf")]:
        path.write_text(path.read_text().replace("/usr/local/bin/intctl", shutil.which("true") or ""))
    if not postgresql:
        for drop_in in folder.glob("*.d"):
            shutil.rmtree(drop_in)
    return [folder / name for name in (*NAMES, "intctl-agent.timer")]


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


@needs_systemd
@pytest.mark.parametrize("postgresql", [False, True], ids=["sqlite", "postgresql"])
def test_units_verify_clean(tmp_path: Path, postgresql: bool) -> None:
    """systemd finds nothing to say about the units, with and without the PostgreSQL drop-in."""
    found = analyze("verify", *copied(tmp_path, postgresql=postgresql))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@needs_systemd
@pytest.mark.parametrize("postgresql", [False, True], ids=["sqlite", "postgresql"])
def test_exposure_is_what_the_docs_say(tmp_path: Path, postgresql: bool) -> None:
    """The exposure that docs/systemd.md states is not exceeded by any unit."""
    stated = re.search(r"exposure \*\*([\d.]+)\*\*", DOCS.read_text())
    assert stated
    for unit in copied(tmp_path, postgresql=postgresql)[:2]:
        report = analyze("security", "--offline=true", unit).stdout
        measured = re.search(r"Overall exposure level for \S+: ([\d.]+)", report)
        assert measured and float(measured[1]) <= float(stated[1]), report


def test_hardening_is_the_same_in_both_services() -> None:
    """The timer's service and the loop service are confined alike."""
    apart = {"Type", "ExecStart", "ExecReload", "Restart", "RestartSec", "TimeoutStartSec", "WatchdogSec"}
    confined = [
        [line for line in service_section(name) if not line.startswith("#") and line.partition("=")[0] not in apart]
        for name in NAMES
    ]
    assert confined[0] == confined[1]


@pytest.mark.case("security 13")
@pytest.mark.parametrize("name", NAMES)
def test_the_units_deny_what_the_guard_refuses(name: str) -> None:
    """The metadata and link-local addresses of the units are those of `probes.guard`."""
    lines = [line.partition("=") for line in service_section(name)]
    denied = {ip_network(net) for key, _, nets in lines if key == "IPAddressDeny" for net in nets.split()}
    assert denied == {net for net, why in REFUSED.items() if "metadata" in why or "link-local" in why}


@pytest.mark.case("security 13")
def test_the_exception_for_a_resolver_opens_nothing_else() -> None:
    """The drop-in of docs/systemd.md denies what the guard refuses, except the network of the resolver."""
    text = DOCS.read_text().partition("  IPAddressDeny=\n")[2].partition("```")[0]
    denied = {
        ip_network(net) for net in re.findall(r"^  IPAddressDeny=(.*)$", text, re.MULTILINE) for net in net.split()
    }
    whole = {net for net, why in REFUSED.items() if "metadata" in why or "link-local" in why}
    assert denied == whole - {ip_network("169.254.0.0/16")}


def test_timer_is_minutely() -> None:
    """The timer fires every minute, to the second: longer ones leave gaps over two intervals."""
    text = (UNITS / "intctl-agent.timer").read_text()
    for line in ("OnCalendar=minutely", "AccuracySec=1s", "Persistent=true"):
        assert line in text.splitlines()


def test_the_service_is_watched() -> None:
    """The loop service says when it is ready, and systemd waits for its signs of life longer than a check may take.

    Type=notify-reload would want systemd 253.
    """
    lines = service_section("intctl-agent-loop.service")
    assert {"Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "Restart=on-failure"} <= set(lines)
    (watchdog,) = [line for line in lines if line.startswith("WatchdogSec=")]
    # The longest check, as long as a database is waited for, and the command that may run meanwhile.
    assert int(watchdog.partition("=")[2]) >= 60 + 30 + 10 + 20


def service_section(name: str) -> list[str]:
    section = (UNITS / name).read_text().split("[Service]")[1].split("[Install]")[0]
    return [line for line in section.splitlines() if line]
