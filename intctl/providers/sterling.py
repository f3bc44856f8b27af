"""Sterling."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import ClientCredentials, HttpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


class Sterling(Provider):
    """Sterling's screening API: OAuth client credentials at
    `https://auth.sterlingcheck.app/oauth/token` (third-party sources only).

    Credentials belong to one screening region and environment. The exchange is the proof; the
    hosts of the API itself are not known for certain and not asked.
    """

    name = "sterling"
    title = "Sterling"
    type = "background_check"
    speaks = "oauth"
    proof = "OAuth token exchange"
    fields = (
        Field("client_id", "OAuth client id", required=True),
        Field("client_secret", "OAuth client secret", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            url="",
            auth=ClientCredentials(
                asked(config, "https://auth.sterlingcheck.app/oauth/token"),
                text_of(config, "client_id"), secret_of(config, "client_secret"),
            ),
            ca_file=text_of(config, "ca_file") or None,
        )
