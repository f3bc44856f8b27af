"""LinkedIn."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Bearer, HttpProbe
from intctl.providers.base import Field, Provider, secret_of


class LinkedIn(Provider):
    """LinkedIn's API with a member's access token: GET /v2/userinfo (as w6w's health check does).

    It requires the scopes openid and profile: 403 is a valid token without them (general
    knowledge). A token lasts 60 days, and standard apps get no refresh token (n8n): set a new one
    with `intctl edit NAME --secret access_token`.
    """

    name = "linkedin"
    title = "LinkedIn"
    type = "job_board"
    proof = "GET the member that the token belongs to"
    scopes = "openid profile; without them degraded"
    docs = "https://learn.microsoft.com/linkedin/"
    confidence = "in use"
    status_page = "https://www.linkedin-apistatus.com/api/v2/summary.json"
    fields = (Field("access_token", "Access token with the scopes openid and profile", secret=True, required=True),)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://api.linkedin.com/v2/userinfo",
            Bearer(secret_of(config, "access_token")),
            require=("/sub",),
            answers=(Answer(403, "http.scope_missing", detail="the token lacks openid and profile"),),
        )
