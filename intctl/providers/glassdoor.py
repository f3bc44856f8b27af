"""Glassdoor."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import NoProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider


class Glassdoor(Provider):
    """Glassdoor's partner API v1: partner id and key as query parameters; closed to new users
    (third-party sources).

    A key in a URL would be logged on the way, and no call is known to answer to it still, so
    nothing is asked.
    """

    name = "glassdoor"
    title = "Glassdoor"
    type = "job_board"
    proof = "None: no read-only call is known that proves the credential; it is never shown as healthy"
    fields = (
        Field("partner_id", "Partner id", required=True),
        Field("partner_key", "Partner key", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> NoProbe:  # noqa: ARG002 -- there is nothing to ask
        return NoProbe()
