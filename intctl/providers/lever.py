"""Lever."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Basic, HttpProbe
from intctl.providers.base import Field, Provider, secret_of


class Lever(Provider):
    """Lever's API v1: HTTP Basic, the key as user, an empty password (as Nango does).

    GET /v1/users?limit=1 returns `data` (third-party sources, several). The sandbox is
    `https://api.sandbox.lever.co`: set it as base_url. Postings (v0) are public and prove nothing.
    """

    name = "lever"
    title = "Lever"
    type = "job_board"
    proof = "GET one user"
    scopes = "may read users"
    limits = "10 a second for a key"
    docs = "https://hire.lever.co/developer/documentation"
    confidence = "third-party"
    fields = (Field("api_key", "API key", secret=True, required=True),)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://api.lever.co/v1/users?limit=1",
            Basic(secret_of(config, "api_key"), ""),
            require=("/data", "/hasNext"),
            answers=(Answer(403, "http.scope_missing", detail="the key may not read users"),),
        )
