"""Rippling."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Bearer, HttpProbe
from intctl.providers.base import Field, Provider, secret_of


class Rippling(Provider):
    """Rippling's REST API v2: a bearer token, one per company, on rest.ripplingapis.com (as Nango
    uses it).

    GET /workers, which returns `results`, is known from third-party sources only. A token expires
    after 30 days without use (Nango): checks prevent that.
    """

    name = "rippling"
    title = "Rippling"
    type = "hris"
    proof = "GET the first page of workers"
    scopes = "may read workers"
    docs = "https://developer.rippling.com"
    confidence = "third-party"
    fields = (Field("api_token", "API token", secret=True, required=True),)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://rest.ripplingapis.com/workers",
            Bearer(secret_of(config, "api_token")),
            require=("/results/0/id",),
            answers=(Answer(403, "http.scope_missing", detail="the token may not read workers"),),
        )
