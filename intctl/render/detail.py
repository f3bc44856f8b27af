"""One integration on a page, and the lines that a check prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from intctl.render.history import known
from intctl.render.words import ago, last_sync_text, own_limits_text, status_text, usage_text
from intctl.text import clean, rfc3339

Row = Mapping[str, Any]


def detail(row: Row, now: datetime) -> str:
    """The page of `intctl show`."""
    lines = [clean(row["name"]), "=" * len(clean(row["name"]))]
    lines += _pairs(
        {
            "Id": row["id"],
            "Provider": f"{row['title']} ({row['type']})",
            "Status": status_text(row),
            "Last sync": last_sync_text(row, now),
            "Sync error": row["last_sync_error"],
            "Checked every": f"{row['health_check_interval_minutes']} min",
            "Created": rfc3339(row["created_at"]) if row["created_at"] else None,
        }
    )
    lines += ["", "Health"]
    lines += _pairs(
        {
            "Verdict": f"{row['verdict']} ({row['code']})",
            "Last check": ago(row["last_health_check"], now),
            "Next check": _until(row["next_check_at"], now),
            "Usage": usage_text(row["usage"], now, row["last_health_check"]),
            "Own limits": own_limits_text(row["config"]),
            "Error": row["error_message"],
            "Failures in a row": row["error_count"] or None,
            "Phases": phases(row["phases_ms"]),
            "Next step": row["next_step"] if row["verdict"] != "healthy" else None,
        }
    )
    if row["facts"]:
        lines += ["", "Facts"]
        lines += _pairs({key.replace("_", " "): value for key, value in row["facts"].items()})
    lines += ["", "Config"]
    lines += _pairs(row["config"]) if row["config"] is not None else [f"  {clean(row['config_problem'])}"]
    lines += ["", "Last 24 hours"]
    lines += _pairs(_figures(row["metrics"]))
    if row["recent_errors"]:
        lines += ["", "Recent errors"]
        for error in row["recent_errors"]:
            lines.append(f"  {ago(error['checked_at'], now)}: {clean(error['error_message'] or error['code'], 300)}")
    return "\n".join(lines) + "\n"


def _figures(metrics: Row) -> dict[str, object]:
    shown: dict[str, object] = {"Checks": metrics["checks"]}
    for label, key, unit in (
        ("Uptime", "uptime_percent", " %"),
        ("Error rate", "error_rate_percent", " %"),
        ("Response time", "response_time_average_ms", " ms on average"),
        ("95th percentile", "response_time_p95_ms", " ms"),
    ):
        if metrics[key] is not None:
            shown[label] = f"{metrics[key]}{unit}"
    if metrics["uptime_percent"] is not None:
        shown["Uptime"] = f"{shown['Uptime']} ({known(metrics)} of the time is known)"
    return shown


def _pairs(values: Mapping[str, object]) -> list[str]:
    shown = {key: value for key, value in values.items() if value is not None and value != ""}
    width = max([len(key) for key in shown], default=0)
    return [f"  {key:<{width}}  {_text(value)}" for key, value in shown.items()]


def _text(value: object) -> str:
    return ", ".join(clean(item) for item in value) if isinstance(value, list) else clean(value)


def _until(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "none planned"
    seconds = int((moment - now).total_seconds())
    return "due now" if seconds <= 0 else f"in {seconds} sec" if seconds < 60 else f"in {seconds // 60} min"


def phases(phases_ms: Mapping[str, float]) -> str:
    """`dns 0.3 ms, tcp 1.2 ms, …`."""
    return ", ".join(f"{name} {ms:g} ms" for name, ms in phases_ms.items())


def finding(row: Row) -> str:
    """One checked integration, in one line; a second one says what to do."""
    where = f", {row['phase']} phase" if row["phase"] and row["verdict"] not in ("healthy", "degraded") else ""
    line = f"{clean(row['integration'])}: {row['verdict']} — {clean(row['message'])}"
    line += f" ({row['code']}{where}, {row['response_time_ms']} ms)"
    if row["verdict"] != "healthy":
        line += f"\n  Next: {row['next_step']}"
    return line


_NAGIOS = {"healthy": 0, "degraded": 1, "down": 2, "misconfigured": 2, "unknown": 3}
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


def nagios(rows: Sequence[Row]) -> tuple[str, int]:
    """One line for a monitoring plugin, and its exit code: the worst of all."""
    if not rows:
        return "INTCTL UNKNOWN - nothing to check\n", 3
    # critical is worse than unknown, unknown worse than a warning
    code = max((_NAGIOS[row["verdict"]] for row in rows), key=(0, 1, 3, 2).index)
    bad = [row for row in rows if row["verdict"] != "healthy"]
    said = "; ".join(f"{clean(row['integration'])} {row['verdict']} ({row['code']})" for row in bad)
    said = said or f"{len(rows)} healthy"
    times = " ".join(f"'{clean(row['integration']).replace(chr(39), ' ')}'={row['response_time_ms']}ms" for row in rows)
    return f"INTCTL {_WORDS[code]} - {said.replace('|', ' ')} | {times.replace('|', ' ')}\n", code
