"""What one probe found. Library errors never get this far: only our own words and codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from intctl.health.codes import CODES
from intctl.health.status import Verdict

#: The phases of an exchange, in the order in which they happen.
PHASES = ("dns", "tcp", "tls", "greet", "auth", "api")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One probe's finding.

    `code` is a key of `codes.CODES`, which also gives the verdict. `phase` is where the exchange
    stopped (the last phase reached when it is healthy, "" when nothing was tried). `phases_ms` has
    milliseconds for each phase that was entered. `facts` is plain JSON, without any secret: what
    the exchange showed (address, tls_version, certificate_not_after, account, http_status, …).
    `detail` is at most one sentence of ours with the particulars. `retry_after_s` is what the
    provider asked for, 0…3600.
    """

    code: str
    phase: str = ""
    phases_ms: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    detail: str = ""
    retry_after_s: int | None = None

    @property
    def verdict(self) -> Verdict:
        """healthy, degraded, down, misconfigured or unknown."""
        return CODES[self.code].verdict

    @property
    def response_time_ms(self) -> int:
        """The whole exchange, in milliseconds."""
        return round(sum(self.phases_ms.values()))

    @property
    def message(self) -> str:
        """What happened, for a person: the code's meaning, then the particulars."""
        meaning = CODES[self.code].meaning
        return f"{meaning}: {self.detail}" if self.detail else meaning
