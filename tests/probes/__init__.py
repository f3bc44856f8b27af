from __future__ import annotations

import asyncio
from typing import Any

from intctl.health.outcome import Outcome
from intctl.probes.run import Budgets, Network, run_probe
from intctl.probes.spec import Probe


def check(
    probe: Probe, *, deadline_s: float = 10.0, network: dict[str, Any] | None = None, tokens: Any = None
) -> Outcome:
    """Run one probe in its own event loop. Budgets are short where `network` says so."""

    async def run() -> Outcome:
        return await run_probe(probe, Network(**(network or {})), deadline_s=deadline_s, tokens=tokens)

    return asyncio.run(run())


def brief(seconds: float = 0.4) -> dict[str, Any]:
    """Return network settings with this short time as every budget."""
    return {"budgets": Budgets(seconds, seconds, seconds)}
