"""Personio."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import ClientCredentials, HttpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


class Personio(Provider):
    """Personio's API v2: OAuth client credentials at `https://api.personio.de/v2/auth/token`, a
    form, as Nango does.

    The exchange is the proof: no data is read. Version 1 (`/v1/auth`) takes the same credentials
    (general knowledge, not confirmed). The recruiting API has a key of its own, not asked for here.
    """

    name = "personio"
    title = "Personio"
    type = "hris"
    speaks = "oauth"
    proof = "OAuth token exchange"
    fields = (
        Field("client_id", "Client id of the API credential", required=True),
        Field("client_secret", "Client secret of the API credential", secret=True, required=True),
        Field("scope", "OAuth scopes, separated by blanks", example="personio:persons:read"),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            url="",
            auth=ClientCredentials(
                asked(config, "https://api.personio.de/v2/auth/token"),
                text_of(config, "client_id"), secret_of(config, "client_secret"), scope=text_of(config, "scope"),
            ),
            ca_file=text_of(config, "ca_file") or None,
        )
