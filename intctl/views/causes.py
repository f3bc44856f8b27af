"""A cause code, explained."""

from __future__ import annotations

from dataclasses import dataclass

from intctl.health.codes import ACTORS, CODES, anchor
from intctl.health.status import Verdict


@dataclass(frozen=True, slots=True)
class ExplainedCode:
    """A code of the table of causes, with its explanation."""

    code: str
    verdict: Verdict
    who_acts: str
    meaning: str
    next_step: str
    docs: str


def explained(code: str) -> ExplainedCode:
    """Explain one code of `CODES`."""
    cause = CODES[code]
    return ExplainedCode(
        code=code,
        verdict=cause.verdict,
        who_acts=ACTORS[cause.actor],
        meaning=cause.meaning,
        next_step=cause.next_step,
        docs=f"docs/codes.md#{anchor(code)}",
    )
