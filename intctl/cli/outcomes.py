"""Output of findings, and the exit code for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from intctl.cli.context import Context
from intctl.errors import EXIT_NOT_HEALTHY, EXIT_OK

if TYPE_CHECKING:
    from intctl.render.rows import Column
    from intctl.views.finding import Finding

OUTCOME_KEYS = (
    "integration", "id", "provider", "verdict", "code", "phase", "message", "next_step", "response_time_ms",
    "phases_ms", "facts", "checked_at",
)  # fmt: skip


def tell(context: Context, findings: Sequence[Finding], style: str, *, nagios: bool = False) -> int:
    """Print findings and return the exit code for them."""
    from intctl.render.detail import finding
    from intctl.render.detail import nagios as plugin

    if nagios:
        text, code = plugin(findings)
        context.out(text)
        return code
    if style == "table":
        context.out("".join(f"{finding(one)}\n" for one in findings))
    else:
        no_columns: list[Column[Finding]] = []
        context.rows(findings, no_columns, OUTCOME_KEYS, style, name="integration")
    for one in findings:
        if one.verdict == "degraded":
            context.warn(f"{one.integration}: {one.message}")
    # An integration without a known probe can never be healthy, so it does not affect the exit code.
    judged = [one for one in findings if one.code != "self.no_probe"] or findings
    return EXIT_OK if all(one.verdict in ("healthy", "degraded") for one in judged) else EXIT_NOT_HEALTHY
