"""Indeed."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import ClientCredentials, HttpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


class Indeed(Provider):
    """Indeed's employer APIs: OAuth client credentials.

    Token endpoint, the scope employer_access and the token's life of 3600 s are seen in third-party
    sources only. The token exchange is the proof; nothing is posted or read.
    """

    name = "indeed"
    title = "Indeed"
    type = "job_board"
    speaks = "oauth"
    proof = "OAuth token exchange"
    fields = (
        Field("client_id", "OAuth client id", required=True),
        Field("client_secret", "OAuth client secret", secret=True, required=True),
        Field("scope", "OAuth scopes, separated by blanks", default="employer_access"),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            url="",
            auth=ClientCredentials(
                asked(config, "https://apis.indeed.com/oauth/v2/tokens"),
                text_of(config, "client_id"), secret_of(config, "client_secret"), scope=text_of(config, "scope"),
            ),
            ca_file=text_of(config, "ca_file") or None,
        )
