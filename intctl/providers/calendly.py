"""Calendly."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, HttpProbe
from intctl.providers.base import CLIENT, OAUTH, REFRESH_TOKEN, Field, Provider, auth_from_config, refresh_token


class Calendly(Provider):
    """Calendly's API v2 (its OpenAPI description and developer guide, read directly).

    Bearer: a personal access token, or OAuth. An OAuth refresh token can be used once: it is
    revoked at once, and each reply has a new one. Token calls are limited to 8 a minute for each
    user. A wrong token is 401, a missing permission 403.
    """

    name = "calendly"
    title = "Calendly"
    type = "calendar"
    speaks = "oauth"
    proof = "GET of the user, with OAuth after a refresh of the access token"
    scopes = "users:read"
    cost = "1 request, and a token call when the stored token has expired"
    limits = "500 a minute for a user, 50 on the free plan; 8 token calls a minute"
    docs = "https://developer.calendly.com"
    confidence = "vendor"
    status_page = "https://www.calendlystatus.com/api/v2/status.json"
    ways = (("token",), OAUTH)
    fields = (
        Field("token", "Personal access token; or else client_id, client_secret and refresh_token", secret=True),
        *(field.replace(required=False) for field in CLIENT),
        REFRESH_TOKEN.replace(required=False, help="OAuth refresh token of the user (each can be used once)"),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        url = "https://auth.calendly.com/oauth/token"
        auth = auth_from_config(config) or refresh_token(config, url, client_in="basic", single_use=True)
        return HttpProbe(
            "https://api.calendly.com/users/me",
            auth,
            require=("/resource/uri",),
            facts={"account": "/resource/email"},
            answers=(Answer(403, "http.scope_missing", detail="the token lacks the scope users:read"),),
        )
