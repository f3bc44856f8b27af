"""UKG."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import ClientCredentials, HttpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of

#: The path of each product's token endpoint.
_TOKEN = {
    "pro": "/signin/oauth2/t/{tenant}/access_token",
    "ready": "/ta/rest/v2/companies/{tenant}/oauth2/token",
}


class Ukg(Provider):
    """UKG Pro and UKG Ready: OAuth client credentials on the tenant's own host (as Nango does).

    The exchange is the proof: no data is read. A wrong tenant is expected to be a 404 (general
    knowledge). Not covered: Pro's service accounts with Basic and US-Customer-Api-Key, Pro WFM.
    """

    name = "ukg"
    title = "UKG"
    type = "hris"
    speaks = "oauth"
    proof = "OAuth token exchange"
    fields = (
        Field("product", "pro or ready", kind="choice", choices=tuple(_TOKEN), required=True),
        Field("host", "Host of the identity server (pro), or of the company (ready)", kind="host", required=True,
              destination=True, example="secure.saashr.com"),
        Field("tenant", "Tenant id (pro), or company id (ready)", required=True, pattern="[A-Za-z0-9][A-Za-z0-9_-]*",
              example="1234567"),
        Field("client_id", "OAuth client id", required=True),
        Field("client_secret", "OAuth client secret", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        path = _TOKEN[text_of(config, "product")].format(tenant=text_of(config, "tenant"))
        return HttpProbe(
            url="",
            auth=ClientCredentials(
                asked(config, f"https://{text_of(config, 'host')}{path}"),
                text_of(config, "client_id"), secret_of(config, "client_secret"),
            ),
            ca_file=text_of(config, "ca_file") or None,
        )
