"""Zoom."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, HttpProbe
from intctl.providers.base import CLIENT, Field, Provider, client_credentials, text_of


class Zoom(Provider):
    """Zoom by a server-to-server OAuth app (token call as Nango does it; the probe as n8n does it).

    grant_type account_credentials with the account's id, the client as HTTP Basic; tokens last an
    hour, scopes are set in the app. Code 4711 is a valid token without the scope, with HTTP 400,
    401 or 403 (third-party sources). A wrong client is invalid_client (general knowledge).
    """

    name = "zoom"
    title = "Zoom"
    type = "video"
    speaks = "oauth"
    proof = "OAuth token exchange, then GET of the app's own user"
    scopes = "user:read:user:admin or similar; without it degraded"
    cost = "1 request, and a token call once an hour"
    docs = "https://developers.zoom.us/docs/internal-apps/s2s-oauth/"
    confidence = "in use"
    status_page = "https://status.zoom.us/api/v2/summary.json"
    fields = (Field("account_id", "Account id of the server-to-server OAuth app", required=True), *CLIENT)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://api.zoom.us/v2/users/me",
            client_credentials(
                config,
                "https://zoom.us/oauth/token",
                client_in="basic",
                grant="account_credentials",
                extra={"account_id": text_of(config, "account_id")},
            ),
            require=("/id", "/type"),
            facts={"account": "/account_id"},
            answers=tuple(
                Answer(
                    status,
                    "http.scope_missing",
                    pointer="/code",
                    equals=number,
                    detail="the app has no scope to read its user (such as user:read:user:admin)",
                )
                for status in (400, 401, 403)
                for number in (4711, 4700)
            ),
        )
