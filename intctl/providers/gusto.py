"""Gusto."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import HttpProbe, RefreshToken
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


class Gusto(Provider):
    """Gusto's API: OAuth with a refresh token, JSON at /oauth/token; GET /v1/token_info, the call
    that Gusto names for checking a token, tells whose it is (its OpenAPI file and docs.gusto.com,
    read directly).

    Each refresh brings a new pair, and the old refresh token is revoked when the new access token
    is first used: single-use. Access lives two hours. The demo is `https://api.gusto-demo.com`:
    give it as base_url.
    """

    name = "gusto"
    title = "Gusto"
    type = "payroll"
    speaks = "oauth"
    proof = "Refresh of the access token and GET of what it stands for"
    fields = (
        Field("client_id", "OAuth client id", required=True),
        Field("client_secret", "OAuth client secret", secret=True, required=True),
        Field("refresh_token", "Refresh token", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            asked(config, "https://api.gusto.com/v1/token_info"),
            RefreshToken(
                asked(config, "https://api.gusto.com/oauth/token"),
                text_of(config, "client_id"), secret_of(config, "client_secret"), secret_of(config, "refresh_token"),
                single_use=True, body="json",
            ),
            headers={"X-Gusto-API-Version": "2025-06-15"},
            require=("/scope",),
            facts={"account": "/resource/uuid"},
            ca_file=text_of(config, "ca_file") or None,
        )
