"""Paychex."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, HttpProbe
from intctl.providers.base import Field, Provider, client_credentials


class Paychex(Provider):
    """Paychex Flex: OAuth client credentials at `https://api.paychex.com/auth/oauth/v2/token` (as
    Nango does); Paychex calls the client id "API Key".

    GET /companies lists the companies that granted access to the app, as `content` (third-party
    sources, several).
    """

    name = "paychex"
    title = "Paychex"
    type = "payroll"
    speaks = "oauth"
    proof = "OAuth token exchange and GET of the companies"
    scopes = "none: access that companies granted to the app"
    cost = "1 request, and a token call when the stored token has expired"
    docs = "https://developer.paychex.com"
    confidence = "third-party"
    fields = (
        Field("client_id", "API key (client id)", required=True),
        Field("client_secret", "Secret", secret=True, required=True),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://api.paychex.com/companies",
            client_credentials(config, "https://api.paychex.com/auth/oauth/v2/token"),
            headers={"Accept": "application/json"},
            require=("/content",),
            facts={"account": "/content/0/displayName"},
            answers=(
                Answer(200, "http.no_account", pointer="/content", equals=[]),
                Answer(403, "http.scope_missing", detail="no company administrator has granted access yet"),
            ),
        )
