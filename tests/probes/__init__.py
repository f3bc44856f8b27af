from __future__ import annotations

import asyncio
from typing import Any

from intctl.health.outcome import Outcome
from intctl.probes.run import Budgets, Network, run_probe
from intctl.probes.spec import Probe
from intctl.probes.trace import Trace
from intctl.text import Secret

#: So much around a secret that a text is not left out as mostly secret.
BEFORE = "the request was not accepted, for this account is not known here; " * 60 + "it was <"
AFTER = "> all the time"


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


def shown(text: object, *secrets: str | bytes) -> str:
    """Sanitize the text with a trace that masks these."""
    trace = Trace()
    trace.add_secret(*(Secret(one) if isinstance(one, str) else one for one in secrets))
    return trace.sanitize(text, 10_000)


def around(spelled: str, *secrets: str | bytes) -> str:
    """Return what is shown of a spelled secret between the words of a long text."""
    told = shown(f"{BEFORE}{spelled}{AFTER}", *secrets)
    assert told.startswith(BEFORE)
    assert told.endswith(AFTER)
    return told[len(BEFORE) : -len(AFTER)]
