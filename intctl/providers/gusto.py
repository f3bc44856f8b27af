"""Gusto."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import HttpProbe
from intctl.providers.base import CLIENT, REFRESH_TOKEN, Provider, refresh_token


class Gusto(Provider):
    """Gusto's API: OAuth with a refresh token, JSON at /oauth/token; GET /v1/token_info, the call
    that Gusto names for checking a token, returns its owner (its OpenAPI file and docs.gusto.com,
    read directly).

    Each refresh returns a new pair, and the old refresh token is revoked when the new access token
    is first used: single-use. An access token lasts two hours. The demo is
    `https://api.gusto-demo.com`: set it as base_url.
    """

    name = "gusto"
    title = "Gusto"
    type = "payroll"
    speaks = "oauth"
    proof = "Refresh of the access token and GET of its description"
    scopes = "none: any token"
    cost = "1 request, and a token call when the stored token has expired"
    limits = "200 a minute for a grant; 429 with Retry-After"
    docs = "https://docs.gusto.com/app-integrations/reference/get-v1-token-info"
    confidence = "vendor"
    fields = (*CLIENT, REFRESH_TOKEN)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://api.gusto.com/v1/token_info",
            refresh_token(config, "https://api.gusto.com/oauth/token", single_use=True, body="json"),
            headers={"X-Gusto-API-Version": "2025-06-15"},
            require=("/scope", "/resource/type"),
            facts={"account": "/resource/uuid"},
        )
