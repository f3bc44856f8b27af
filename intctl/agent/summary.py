"""What a pass did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intctl.health.outcome import Outcome


@dataclass(slots=True)
class Summary:
    """What a pass did, in counts; `verdicts` counts the recorded outcomes."""

    recorded: int = 0
    lost: int = 0
    given_back: int = 0
    set_aside: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    stopped: bool = False
    out_of_time: bool = False
    local_issues: dict[str, int] = field(default_factory=dict)  # this machine's own, by code
    history: str = ""  # why the history was not folded and pruned to the end

    def count(self, outcome: Outcome) -> None:
        """One more that was recorded."""
        self.recorded += 1
        self.verdicts[outcome.verdict] = self.verdicts.get(outcome.verdict, 0) + 1
        if outcome.code in _OWN_FAULTS:
            self.local_issues[outcome.code] = self.local_issues.get(outcome.code, 0) + 1

    @property
    def notice(self) -> str:
        """The faults of this machine's own, in one line for the whole pass; "" when there were none."""
        from intctl.health.codes import CODES

        found = sorted(self.local_issues, key=lambda code: -self.local_issues[code])
        if not found:
            return ""
        said = "; ".join(
            f"{CODES[code].meaning} ({self.local_issues[code]} of {self.recorded} checks)" for code in found
        )
        return f"{said}. Nobody else was judged for it. {CODES[found[0]].next_step}"

    @property
    def keyless(self) -> bool:
        """Whether not one config could be opened: the keyring is not the one that these were sealed with."""
        return self.recorded > 0 and self.local_issues.get("self.key_missing") == self.recorded

    def line(self) -> str:
        """One line for the journal."""
        found = ", ".join(f"{self.verdicts[name]} {name}" for name in _VERDICTS if self.verdicts.get(name))
        text = f"checked {self.recorded}" + (f": {found}" if found else "")
        for count, words in (
            (self.lost, "results dropped (lease lost)"),
            (self.given_back, "given back"),
            (self.set_aside, "set aside after three checks without a result"),
        ):
            if count:
                text += f"; {count} {words}"
        if self.out_of_time:
            text += "; out of time, the rest stays due"
        return text


_VERDICTS = ("healthy", "degraded", "down", "misconfigured", "unknown")
#: What this machine, and no single integration, is the cause of: said once a pass.
_OWN_FAULTS = frozenset(
    {
        "dns.failure",
        "dns.timeout",
        "self.no_route",
        "self.no_network",
        "self.no_descriptors",
        "self.no_authorities",
        "self.key_missing",
        "self.database",
    }
)
