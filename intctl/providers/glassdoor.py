"""Glassdoor."""

from __future__ import annotations

from intctl.providers.base import Field, Unproven


class Glassdoor(Unproven):
    """Glassdoor's partner API v1: partner id and key as query parameters; closed to new users
    (third-party sources).

    A key in a URL would be logged on the way, and no call is known to answer to it still, so
    nothing is asked.
    """

    name = "glassdoor"
    title = "Glassdoor"
    type = "job_board"
    docs = "https://www.glassdoor.com/developer/"
    fields = (
        Field("partner_id", "Partner id", required=True),
        Field("partner_key", "Partner key", secret=True, required=True),
    )
