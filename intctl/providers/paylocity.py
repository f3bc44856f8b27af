"""Paylocity."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import ClientCredentials, HttpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of

_HOSTS = {"production": "dc1prodgwext.paylocity.com", "testing": "dc1demogwext.paylocity.com"}


class Paylocity(Provider):
    """Paylocity's NextGen API: OAuth client credentials as a form at /public/security/v1/token
    (developer.paylocity.com, "Authentication", read directly; the hosts as Nango has them).

    The exchange is the proof: no data is read. A secret ends after 365 days. The older WebLink API
    has credentials and a token endpoint of its own, not asked here.
    """

    name = "paylocity"
    title = "Paylocity"
    type = "payroll"
    speaks = "oauth"
    proof = "OAuth token exchange"
    fields = (
        Field("client_id", "Client id", required=True),
        Field("client_secret", "Client secret", secret=True, required=True),
        Field("environment", "production or testing", kind="choice", choices=tuple(_HOSTS), default="production",
              destination=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        host = _HOSTS[text_of(config, "environment") or "production"]
        return HttpProbe(
            url="",
            auth=ClientCredentials(
                asked(config, f"https://{host}/public/security/v1/token"),
                text_of(config, "client_id"), secret_of(config, "client_secret"),
            ),
            ca_file=text_of(config, "ca_file") or None,
        )
