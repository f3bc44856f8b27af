"""The page of one integration, and the lines that a check prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from intctl.render.history import known
from intctl.render.words import ago, last_sync_text, own_limits_text, status_text, usage_text
from intctl.text import clean, rfc3339

if TYPE_CHECKING:
    from intctl.metrics.figures import Report
    from intctl.views.finding import Finding
    from intctl.views.integration import IntegrationPage


def detail(page: IntegrationPage) -> str:
    """The page of `intctl show`."""
    one, now = page.integration, page.now
    lines = [clean(one.name), "=" * len(clean(one.name))]
    lines += _pairs(
        {
            "Id": one.id,
            "Provider": f"{page.title} ({one.type})",
            "Status": status_text(one, page.maintenance_until),
            "Last sync": last_sync_text(one, now),
            "Sync error": one.last_sync_error,
            "Checked every": f"{one.health_check_interval_minutes} min",
            "Created": rfc3339(one.created_at) if one.created_at else None,
        }
    )
    lines += ["", "Health"]
    lines += _pairs(
        {
            "Verdict": f"{one.verdict} ({one.code})",
            "Last check": ago(one.last_health_check, now),
            "Next check": _until(one.next_check_at, now),
            "Usage": usage_text(page.usage, now, one.last_health_check),
            "Own limits": own_limits_text(page.config),
            "Error": one.error_message,
            "Failures in a row": one.error_count or None,
            "Phases": phases(one.phases_ms),
            "Next step": page.next_step if one.verdict != "healthy" else None,
        }
    )
    if one.facts:
        lines += ["", "Facts"]
        lines += _pairs({key.replace("_", " "): value for key, value in one.facts.items()})
    lines += ["", "Config"]
    lines += _pairs(page.config) if page.config is not None else [f"  {clean(page.config_problem)}"]
    lines += ["", "Last 24 hours"]
    lines += _pairs(_figures(page.metrics))
    if page.recent_errors:
        lines += ["", "Recent errors"]
        for error in page.recent_errors:
            lines.append(f"  {ago(error.checked_at, now)}: {clean(error.error_message or error.code, 300)}")
    return "\n".join(lines) + "\n"


def _figures(report: Report) -> dict[str, object]:
    shown: dict[str, object] = {"Checks": report.checks}
    for label, value, unit in (
        ("Uptime", report.uptime_percent, " %"),
        ("Error rate", report.error_rate_percent, " %"),
        ("Response time", report.response_time_average_ms, " ms on average"),
        ("95th percentile", report.response_time_p95_ms, " ms"),
    ):
        if value is not None:
            shown[label] = f"{value}{unit}"
    if report.uptime_percent is not None:
        shown["Uptime"] = f"{report.uptime_percent} % ({known(report)} of the time is known)"
    return shown


def _pairs(values: Mapping[str, object]) -> list[str]:
    shown = {clean(key): value for key, value in values.items() if value is not None and value != ""}
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
    return ", ".join(f"{clean(name)} {ms:g} ms" for name, ms in phases_ms.items())


def finding(one: Finding) -> str:
    """The line of a finding; a second line has the next step."""
    where = f", {one.phase} phase" if one.phase and one.verdict not in ("healthy", "degraded") else ""
    line = f"{clean(one.integration)}: {one.verdict} — {clean(one.message)}"
    line += f" ({clean(one.code)}{where}, {one.response_time_ms} ms)"
    if one.verdict != "healthy":
        line += f"\n  Next: {clean(one.next_step)}"
    return line


_NAGIOS = {"healthy": 0, "degraded": 1, "down": 2, "misconfigured": 2, "unknown": 3}
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


def nagios(findings: Sequence[Finding]) -> tuple[str, int]:
    """The line of a monitoring plugin, and its exit code: the worst of all findings that can be proven.

    Of several, those without a known probe do not count: a plugin that is never OK is switched off.
    """
    provable = [one for one in findings if one.code != "self.no_probe"]
    never = len(findings) - len(provable) if provable else 0
    findings = provable or findings
    if not findings:
        return "INTCTL UNKNOWN - nothing to check\n", 3
    # critical is worse than unknown, unknown worse than a warning
    code = max((_NAGIOS[one.verdict] for one in findings), key=(0, 1, 3, 2).index)
    bad = [one for one in findings if one.verdict != "healthy"]
    said = "; ".join(f"{clean(one.integration)} {one.verdict} ({clean(one.code)}): {clean(one.message)}" for one in bad)
    said = said or f"{len(findings)} healthy"
    said += f"; {never} cannot be proven" if never else ""
    times = " ".join(f"'{clean(one.integration).replace(chr(39), ' ')}'={one.response_time_ms}ms" for one in findings)
    return f"INTCTL {_WORDS[code]} - {said.replace('|', ' ')} | {times.replace('|', ' ')}\n", code
