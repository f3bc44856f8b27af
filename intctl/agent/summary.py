"""The summary of a pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intctl.health.outcome import Outcome


@dataclass(slots=True)
class Summary:
    """The counts of a pass; `verdicts` counts the recorded outcomes."""

    recorded: int = 0
    lost: int = 0
    given_back: int = 0
    set_aside: int = 0
    held_back: dict[str, str] = field(default_factory=dict)  # names by id: their rows were locked by another session
    verdicts: dict[str, int] = field(default_factory=dict)
    stopped: bool = False
    out_of_time: bool = False
    local_issues: dict[str, int] = field(default_factory=dict)  # problems of this machine, by code
    history: str = ""  # why history maintenance did not finish

    def count(self, outcome: Outcome) -> None:
        """Count a recorded outcome."""
        self.recorded += 1
        self.verdicts[outcome.verdict] = self.verdicts.get(outcome.verdict, 0) + 1
        if outcome.code in _OWN_FAULTS:
            self.local_issues[outcome.code] = self.local_issues.get(outcome.code, 0) + 1

    @property
    def notice(self) -> str:
        """The problems of this machine, in one line for the whole pass; "" if there were none."""
        from intctl.health.codes import CODES

        found = sorted(self.local_issues, key=lambda code: -self.local_issues[code])
        if not found:
            return ""
        said = "; ".join(
            f"{CODES[code].meaning} ({self.local_issues[code]} of {self.recorded} checks)" for code in found
        )
        return f"{said}. No provider was marked as failing. {CODES[found[0]].next_step}"

    @property
    def keyless(self) -> bool:
        """Whether no config could be opened: the keyring lacks the keys that they were sealed with."""
        return self.recorded > 0 and self.local_issues.get("self.key_missing") == self.recorded

    def line(self) -> str:
        """One line for the journal."""
        found = ", ".join(f"{self.verdicts[name]} {name}" for name in _VERDICTS if self.verdicts.get(name))
        text = f"checked {self.recorded}" + (f": {found}" if found else "")
        for count, words in (
            (self.lost, "results dropped (lease lost)"),
            (self.given_back, "given back"),
            (len(self.held_back), "held back (row locked by another session)"),
            (self.set_aside, "paused for one hour after three checks that never completed"),
        ):
            if count:
                text += f"; {count} {words}"
        if self.out_of_time:
            text += "; out of time, the rest stays due"
        return text


_VERDICTS = ("healthy", "degraded", "down", "misconfigured", "unknown")
#: Codes whose cause is this machine, not one integration: reported once a pass.
_OWN_FAULTS = frozenset(
    {
        "dns.failure",
        "dns.timeout",
        "self.no_route",
        "self.no_network",
        "self.no_descriptors",
        "self.no_authorities",
        "self.denied_address",
        "self.proxy_policy",
        "proxy.auth",
        "proxy.refused",
        "self.clock",
        "self.key_missing",
        "self.database",
    }
)
