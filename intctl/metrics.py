"""What the recorded checks add up to: uptime, response times, error rate.

`unknown` is neither up nor down: it counts as checked, and is left out of uptime and error rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
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
