"""ZipRecruiter."""

from __future__ import annotations

from intctl.providers.base import Field, Unproven


class ZipRecruiter(Unproven):
    """ZipRecruiter's partner API: HTTP Basic with the issued key as user (third-party sources).

    It has no call that lists anything or says who asks. Asking for a job that does not exist and
    taking 404 for a good key would be a guess, confirmed by no source, so nothing is asked.
    """

    name = "ziprecruiter"
    title = "ZipRecruiter"
    type = "job_board"
    fields = (Field("api_key", "Partner API key", secret=True, required=True),)
