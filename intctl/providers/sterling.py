"""Sterling."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import HttpProbe
from intctl.providers.base import CLIENT, Provider, client_credentials


class Sterling(Provider):
    """Sterling's screening API: OAuth client credentials at
    `https://auth.sterlingcheck.app/oauth/token` (third-party sources only).

    Credentials belong to one screening region and environment. The exchange is the proof; the
    hosts of the API itself are not known for certain and not contacted.
    """

    name = "sterling"
    title = "Sterling"
    type = "background_check"
    speaks = "oauth"
    proof = "OAuth token exchange"
    scopes = "none for the token"
    cost = "1 token call, at most once an hour"
    limits = "none published"
    confidence = "third-party"
    fields = CLIENT

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe("", client_credentials(config, "https://auth.sterlingcheck.app/oauth/token"))
