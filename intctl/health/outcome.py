"""The result of one probe, in codes and texts of intctl: library errors are never part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from intctl.health.codes import CODES
from intctl.health.status import Verdict


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one probe.

    `code` is a key of `codes.CODES`, which also gives the verdict. `phase` is the phase in which the exchange
    stopped (the last phase when it is healthy, "" when nothing was tried). `phases_ms` has the milliseconds
    of each phase that was entered. `facts` is plain JSON without secrets: what the exchange showed (address,
    tls_version, certificate_not_after, account, http_status, …). `detail` holds the particulars in at most one
    sentence, written by intctl. `retry_after_s` is the delay that the provider asked for, 0…3600.
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
        """The duration of the whole exchange, in milliseconds."""
        return round(sum(self.phases_ms.values()))

    @property
    def message(self) -> str:
        """A description for people: the meaning of the code, then the particulars. Of `ok`, what was proved."""
        meaning = _proof(self) if self.code == "ok" else CODES[self.code].meaning
        return f"{meaning}: {self.detail}" if self.detail else meaning


def _proof(outcome: Outcome) -> str:
    """What a healthy exchange proved."""
    facts = outcome.facts
    if "auth_method" in facts:
        return "The mail server accepted the login"
    if facts.get("relay_proven") is True:
        return "The mail server takes mail from this machine for another domain"
    if facts.get("credential_proven") is True:
        return "The provider answers with the credential, and refuses the same request without it"
    if facts.get("takes_credential") is False:
        return "It answers as expected; there is no credential to prove"
    if facts.get("token_exchanged") is True and outcome.phase == "auth":
        return "The token endpoint accepted the credential"
    if "http_status" in facts:
        return "The provider accepted the credential"
    return CODES["ok"].meaning
