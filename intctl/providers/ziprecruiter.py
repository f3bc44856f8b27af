"""ZipRecruiter."""

from __future__ import annotations

from intctl.providers.base import Field, Unproven


class ZipRecruiter(Unproven):
    """ZipRecruiter's partner API: HTTP Basic with the issued key as user (third-party sources).

    It has no call that lists anything or identifies the caller. To request a job that does not exist
    and accept 404 as proof would be a guess that no source confirms, so intctl sends no request.
    """

    name = "ziprecruiter"
    title = "ZipRecruiter"
    type = "job_board"
    fields = (Field("api_key", "Partner API key", secret=True, required=True),)
