"""A file for node_exporter's textfile collector: gauges of each integration, and of the agent itself.

The text format is Prometheus's, without timestamps, which the collector refuses. Only files that end
in .prom are read by it, so the temporary name beside it is never read half-written.
"""

from __future__ import annotations

import os
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from intctl import __version__
from intctl.health.status import is_enabled
from intctl.store.reads import is_current
from intctl.text import clean

_SUCCESS = "intctl_agent_last_pass_success"

#: Metric -> (type, help), in the order of the file.
METRICS: dict[str, tuple[str, str]] = {
    "intctl_agent_info": ("gauge", "The version of the agent that wrote this file."),
    _SUCCESS: ("gauge", "Whether the last pass was completed; if not, all else here is as before it."),
    "intctl_agent_last_pass_timestamp_seconds": ("gauge", "When the last successful pass finished, as UNIX time."),
    "intctl_agent_last_pass_duration_seconds": ("gauge", "How long the last successful pass took."),
    "intctl_agent_last_pass_checks": ("gauge", "Checks that the last successful pass recorded, by verdict."),
    "intctl_agent_passes_total": ("counter", "Passes of this agent that were completed."),
    "intctl_agent_checks_total": ("counter", "Checks that this agent recorded."),
    "intctl_integrations": ("gauge", "Integrations, by status."),
    "intctl_integration_enabled": ("gauge", "Whether it is checked at all."),
    "intctl_integration_up": ("gauge", "1: the newest check found it working; 0: failing; absent: nothing is known."),
    "intctl_integration_verdict": ("gauge", "1, with the newest check's verdict and code as labels."),
    "intctl_integration_consecutive_failures": ("gauge", "Failures in a row."),
    "intctl_integration_last_check_timestamp_seconds": ("gauge", "When it was last checked, as UNIX time."),
    "intctl_integration_response_seconds": ("gauge", "How long the newest check took."),
}
_UP = {"healthy": 1, "degraded": 1, "down": 0, "misconfigured": 0}
_VERDICTS = ("healthy", "degraded", "down", "misconfigured", "unknown")


@dataclass(frozen=True, slots=True)
class Done:
    """The agent's last pass: when it finished, its seconds, and the counts."""

    finished_at: datetime
    duration_s: float
    verdicts: Mapping[str, int]
    passes: int
    checks: int


class _Lines:
    """The samples, each metric's together, as the format demands."""

    def __init__(self) -> None:
        self._samples: dict[str, list[str]] = {name: [] for name in METRICS}

    def add(self, metric: str, value: float, **labels: str) -> None:
        inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        self._samples[metric].append(f"{metric}{f'{{{inside}}}' if inside else ''} {_number(value)}")

    def text(self) -> str:
        out = []
        for metric, samples in self._samples.items():
            if samples:
                kind, words = METRICS[metric]
                out += [f"# HELP {metric} {words}", f"# TYPE {metric} {kind}", *samples]
        return "\n".join(out) + "\n"


def exposition(rows: Iterable[Mapping[str, Any]], done: Done) -> str:
    """The whole file, of `passes.gauges` and the pass that was just done."""
    lines = _Lines()
    lines.add("intctl_agent_info", 1, version=__version__)
    lines.add(_SUCCESS, 1)
    lines.add("intctl_agent_last_pass_timestamp_seconds", done.finished_at.timestamp())
    lines.add("intctl_agent_last_pass_duration_seconds", done.duration_s)
    for verdict in _VERDICTS:
        lines.add("intctl_agent_last_pass_checks", done.verdicts.get(verdict, 0), verdict=verdict)
    lines.add("intctl_agent_passes_total", done.passes)
    lines.add("intctl_agent_checks_total", done.checks)
    statuses: Counter[str] = Counter(dict.fromkeys(("active", "error", "inactive"), 0))
    for row in rows:
        _integration(lines, row)
        statuses[str(row["status"] or "inactive")] += 1
    for status, count in statuses.items():
        lines.add("intctl_integrations", count, status=status)
    return lines.text()


def _integration(lines: _Lines, row: Mapping[str, Any]) -> None:
    labels = {
        "integration": row["name"],
        "id": row["id"],
        "org_id": row["org_id"],
        "provider": row["provider"],
        "type": row["type"],
    }
    metadata = row["metadata"] if isinstance(row["metadata"], dict) else {}
    current = is_current(row, row["metadata"])
    verdict = str(metadata.get("verdict", "unknown")) if current else "unknown"
    code = str(metadata.get("code", "")) if current else "self.not_checked"
    lines.add("intctl_integration_enabled", is_enabled(row["status"]), **labels)
    if verdict in _UP:
        lines.add("intctl_integration_up", _UP[verdict], **labels)
    lines.add("intctl_integration_verdict", 1, **labels, verdict=verdict, code=code)
    lines.add("intctl_integration_consecutive_failures", row["error_count"] or 0, **labels)
    if row["last_health_check"] is not None:
        name = "intctl_integration_last_check_timestamp_seconds"
        lines.add(name, row["last_health_check"].timestamp(), **labels)
    if row["response_time_ms"] is not None:
        lines.add("intctl_integration_response_seconds", row["response_time_ms"] / 1000, **labels)


def _escaped(text: object) -> str:
    """A label's value: backslash, quote and line feed escaped; what is shown nowhere else, not here either."""
    return clean(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 6))


def write(path: Path, text: str) -> None:
    """Puts the file there, whole, readable for everybody: the collector is another user. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
            os.fchmod(descriptor, 0o644)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_failed(path: Path) -> None:
    """After a failed pass: what the file says of the integrations stays, and that the pass failed is added.

    An alert on an integration must not go quiet because its watcher broke. Raises OSError.
    """
    try:
        before = path.read_text("utf-8", "replace")
    except FileNotFoundError:
        before = ""
    after, known = re.subn(rf"(?m)^{_SUCCESS} .*$", f"{_SUCCESS} 0", before)
    if not known:
        lines = _Lines()
        lines.add("intctl_agent_info", 1, version=__version__)
        lines.add(_SUCCESS, 0)
        after = lines.text()
    write(path, after)
