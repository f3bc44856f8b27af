"""LinkedIn."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Bearer, HttpProbe
from intctl.providers.base import Field, Provider, secret_of


class LinkedIn(Provider):
    """LinkedIn's API with a member's access token: GET /v2/userinfo (as w6w's health check does).

    It needs the scopes openid and profile: that 403 is a token without them, alive otherwise, is
    general knowledge. A token lives 60 days and standard apps get none to refresh it (n8n): put a
    new one in place with `intctl edit NAME --secret access_token`.
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
