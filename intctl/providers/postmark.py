"""Postmark."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Header, HttpProbe
from intctl.providers.base import Field, Provider, secret_of


class Postmark(Provider):
    """Postmark's server API (its OpenAPI description and its own clients, read directly).

    The server token goes in X-Postmark-Server-Token. A wrong one is 401 with ErrorCode 10. The probe
    is GET /deliverystats, not /server, whose reply contains the tokens. Status page: third-party
    lists, not confirmed.
    """

    name = "postmark"
    title = "Postmark"
    type = "email"
    proof = "GET of the server's delivery statistics"
    scopes = "none: any server token"
    docs = "https://postmarkapp.com/developer/api/bounce-api"
    confidence = "vendor"
    status_page = "https://status.postmarkapp.com/api/v2/summary.json"
    fields = (Field("server_token", "Server API token", secret=True, required=True),)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://api.postmarkapp.com/deliverystats",
            Header("X-Postmark-Server-Token", secret_of(config, "server_token")),
            headers={"Accept": "application/json"},
            require=("/InactiveMails",),
            answers=(Answer(422, "http.auth.rejected", pointer="/ErrorCode", equals=10, detail="ErrorCode 10"),),
        )
