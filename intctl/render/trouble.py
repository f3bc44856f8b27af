"""The page of `intctl troubleshoot`: the phases one by one, where it stopped, numbered next steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from intctl.health.codes import CODES
from intctl.health.outcome import PHASES, Outcome
from intctl.text import clean
from intctl.views.steps import next_step, quoted

#: What each phase does, for people; and which facts are its evidence.
_DOES = {
    "dns": "look up the name",
    "tcp": "connect",
    "tls": "agree on TLS and verify the certificate",
    "greet": "hear the greeting",
    "auth": "show the credential",
    "api": "ask something that only a good credential may",
}
_EVIDENCE = {
    "dns": ("address",),
    "tcp": ("address", "port"),
    "tls": ("tls_version", "certificate_issuer", "certificate_not_after", "certificate_names"),
    "greet": ("greeting",),
    "auth": ("auth_method", "token_exchanged"),
    "api": ("http_status", "account", "account_status", "server_reply"),
}
# What helps where an exchange stopped, beyond the code's own next step.
_LOOK = {
    "dns": "Ask the resolver yourself on this machine: getent hosts HOST.",
    "tcp": "See from this machine whether the port answers at all; firewalls often drop port 25 and 587.",
    "tls": "Look at the certificate: openssl s_client -connect HOST:PORT -servername HOST (mail: -starttls smtp).",
    "greet": "Something accepts the connection and does not speak: check that the port belongs to this service.",
    "auth": "Log in to the provider's console: is the credential there, active, and allowed from this address?",
    "api": "Look at the provider's status page: intctl troubleshoot NAME --status-page.",
}


def walked(outcome: Outcome) -> list[dict[str, Any]]:
    """Each phase of the exchange: done, stopped here or not reached, its time and its evidence."""
    entered = set(outcome.phases_ms)
    stopped = outcome.phase if outcome.verdict not in ("healthy", "degraded") else ""
    found = []
    for phase in PHASES:
        if phase not in entered and phase != stopped:
            # Phases that this kind of exchange does not have are left out; those not reached are not.
            if not stopped or PHASES.index(phase) < PHASES.index(stopped):
                continue
            state = "not reached"
        else:
            state = "stopped here" if phase == stopped else "done"
        evidence = {key: outcome.facts[key] for key in _EVIDENCE[phase] if key in outcome.facts}
        found.append({"phase": phase, "state": state, "ms": outcome.phases_ms.get(phase), "evidence": evidence})
    return found


def steps(outcome: Outcome, name: str) -> list[str]:
    """What to do, in order."""
    if outcome.verdict == "healthy":
        return []
    cause = CODES[outcome.code]
    found = [next_step(outcome.code, name)]
    if outcome.phase in _LOOK and cause.actor != "us":
        found.append(_LOOK[outcome.phase].replace("NAME", quoted(name)))
    if outcome.verdict != "degraded" and "intctl reconnect" not in found[0]:
        found.append(f"Then: intctl reconnect {quoted(name)}")
    return found


def trouble(found: Mapping[str, Any], *, plain: bool) -> str:
    """The whole page."""
    marks = {"done": "ok", "stopped here": "!!", "not reached": "--"}
    if not plain:
        marks = {"done": "✓ ", "stopped here": "✗ ", "not reached": "· "}
    lines = [f"{clean(found['integration'])} ({found['provider']}): {found['verdict']} ({found['code']})", ""]
    for walk in found["phases"]:
        took = "" if walk["ms"] is None else f"{walk['ms']:g} ms"
        mark, phase = marks[walk["state"]], walk["phase"]
        lines.append(f"  {mark} {phase:<6}{_DOES[phase]:<46}{took:>12}  {walk['state']}")
        lines += [f"           {key.replace('_', ' ')}: {_shown(value)}" for key, value in walk["evidence"].items()]
    lines += ["", f"What that means: {clean(found['message'])}."]
    if found["pattern"]:
        lines.append(f"Recently: {found['pattern']}.")
    if found["status_page"]:
        lines.append(f"The vendor's status page says: {clean(found['status_page']['says'])}")
    if found["steps"]:
        lines += ["", "Next:"]
        lines += [f"  {number}. {step}" for number, step in enumerate(found["steps"], 1)]
    return "\n".join(lines) + "\n"


def _shown(value: object) -> str:
    return ", ".join(clean(item) for item in value) if isinstance(value, list) else clean(value)
