"""The page of `intctl troubleshoot`: each phase, where the exchange stopped, numbered next steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intctl.text import clean

if TYPE_CHECKING:
    from intctl.views.trouble import Trouble

#: The action of each phase.
_DOES = {
    "dns": "resolve the host name",
    "tcp": "connect",
    "tls": "agree on TLS and verify the certificate",
    "greet": "read the greeting",
    "auth": "send the credential",
    "api": "send a request that requires the credential",
}


def trouble(view: Trouble, *, plain: bool) -> str:
    """The whole page."""
    marks = {"done": "ok", "stopped here": "!!", "not reached": "--"}
    if not plain:
        marks = {"done": "✓ ", "stopped here": "✗ ", "not reached": "· "}
    lines = [f"{clean(view.integration)} ({clean(view.provider)}): {view.verdict} ({view.code})", ""]
    for walk in view.phases:
        took = "" if walk.ms is None else f"{walk.ms:g} ms"
        mark, phase = marks[walk.state], walk.phase
        lines.append(f"  {mark} {phase:<6}{_DOES[phase]:<46}{took:>12}  {walk.state}")
        lines += [f"           {clean(key.replace('_', ' '))}: {_shown(value)}" for key, value in walk.evidence.items()]
    lines += ["", f"Meaning: {clean(view.message)}."]
    if view.pattern:
        lines.append(f"Recently: {clean(view.pattern)}.")
    if view.status_page:
        lines.append(f"The vendor's status page says: {clean(view.status_page.says)}")
    if view.steps:
        lines += ["", "Next:"]
        lines += [f"  {number}. {clean(step)}" for number, step in enumerate(view.steps, 1)]
    return "\n".join(lines) + "\n"


def _shown(value: object) -> str:
    return ", ".join(clean(item) for item in value) if isinstance(value, list) else clean(value)
