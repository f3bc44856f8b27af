"""Monster."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import NoProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider


class Monster(Provider):
    """Monster's job posting: user name and password of the recruiter (third-party sources).

    Only calls that create, change or delete a posting were found in any source, so nothing is
    asked.
    """

    name = "monster"
    title = "Monster"
    type = "job_board"
    proof = "None: no read-only call is known that proves the credential; it is never shown as healthy"
    fields = (
        Field("username", "User name", required=True),
        Field("password", "Password", secret=True, required=True),
        Field("recruiter", "Recruiter user name of the postings"),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> NoProbe:  # noqa: ARG002 -- there is nothing to ask
        return NoProbe()
