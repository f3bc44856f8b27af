"""Glassdoor."""

from __future__ import annotations

from intctl.providers.base import Field, Unproven


class Glassdoor(Unproven):
    """Glassdoor's partner API v1: partner id and key as query parameters; closed to new users
    (third-party sources).

    A key in a URL could be logged in transit, and no call is known to still accept it, so intctl
    sends no request.
    """

    name = "glassdoor"
    title = "Glassdoor"
    type = "job_board"
    docs = "https://www.glassdoor.com/developer/"
    fields = (
        Field("partner_id", "Partner id", required=True),
        Field("partner_key", "Partner key", secret=True, required=True),
    )
