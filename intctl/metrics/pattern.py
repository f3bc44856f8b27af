"""What failures have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from intctl.store.logs import LogEntry

#: The likely cause of failures in a phase, for people.
_POINTS_TO = {
    "dns": "the name or the resolver",
    "tcp": "network or firewall",
    "tls": "the certificate or the TLS mode",
    "greet": "the server accepts the connection but never replies",
    "auth": "the credential",
    "api": "the provider's service",
}


def pattern(logs: Sequence[LogEntry], now: datetime) -> str | None:
    """What the failures since the last success have in common, or None when there are fewer than two.

    `logs` are health logs, newest first.
    """
    failures: list[LogEntry] = []
    for log in logs:
        if log.status == "success":
            break
        if log.status == "failure":
            failures.append(log)
    if len(failures) < 2:
        return None
    phase, count = Counter(log.phase for log in failures).most_common(1)[0]
    alike = [log for log in failures if log.phase == phase]
    waits = sum(log.code.endswith(("timeout", "deadline")) for log in alike)
    kind = "time-outs" if waits == count else "failures"
    minutes = max(1, round((now - alike[-1].checked_at).total_seconds() / 60))
    span = "a minute" if minutes == 1 else f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
    others = f", and {len(failures) - count} elsewhere" if len(failures) > count else ""
    return f"{count} {kind} in {span}, {phase or 'no'} phase: {_POINTS_TO.get(phase, 'this machine')}{others}"
