"""The view of an outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from intctl.health.outcome import Outcome
from intctl.health.status import Verdict
from intctl.views.steps import next_step


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of an exchange with an integration; `id` is None for an unsaved manifest."""

    integration: str
    id: str | None
    provider: str
    verdict: Verdict
    code: str
    phase: str
    message: str
    next_step: str
    response_time_ms: int
    phases_ms: Mapping[str, float]
    facts: Mapping[str, object]
    checked_at: datetime

    @classmethod
    def of(cls, outcome: Outcome, *, name: str, id: str | None, provider: str, checked_at: datetime) -> Finding:
        """Build the finding of an outcome."""
        return cls(
            integration=name,
            id=id,
            provider=provider,
            verdict=outcome.verdict,
            code=outcome.code,
            phase=outcome.phase,
            message=outcome.message,
            next_step=next_step(outcome.code, name, outcome.facts, saved=id is not None),
            response_time_ms=outcome.response_time_ms,
            phases_ms=outcome.phases_ms,
            facts=outcome.facts,
            checked_at=checked_at,
        )
