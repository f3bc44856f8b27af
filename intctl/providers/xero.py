"""Xero."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import Answer, ClientCredentials, HttpProbe, RefreshToken
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


class Xero(Provider):
    """Xero's API: OAuth with a refresh token, or without one as a custom connection (client
    credentials); the client as Basic. GET /connections tells the organisations that the token
    opens, and `[]` is a good token without any (its OpenAPI file and SDK, read directly).

    Access lives 30 minutes, the refresh token 60 days. That a refresh token dies when it is used
    (after a short grace) is general knowledge, and what is assumed here. That a custom connection
    may list connections too is as Nango uses it.
    """

    name = "xero"
    title = "Xero"
    type = "payroll"
    speaks = "oauth"
    proof = "OAuth token exchange and GET of the connected organisations"
    status_page = "https://status.xero.com/api/v2/summary.json"
    fields = (
        Field("client_id", "OAuth client id", required=True),
        Field("client_secret", "OAuth client secret", secret=True, required=True),
        Field("refresh_token", "Refresh token; without it the client is a custom connection", secret=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        token_url = asked(config, "https://identity.xero.com/connect/token")
        client_id, client_secret = text_of(config, "client_id"), secret_of(config, "client_secret")
        auth: ClientCredentials | RefreshToken = ClientCredentials(
            token_url, client_id, client_secret, client_in="basic"
        )
        if "refresh_token" in config:
            auth = RefreshToken(token_url, client_id, client_secret, secret_of(config, "refresh_token"),
                                client_in="basic", single_use=True)
        return HttpProbe(
            asked(config, "https://api.xero.com/connections"), auth,
            require=("/0/tenantId",), facts={"account": "/0/tenantName"},
            answers=(Answer(200, "http.no_account", equals=[], detail="no organisation is connected to it"),),
            ca_file=text_of(config, "ca_file") or None,
        )
