"""The metrics file: valid for promtool, and written atomically."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from intctl.health.log_entry import NO_METADATA, LogMetadata
from intctl.health.status import Verdict
from intctl.service.exposition import METRICS, Done, exposition, write, write_failed
from intctl.store.gauges import Gauge
from intctl.store.undelivered import Undelivered

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
DONE = Done(NOW, 1.25, {"healthy": 2, "down": 1}, 7, 21)
ODD = 'a "quoted" \\ name\nwith a line, {braces} and ü'


def gauge(name: str = "Email", verdict: Verdict = "healthy", code: str = "ok", **values: Any) -> Gauge:
    usual: dict[str, Any] = {
        "id": f"id-of-{name}",
        "org_id": "0a0a",
        "name": name,
        "provider": "smtp",
        "type": "email",
        "status": "active",
        "error_count": 0,
        "last_health_check": NOW,
        "response_time_ms": 212,
        "newest": LogMetadata(verdict=verdict, code=code),
        "is_current": True,
    }
    return Gauge(**{**usual, **values})


NEVER: dict[str, Any] = {
    "newest": NO_METADATA,
    "is_current": False,
    "last_health_check": None,
    "response_time_ms": None,
    "error_count": None,
    "status": "inactive",
}
GAUGES = [
    gauge(),
    gauge("SMS", "down", "connect.refused", status="error", error_count=3),
    gauge(ODD, "unknown", "self.no_network"),
    gauge("New", **NEVER),
    gauge("Edited", is_current=False),
    gauge("Portal's", status=None),
]

_SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)')


def samples(text: str) -> dict[str, str]:
    """Name with labels -> value, read as strictly as the format is written."""
    assert text.endswith("\n")
    found: dict[str, str] = {}
    helped: list[str] = []
    typed: list[str] = []
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped.append(line.split(" ")[2])
        elif line.startswith("# TYPE "):
            typed.append(line.split(" ")[2])
            assert line.split(" ")[3] in ("gauge", "counter")
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, line
            float(match[3])
            assert match[1] == typed[-1] == helped[-1], f"{line}: not under its own HELP and TYPE"
            assert match[1] + (match[2] or "") not in found, f"twice: {line}"
            found[match[1] + (match[2] or "")] = match[3]
    assert len(set(typed)) == len(typed) and typed == helped
    return found


def of(found: dict[str, str], metric: str) -> dict[str, str]:
    """Integration's name -> value of one metric."""
    return {
        match[1]: value
        for key, value in found.items()
        if (match := re.match(metric + r'\{integration="((?:[^"\\]|\\.)*)"', key))
    }


def test_what_is_said_of_each() -> None:
    """An unknown integration is neither up nor down; an edited config has no verdict yet."""
    found = samples(exposition(GAUGES, DONE))
    odd = 'a \\"quoted\\" \\\\ name with a line, {braces} and ü'
    assert of(found, "intctl_integration_up") == {"Email": "1", "SMS": "0", "Portal's": "1"}
    assert of(found, "intctl_integration_enabled") == {
        "Email": "1",
        "SMS": "1",
        odd: "1",
        "New": "0",
        "Edited": "1",
        "Portal's": "0",
    }
    assert of(found, "intctl_integration_consecutive_failures")["SMS"] == "3"
    assert of(found, "intctl_integration_response_seconds")["Email"] == "0.212"
    assert of(found, "intctl_integration_last_check_timestamp_seconds")["Email"] == str(int(NOW.timestamp()))
    assert "New" not in of(found, "intctl_integration_last_check_timestamp_seconds")
    verdicts = [key for key in found if key.startswith("intctl_integration_verdict")]
    ends = {re.search(r'verdict="(\w+)",code="([\w.]*)"\}', key).groups() for key in verdicts}  # type: ignore[union-attr]
    assert ends == {
        ("healthy", "ok"),
        ("down", "connect.refused"),
        ("unknown", "self.no_network"),
        ("unknown", "self.not_checked"),
    }
    assert found['intctl_integrations{status="active"}'] == "3"
    assert found['intctl_integrations{status="error"}'] == "1"
    assert found['intctl_integrations{status="inactive"}'] == "2"


