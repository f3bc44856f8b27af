"""The page of a provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intctl.views.providers import FieldView, ProviderView

LIST_KEYS = ("name", "title", "type", "speaks", "proof")
SHOW_KEYS = (
    *LIST_KEYS, "status_page", "notes", "fields", "secrets", "scopes", "cost", "limits", "docs", "confidence", "ways",
)  # fmt: skip


def facts(view: ProviderView) -> dict[str, str]:
    """The facts about a provider's proof, by label."""
    from intctl.providers.base import CONFIDENCE, and_

    found = {
        "Proof": view.proof,
        "Secrets": ", ".join(view.secrets) or "none",
        "Scopes": view.scopes,
        "Cost": view.cost,
        "Limits": view.limits,
        "Docs": view.docs or "no public documentation known",
        "Confidence": f"{view.confidence} ({CONFIDENCE[view.confidence]})",
    }
    if view.ways:
        found["Log in by"] = ", or ".join(and_(tuple(way)) for way in view.ways)
    return found | ({"Status page": view.status_page} if view.status_page else {})


def need(field: FieldView) -> str:
    """Whether the field is required, and its default."""
    words = ["required" if field.required else "optional"]
    if field.default is not None:
        words.append(f"default {field.default}")
    return ", ".join(words)


def page(view: ProviderView) -> str:
    """The page of `intctl providers show`."""
    from textwrap import fill

    known = {"Name": view.name, "Type": view.type, "Speaks": view.speaks, **facts(view)}
    lines = [view.title, "=" * len(view.title)]
    lines += [f"  {label + ':':<13}{value}" for label, value in known.items() if value]
    lines += ["", "Fields"]
    for field in view.fields:
        lines.append(f"  {field.name} ({_kind(field)}; {need(field)})")
        lines.append(f"      {field.help}")
        lines += [f"      {detail}" for detail in details(field)]
    if view.notes:
        lines += ["", "Notes"]
        lines += [
            fill(part, 90, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
            for part in view.notes.split("\n")
        ]
    lines += ["", f"Next: intctl providers template {view.name} > {view.name}.yaml"]
    return "\n".join(lines) + "\n"


def details(field: FieldView) -> Sequence[str]:
    """The choices, range, example and destination of a field."""
    found = []
    if field.choices:
        found.append(f"One of: {', '.join(field.choices)}")
    low, high = field.minimum, field.maximum
    if low is not None:
        found.append(f"From {low} to {high}" if high is not None else f"At least {low}")
    if field.example:
        found.append(f"For example: {field.example}")
    if field.beside:
        found.append(f"Only with {field.beside}")
    if field.destination:
        found.append("Determines where secrets are sent: changing it requires re-entering them")
    return found


def _kind(field: FieldView) -> str:
    return f"secret {field.kind}" if field.secret else str(field.kind)
