"""An exchange phase by phase: where it stopped, the cause and the next steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from intctl.health.codes import CODES
from intctl.health.outcome import Outcome
from intctl.health.status import PHASES, Verdict
from intctl.metrics.pattern import pattern
from intctl.store.integrations import Integration
from intctl.store.logs import LogEntry
from intctl.views.steps import next_step, quoted

#: Which facts are the evidence of each phase.
_EVIDENCE = {
    "dns": ("address",),
    "tcp": ("address", "port"),
    "proxy": ("via",),
    "tls": ("tls_version", "certificate_issuer", "certificate_not_after", "certificate_names"),
    "greet": ("greeting",),
    "auth": ("auth_method", "token_exchanged"),
    "api": ("http_status", "account", "account_status", "server_reply"),
}
# A further step for the phase where an exchange stopped.
_LOOK = {
    "dns": "Query the resolver on this machine: getent hosts HOST.",
    "tcp": "Check from this machine whether the port answers; firewalls often block ports 25 and 587.",
    "tls": "Inspect the certificate: openssl s_client -connect HOST:PORT -servername HOST (mail: -starttls smtp).",
    "greet": "The server accepts the connection but sends no greeting: check that the port belongs to this service.",
    "auth": "Check in the provider's console that the credential exists, is active and is allowed from this address.",
    "api": "Check the provider's status page: intctl troubleshoot NAME --status-page.",
}


@dataclass(frozen=True, slots=True)
class Walk:
    """One phase: `done`, `stopped here` or `not reached`, its milliseconds, and its evidence."""

    phase: str
    state: str
    ms: float | None
    evidence: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StatusPage:
    """The text of a vendor's public status page; `url` is None if the provider has no known page."""

    url: str | None
    says: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """The content of `intctl troubleshoot`."""

    integration: str
    id: str
    provider: str
    verdict: Verdict
    code: str
    phase: str
    message: str
    phases: Sequence[Walk]
    facts: Mapping[str, object]
    steps: Sequence[str]
    pattern: str | None
    status_page: StatusPage | None
    checked_at: datetime


def troubleshot(
    integration: Integration,
    outcome: Outcome,
    logs: Sequence[LogEntry],
    *,
    status_page: StatusPage | None,
    database_now: datetime,
    checked_at: datetime,
) -> Trouble:
    """Build the view of an exchange; `logs` are the newest checks, in which it looks for a pattern."""
    return Trouble(
        integration=integration.name,
        id=integration.id,
        provider=integration.provider,
        verdict=outcome.verdict,
        code=outcome.code,
        phase=outcome.phase,
        message=outcome.message,
        phases=walked(outcome),
        facts=outcome.facts,
        steps=steps(outcome, integration.name),
        pattern=pattern(logs, database_now),
        status_page=status_page,
        checked_at=checked_at,
    )


def walked(outcome: Outcome) -> list[Walk]:
    """Each phase of the exchange: done, stopped here or not reached, its time and its evidence."""
    entered = set(outcome.phases_ms)
    stopped = outcome.phase if outcome.verdict not in ("healthy", "degraded") else ""
    found = []
    for phase in PHASES:
        if phase not in entered and phase != stopped:
            # A missing phase before the stop does not exist in this kind of exchange; a later one was not reached.
            if not stopped or PHASES.index(phase) < PHASES.index(stopped):
                continue
            state = "not reached"
        else:
            state = "stopped here" if phase == stopped else "done"
        evidence = {key: outcome.facts[key] for key in _EVIDENCE[phase] if key in outcome.facts}
        found.append(Walk(phase, state, outcome.phases_ms.get(phase), evidence))
    return found


def steps(outcome: Outcome, name: str) -> list[str]:
    """The next steps, in order."""
    if outcome.verdict == "healthy":
        return []
    cause = CODES[outcome.code]
    found = [next_step(outcome.code, name, outcome.facts)]
    if outcome.phase in _LOOK and cause.actor != "us":
        look = _LOOK[outcome.phase].replace("NAME", quoted(name))
        host = outcome.facts.get("host")
        found.append(look.replace("HOST", quoted(host)) if isinstance(host, str) else look)
    if outcome.verdict != "degraded" and "intctl reconnect" not in found[0]:
        found.append(f"Then run: intctl reconnect {quoted(name)}")
    return found
