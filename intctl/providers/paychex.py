"""Paychex."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import ClientCredentials, HttpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


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
    fields = (
        Field("client_id", "API key (client id)", required=True),
        Field("client_secret", "Secret", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            asked(config, "https://api.paychex.com/companies"),
            ClientCredentials(
                asked(config, "https://api.paychex.com/auth/oauth/v2/token"),
                text_of(config, "client_id"), secret_of(config, "client_secret"),
            ),
            headers={"Accept": "application/json"},
            ca_file=text_of(config, "ca_file") or None,
        )
