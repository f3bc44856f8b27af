"""What the recorded checks add up to: uptime, response times, error rate.

`unknown` is neither up nor down: it counts as checked, and is left out of uptime and error rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

#: The windows that can be asked for.
WINDOWS = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}


def summarise(counted: Mapping[str, Any], window: str) -> dict[str, Any]:
    """One integration's metrics. Percentages are 0…100, times milliseconds; None where nothing was judged."""
    successes, failures = int(counted["successes"]), int(counted["failures"])
    judged = successes + failures
    average = counted["average_ms"]
    return {
        "integration": counted["integration"],
        "id": counted["id"],
        "window": window,
        "checks": judged + int(counted["unknowns"]),
        "successes": successes,
        "failures": failures,
        "unknown": int(counted["unknowns"]),
        "uptime_percent": round(100 * successes / judged, 2) if judged else None,
        "error_rate_percent": round(100 * failures / judged, 2) if judged else None,
        "response_time_average_ms": round(float(average), 1) if average is not None else None,
        "response_time_p95_ms": int(counted["p95_ms"]) if counted["p95_ms"] is not None else None,
    }


#: What failures in a phase point to, for people.
_POINTS_TO = {
    "dns": "the name or the resolver",
    "tcp": "network or firewall",
    "tls": "the certificate or the TLS mode",
    "greet": "the server accepts and does not speak",
    "auth": "the credential",
    "api": "the provider's service",
}


def pattern(logs: Sequence[Mapping[str, Any]], now: datetime) -> str | None:
    """What the failures since the last success have in common, or None when there are fewer than two.

    `logs` are health logs, newest first.
    """
    failures: list[Mapping[str, Any]] = []
    for log in logs:
        if log["status"] == "success":
            break
        if log["status"] == "failure":
            failures.append(log)
    if len(failures) < 2:
        return None
    phase, count = Counter(log["phase"] for log in failures).most_common(1)[0]
    alike = [log for log in failures if log["phase"] == phase]
    waits = sum(log["code"].endswith(("timeout", "deadline")) for log in alike)
    kind = "time-outs" if waits == count else "failures"
    minutes = max(1, round((now - alike[-1]["checked_at"]).total_seconds() / 60))
    span = "a minute" if minutes == 1 else f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
    others = f", and {len(failures) - count} elsewhere" if len(failures) > count else ""
    return f"{count} {kind} in {span}, {phase or 'no'} phase: {_POINTS_TO.get(phase, 'this machine')}{others}"
