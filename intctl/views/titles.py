"""The names of providers as people know them."""

from __future__ import annotations

from intctl.providers.catalogue import CATALOGUE


def title(provider: str) -> str:
    """The title of a provider; of one that this version does not know, its name."""
    entry = CATALOGUE.get(provider)
    return entry.title if entry else provider
