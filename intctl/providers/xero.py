"""Xero."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, ClientCredentials, HttpProbe, RefreshToken
from intctl.providers.base import CLIENT, REFRESH_TOKEN, Provider, client_credentials, refresh_token


class Xero(Provider):
    """Xero's API: OAuth with a refresh token, or without one as a custom connection (client
    credentials); the client as Basic. GET /Connections (so spelled in its OpenAPI file and SDK, read
    directly) lists the organisations that the token can access, and `[]` is a valid token without any.

    An access token lasts 30 minutes, a refresh token 60 days. A used refresh token expires after a
    short grace period (general knowledge; assumed here). A custom connection may list connections
    too (as Nango uses it).
    """

    name = "xero"
    title = "Xero"
    type = "payroll"
    speaks = "oauth"
    proof = "OAuth token exchange and GET of the connected organisations"
    scopes = "none: any token"
    cost = "1 request, and a token call when the stored token has expired"
    limits = "5 at once, 60 a minute and 5000 a day for an organisation"
    docs = "https://developer.xero.com/documentation/guides/oauth2/overview"
    confidence = "vendor"
    status_page = "https://status.xero.com/api/v2/summary.json"
    fields = (*CLIENT, REFRESH_TOKEN.replace(required=False, help="Without it the client is a custom connection"))

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        url = "https://identity.xero.com/connect/token"
        auth: ClientCredentials | RefreshToken = client_credentials(config, url, client_in="basic")
        if "refresh_token" in config:
            auth = refresh_token(config, url, client_in="basic", single_use=True)
        return HttpProbe(
            "https://api.xero.com/Connections",
            auth,
            require=("/0/tenantId",),
            facts={"account": "/0/tenantName"},
            answers=(Answer(200, "http.no_account", equals=[], detail="no organisation is connected to it"),),
        )
