"""What a provider is, as a row and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intctl.providers.base import Field, Provider

Row = dict[str, Any]

LIST_KEYS = ("name", "title", "type", "speaks", "proof")
SHOW_KEYS = (
    *LIST_KEYS, "status_page", "notes", "fields", "secrets", "scopes", "cost", "limits", "docs", "confidence", "ways",
)  # fmt: skip


def row(provider: Provider) -> Row:
    """The provider under SHOW_KEYS. `notes` are its docstring's: sources, confidence and limits."""
    return {
        "name": provider.name,
        "title": provider.title,
        "type": provider.type,
        "speaks": provider.speaks or None,
        "proof": provider.proof,
        "status_page": provider.status_page or None,
        "notes": notes(provider),
        "fields": [_field(field) for field in provider.fields],
        "secrets": [field.name for field in provider.fields if field.secret],
        "scopes": provider.scopes,
        "cost": provider.cost,
        "limits": provider.limits,
        "docs": provider.docs or None,
        "confidence": provider.confidence,
        "ways": [list(way) for way in provider.ways],
    }


def facts(row: Row) -> dict[str, str]:
    """What is known of the provider's proof, under words for people."""
    from intctl.providers.base import CONFIDENCE, and_

    found = {
        "Proof": row["proof"],
        "Secrets": ", ".join(row["secrets"]) or "none",
        "Scopes": row["scopes"],
        "Cost": row["cost"],
        "Limits": row["limits"],
        "Docs": row["docs"] or "nothing public is known",
        "Confidence": f"{row['confidence']} ({CONFIDENCE[row['confidence']]})",
    }
    if row["ways"]:
        found["Log in by"] = ", or ".join(and_(tuple(way)) for way in row["ways"])
    return found | ({"Status page": row["status_page"]} if row["status_page"] else {})


def notes(provider: Provider) -> str:
    """What the provider's own docstring says, a paragraph a line."""
    text = cleandoc(vars(type(provider)).get("__doc__") or "")
    return "\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def need(field: Row) -> str:
    """Whether the field must be given, in a word or two."""
    words = ["required" if field["required"] else "optional"]
    if field["default"] is not None:
        words.append(f"default {field['default']}")
    return ", ".join(words)


def page(row: Row) -> str:
    """The page of `intctl providers show`."""
    from textwrap import fill

    known = {"Name": row["name"], "Type": row["type"], "Speaks": row["speaks"], **facts(row)}
    lines = [row["title"], "=" * len(row["title"])]
    lines += [f"  {label + ':':<13}{value}" for label, value in known.items() if value]
    lines += ["", "Fields"]
    for field in row["fields"]:
        lines.append(f"  {field['name']} ({_kind(field)}; {need(field)})")
        lines.append(f"      {field['help']}")
        lines += [f"      {detail}" for detail in details(field)]
    if row["notes"]:
        lines += ["", "Notes"]
        lines += [
            fill(part, 90, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
            for part in row["notes"].split("\n")
        ]
    lines += ["", f"Next: intctl providers template {row['name']} > {row['name']}.yaml"]
    return "\n".join(lines) + "\n"


def details(field: Row) -> Sequence[str]:
    """What else there is to know of a field."""
    found = []
    if field["choices"]:
        found.append(f"One of: {', '.join(field['choices'])}")
    low, high = field["minimum"], field["maximum"]
    if low is not None:
        found.append(f"From {low} to {high}" if high is not None else f"At least {low}")
    if field["example"]:
        found.append(f"For example: {field['example']}")
    if field["beside"]:
        found.append(f"Only with {field['beside']}")
    if field["destination"]:
        found.append("Decides where secrets go: changing it asks for them again")
    return found


def _kind(field: Row) -> str:
    return f"secret {field['kind']}" if field["secret"] else str(field["kind"])


def _field(field: Field) -> Row:
    return {
        "name": field.name,
        "help": field.help,
        "kind": field.kind,
        "secret": field.secret,
        "required": field.required,
        "default": field.default,
        "choices": list(field.choices),
        "minimum": field.minimum,
        "maximum": field.maximum,
        "pattern": field.pattern or None,
        "example": field.example or None,
        "destination": field.destination,
        "beside": field.needed_with or field.beside or None,
    }