def test_what_is_said_of_the_agent() -> None:
    """The file has the end, duration and findings of the pass, and the sums."""
    found = samples(exposition([], DONE, Undelivered(pending=3, retrying=1, dead=2)))
    assert found["intctl_agent_last_pass_success"] == "1"
    assert found["intctl_agent_last_pass_timestamp_seconds"] == str(int(NOW.timestamp()))
    assert found["intctl_agent_last_pass_duration_seconds"] == "1.25"
    assert found['intctl_agent_last_pass_checks{verdict="healthy"}'] == "2"
    assert found['intctl_agent_last_pass_checks{verdict="unknown"}'] == "0"
    assert (found["intctl_agent_passes_total"], found["intctl_agent_checks_total"]) == ("7", "21")
    assert (found["intctl_notifications_pending"], found["intctl_notifications_dead"]) == ("3", "2")
    assert any(key.startswith("intctl_agent_info{version=") for key in found)


def test_names_follow_the_conventions() -> None:
    """Counters and only they end in _total; times are in seconds; no sample has a timestamp of its own."""
    for name, (kind, words) in METRICS.items():
        assert name.startswith("intctl_") and (kind == "counter") == name.endswith("_total")
        assert not re.search("_(ms|milliseconds|minutes|count|sum|bucket)(_|$)", name)
        assert words.endswith(".") and "\\" not in words and "\n" not in words
    assert {key.partition("{")[0] for key in samples(exposition(GAUGES, DONE))} == set(METRICS)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: only this parser judged")
@pytest.mark.parametrize("failed", [False, True])
def test_promtool_has_nothing_to_say(tmp_path: Path, failed: bool) -> None:
    """`promtool check metrics` accepts the file without warnings, also after a failed pass."""
    path = tmp_path / "intctl.prom"
    write(path, exposition(GAUGES, DONE))
    if failed:
        write_failed(path)
    with path.open() as file:
        ran = subprocess.run(["promtool", "check", "metrics"], stdin=file, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_file_is_for_everybody_to_read(tmp_path: Path) -> None:
    """The file has mode 0644 with any umask, for the collector's user, and no temporary file is left."""
    path = tmp_path / "intctl.prom"
    before = os.umask(0o077)
    try:
        for _ in range(2):
            write(path, exposition(GAUGES, DONE))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["intctl.prom"]


def test_no_reader_sees_half_a_file(tmp_path: Path) -> None:
    """A reader always finds a whole file, and no other file that ends in .prom."""
    path, text = tmp_path / "intctl.prom", exposition([gauge(f"n{i}") for i in range(300)], DONE)
    write(path, text)
    done = threading.Event()

    def again() -> None:
        while not done.is_set():
            write(path, text)

    thread = threading.Thread(target=again)
    thread.start()
    try:
        for _ in range(200):
            assert path.read_text() == text
            assert [name for name in os.listdir(tmp_path) if name.endswith(".prom")] == ["intctl.prom"]
    finally:
        done.set()
        thread.join()


def test_what_can_not_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk or a missing folder is an OSError; the old file is unchanged, without a temporary one."""
    path = tmp_path / "intctl.prom"
    write(path, "old\n")

    def full(*_: object) -> None:
        raise OSError(28, "no space")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(os, "fchmod", full)
        write(path, "new\n")
    assert path.read_text() == "old\n"
    assert os.listdir(tmp_path) == ["intctl.prom"]
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "gone" / "intctl.prom", "new\n")


def test_a_failed_pass_keeps_what_is_known(tmp_path: Path) -> None:
    """After a failed pass the samples of the integrations are kept, and one line records the failure."""
    path = tmp_path / "intctl.prom"
    write(path, exposition(GAUGES, DONE))
    before = samples(path.read_text())
    write_failed(path)
    assert samples(path.read_text()) == {**before, "intctl_agent_last_pass_success": "0"}
    write(path, exposition(GAUGES, DONE))
    assert samples(path.read_text()) == before


@pytest.mark.parametrize("before", [None, "", "something else\n"])
def test_a_failed_first_pass_says_so(tmp_path: Path, before: str | None) -> None:
    """If intctl has not written the file yet, it has only the failure."""
    path = tmp_path / "intctl.prom"
    if before is not None:
        path.write_text(before)
    write_failed(path)
    found = samples(path.read_text())
    assert found.pop("intctl_agent_last_pass_success") == "0"
    assert [key.partition("{")[0] for key in found] == ["intctl_agent_info"]
