"""An organisation, as everything below and above the tables knows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Organization:
    """The id, the name and the short name (slug) of an organisation."""

    id: str
    name: str
    slug: str
