"""The view of a provider: its fields, and how intctl verifies its credential."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import cleandoc

from intctl.providers.base import Field, Provider


@dataclass(frozen=True, slots=True)
class FieldView:
    """One key of the config of a manifest. `beside` names the field without which it has no meaning."""

    name: str
    help: str
    kind: str
    secret: bool
    required: bool
    default: object
    choices: Sequence[str]
    minimum: int | None
    maximum: int | None
    pattern: str | None
    example: str | None
    destination: bool
    beside: str | None


@dataclass(frozen=True, slots=True)
class ProviderView:
    """A provider. `notes` holds its docstring: sources, confidence and limits."""

    name: str
    title: str
    type: str
    speaks: str | None
    proof: str
    status_page: str | None
    notes: str
    fields: Sequence[FieldView]
    secrets: Sequence[str]
    scopes: str
    cost: str
    limits: str
    docs: str | None
    confidence: str
    ways: Sequence[Sequence[str]]


def provider_view(provider: Provider) -> ProviderView:
    """Build the view of a provider."""
    return ProviderView(
        name=provider.name,
        title=provider.title,
        type=provider.type,
        speaks=provider.speaks or None,
        proof=provider.proof,
        status_page=provider.status_page or None,
        notes=notes(provider),
        fields=[_field(field) for field in provider.fields],
        secrets=[field.name for field in provider.fields if field.secret],
        scopes=provider.scopes,
        cost=provider.cost,
        limits=provider.limits,
        docs=provider.docs or None,
        confidence=provider.confidence,
        ways=provider.ways,
    )


def notes(provider: Provider) -> str:
    """The provider's own docstring, one paragraph per line."""
    text = cleandoc(vars(type(provider)).get("__doc__") or "")
    return "\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _field(field: Field) -> FieldView:
    return FieldView(
        name=field.name,
        help=field.help,
        kind=field.kind,
        secret=field.secret,
        required=field.required,
        default=field.default,
        choices=field.choices,
        minimum=field.minimum,
        maximum=field.maximum,
        pattern=field.pattern or None,
        example=field.example or None,
        destination=field.destination,
        beside=field.needed_with or field.beside or None,
    )
