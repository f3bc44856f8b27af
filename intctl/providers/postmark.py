"""Postmark."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import Header, HttpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


class Postmark(Provider):
    """Postmark's server API (its OpenAPI description and its own clients, read directly).

    The server token goes in X-Postmark-Server-Token. A wrong one is 401 with ErrorCode 10. GET
    /deliverystats is asked, not /server, whose answer holds the tokens. Status page: third-party
    lists, not confirmed.
    """

    name = "postmark"
    title = "Postmark"
    type = "email"
    proof = "GET of the server's delivery statistics"
    status_page = "https://status.postmarkapp.com/api/v2/summary.json"
    fields = (
        Field("server_token", "Server API token", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            asked(config, "https://api.postmarkapp.com/deliverystats"),
            Header("X-Postmark-Server-Token", secret_of(config, "server_token")),
            headers={"Accept": "application/json"},
            ca_file=text_of(config, "ca_file") or None,
        )
