"""Indeed."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import HttpProbe
from intctl.providers.base import CLIENT, SCOPE, Provider, client_credentials, text_of


class Indeed(Provider):
    """Indeed's employer APIs: OAuth client credentials.

    Token endpoint, the scope employer_access and the token's lifetime of 3600 s are known from
    third-party sources only. The token exchange is the proof; nothing is posted or read.
    """

    name = "indeed"
    title = "Indeed"
    type = "job_board"
    speaks = "oauth"
    proof = "OAuth token exchange"
    scopes = "employer_access, or as given"
    cost = "1 token call, at most once an hour"
    docs = "https://docs.indeed.com"
    confidence = "third-party"
    fields = (*CLIENT, SCOPE.replace(default="employer_access"))

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "", client_credentials(config, "https://apis.indeed.com/oauth/v2/tokens", scope=text_of(config, "scope"))
        )
