"""The display names of providers."""

from __future__ import annotations

from intctl.providers.catalogue import CATALOGUE


def title(provider: str) -> str:
    """The title of a provider, or its name if this version does not know it."""
    entry = CATALOGUE.get(provider)
    return entry.title if entry else provider
