"""The metrics file for node_exporter's textfile collector: gauges of each integration and of the agent.

The text format is Prometheus's, without timestamps, which the collector refuses. The collector reads only
files that end in .prom, so it never reads the temporary file half-written.
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

from intctl import __version__
from intctl.health.status import is_enabled
from intctl.store.gauges import Gauge
from intctl.store.undelivered import Undelivered
from intctl.text import clean

_SUCCESS = "intctl_agent_last_pass_success"

#: Metric -> (type, help), in the order of the file.
METRICS: dict[str, tuple[str, str]] = {
    "intctl_agent_info": ("gauge", "The version of the agent that wrote this file."),
    _SUCCESS: ("gauge", "1 if the last pass was completed; if 0, the other samples predate it."),
    "intctl_agent_last_pass_timestamp_seconds": ("gauge", "End of the last completed pass, in UNIX seconds."),
    "intctl_agent_last_pass_duration_seconds": ("gauge", "Duration of the last completed pass."),
    "intctl_agent_last_pass_checks": ("gauge", "Checks recorded by the last completed pass, by verdict."),
    "intctl_agent_passes_total": ("counter", "Completed passes of this agent."),
    "intctl_agent_checks_total": ("counter", "Checks recorded by this agent."),
    "intctl_notifications_pending": ("gauge", "Notifications that were not delivered yet and will be attempted."),
    "intctl_notifications_dead": ("gauge", "Dead letters: notifications without an attempt left."),
    "intctl_integrations": ("gauge", "Integrations, by status."),
    "intctl_integration_enabled": ("gauge", "1 if the integration is enabled, 0 if it is not."),
    "intctl_integration_up": ("gauge", "1 if the newest check found it working, 0 if failing, absent if unknown."),
    "intctl_integration_verdict": ("gauge", "Always 1; verdict and code of the newest check are labels."),
    "intctl_integration_consecutive_failures": ("gauge", "Failures in a row."),
    "intctl_integration_last_check_timestamp_seconds": ("gauge", "Time of the newest check, in UNIX seconds."),
    "intctl_integration_response_seconds": ("gauge", "Response time of the newest check."),
}
_UP = {"healthy": 1, "degraded": 1, "down": 0, "misconfigured": 0}
_NONE_UNDELIVERED = Undelivered()
_VERDICTS = ("healthy", "degraded", "down", "misconfigured", "unknown")


@dataclass(frozen=True, slots=True)
class Done:
    """The agent's last completed pass."""

    finished_at: datetime
    duration_s: float
    verdicts: Mapping[str, int]
    passes: int
    checks: int


class _Lines:
    """The samples, grouped by metric as the format requires."""

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


def exposition(gauges: Iterable[Gauge], done: Done, undelivered: Undelivered = _NONE_UNDELIVERED) -> str:
    """The text of the whole file."""
    lines = _Lines()
    lines.add("intctl_agent_info", 1, version=__version__)
    lines.add(_SUCCESS, 1)
    lines.add("intctl_agent_last_pass_timestamp_seconds", done.finished_at.timestamp())
    lines.add("intctl_agent_last_pass_duration_seconds", done.duration_s)
    for verdict in _VERDICTS:
        lines.add("intctl_agent_last_pass_checks", done.verdicts.get(verdict, 0), verdict=verdict)
    lines.add("intctl_agent_passes_total", done.passes)
    lines.add("intctl_agent_checks_total", done.checks)
    lines.add("intctl_notifications_pending", undelivered.pending)
    lines.add("intctl_notifications_dead", undelivered.dead)
    statuses: Counter[str] = Counter(dict.fromkeys(("active", "error", "inactive"), 0))
    for gauge in gauges:
        _integration(lines, gauge)
        statuses[gauge.status or "inactive"] += 1
    for status, count in statuses.items():
        lines.add("intctl_integrations", count, status=status)
    return lines.text()


def _integration(lines: _Lines, gauge: Gauge) -> None:
    labels = {
        "integration": gauge.name,
        "id": gauge.id,
        "org_id": gauge.org_id,
        "provider": gauge.provider,
        "type": gauge.type,
    }
    verdict, code = "unknown", "self.not_checked"
    if gauge.is_current:
        verdict, code = gauge.newest.verdict or "unknown", gauge.newest.code or ""
    lines.add("intctl_integration_enabled", is_enabled(gauge.status), **labels)
    if verdict in _UP:
        lines.add("intctl_integration_up", _UP[verdict], **labels)
    lines.add("intctl_integration_verdict", 1, **labels, verdict=verdict, code=code)
    lines.add("intctl_integration_consecutive_failures", gauge.error_count or 0, **labels)
    if gauge.last_health_check is not None:
        name = "intctl_integration_last_check_timestamp_seconds"
        lines.add(name, gauge.last_health_check.timestamp(), **labels)
    if gauge.response_time_ms is not None:
        lines.add("intctl_integration_response_seconds", gauge.response_time_ms / 1000, **labels)


def _escaped(text: object) -> str:
    """The value of a label: control characters removed; backslash, quote and line feed escaped."""
    return clean(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 6))


def write(path: Path, text: str) -> None:
    """Replace the file atomically, readable by every user: the collector is another one. Raises OSError."""
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
    """Record a failed pass in the file, and keep its samples of the integrations. Raises OSError.

    An alert on an integration must not clear because the agent failed.
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
