"""Paylocity."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import HttpProbe
from intctl.providers.base import CLIENT, Field, Provider, client_credentials, text_of

_HOSTS = {"production": "dc1prodgwext.paylocity.com", "testing": "dc1demogwext.paylocity.com"}


class Paylocity(Provider):
    """Paylocity's NextGen API: OAuth client credentials as a form at /public/security/v1/token
    (developer.paylocity.com, "Authentication", read directly; the hosts as Nango has them).

    The exchange is the proof: no data is read. A secret expires after 365 days. The older WebLink
    API has its own credentials and token endpoint, not used here. Too many calls cause 403.
    """

    name = "paylocity"
    title = "Paylocity"
    type = "payroll"
    speaks = "oauth"
    proof = "OAuth token exchange"
    scopes = "none for the token"
    cost = "1 token call, at most once an hour"
    limits = "40,000 calls an hour"
    docs = "https://developer.paylocity.com"
    confidence = "vendor"
    fields = (
        *CLIENT,
        Field(
            "environment",
            "production or testing",
            kind="choice",
            choices=tuple(_HOSTS),
            default="production",
            destination=True,
        ),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        host = _HOSTS[text_of(config, "environment") or "production"]
        return HttpProbe("", client_credentials(config, f"https://{host}/public/security/v1/token"))
