"""Outcomes as people and scripts see them, and the exit code that they deserve."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from intctl.cli.context import Context
from intctl.errors import EXIT_NOT_HEALTHY, EXIT_OK

if TYPE_CHECKING:
    from intctl.health.outcome import Outcome


Row = dict[str, Any]
OUTCOME_KEYS = (
    "integration", "id", "provider", "verdict", "code", "phase", "message", "next_step", "response_time_ms",
    "phases_ms", "facts", "checked_at",
)  # fmt: skip


def outcome_row(name: str, id: str | None, provider: str, outcome: Outcome, checked_at: datetime) -> Row:
    """One outcome in the shape that scripts rely on."""
    from intctl.views.steps import next_step

    return {
        "integration": name,
        "id": id,
        "provider": provider,
        "verdict": outcome.verdict,
        "code": outcome.code,
        "phase": outcome.phase,
        "message": outcome.message,
        "next_step": next_step(outcome.code, name, saved=id is not None),
        "response_time_ms": outcome.response_time_ms,
        "phases_ms": dict(outcome.phases_ms),
        "facts": dict(outcome.facts),
        "checked_at": checked_at,
    }


def tell(context: Context, rows: Sequence[Row], style: str, *, nagios: bool = False) -> int:
    """Shows outcomes; the exit code that they deserve."""
    from intctl.render.detail import finding
    from intctl.render.detail import nagios as plugin
    from intctl.render.rows import Column

    if nagios:
        text, code = plugin(rows)
        context.out(text)
        return code
    if style == "table":
        context.out("".join(f"{finding(row)}\n" for row in rows))
    else:
        context.rows(
            rows, [Column("Integration", lambda row: row["integration"])], OUTCOME_KEYS, style, name="integration"
        )
    for row in rows:
        if row["verdict"] == "degraded":
            context.warn(f"{row['integration']}: {row['message']}")
    # Where no probe is known there is nothing that could be healthy: shown, not counted.
    judged = [row for row in rows if row["code"] != "self.no_probe"] or rows
    return EXIT_OK if all(row["verdict"] in ("healthy", "degraded") for row in judged) else EXIT_NOT_HEALTHY
