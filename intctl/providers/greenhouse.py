"""Greenhouse."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import Answer, Basic, HttpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


class Greenhouse(Provider):
    """Greenhouse's Harvest API v1 (its API docs on GitHub, read directly): HTTP Basic, the key as
    user, an empty password; GET /v1/users?per_page=1.

    Keys carry a permission for each endpoint: 403 is a key without the one for users, alive
    otherwise; 401 is a bad key. That v1 is being retired (announced for August 2026) is general
    knowledge. Job Board reads are public and prove nothing.
    """

    name = "greenhouse"
    title = "Greenhouse"
    type = "job_board"
    proof = "GET one user"
    fields = (
        Field("api_key", "Harvest API key, with the permission to list users", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            asked(config, "https://harvest.greenhouse.io/v1/users?per_page=1"),
            Basic(secret_of(config, "api_key"), ""),
            answers=(Answer(403, "http.scope_missing", detail="the key may not list users"),),
            ca_file=text_of(config, "ca_file") or None,
        )
