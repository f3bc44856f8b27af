"""ZipRecruiter."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import NoProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider


class ZipRecruiter(Provider):
    """ZipRecruiter's partner API: HTTP Basic with the issued key as user (third-party sources).

    It has no call that lists anything or says who asks. Asking for a job that does not exist and
    taking 404 for a good key would be a guess, confirmed by no source, so nothing is asked.
    """

    name = "ziprecruiter"
    title = "ZipRecruiter"
    type = "job_board"
    proof = "None: no read-only call is known that proves the credential; it is never shown as healthy"
    fields = (
        Field("api_key", "Partner API key", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> NoProbe:  # noqa: ARG002 -- there is nothing to ask
        return NoProbe()
