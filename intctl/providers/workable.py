"""Workable."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Bearer, HttpProbe
from intctl.providers.base import Field, Provider, secret_of


class Workable(Provider):
    """Workable's API v3: a bearer token; GET /spi/v3/accounts on www.workable.com lists the
    accounts that the token can access (as Nango does to find the subdomain).

    Ten requests in ten seconds for a token (its own docs, read directly).
    """

    name = "workable"
    title = "Workable"
    type = "job_board"
    proof = "GET the accounts that the token can access"
    scopes = "none: any token"
    limits = "10 in 10 seconds for an account's token"
    docs = "https://workable.readme.io"
    confidence = "in use"
    fields = (Field("api_token", "API access token", secret=True, required=True),)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://www.workable.com/spi/v3/accounts",
            Bearer(secret_of(config, "api_token")),
            require=("/accounts",),
            facts={"account": "/accounts/0/subdomain"},
        )
