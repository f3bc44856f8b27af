"""Salesforce."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import Answer, ClientCredentials, HttpProbe, Quota
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


class Salesforce(Provider):
    """Salesforce: OAuth client credentials at the organisation's own domain (help.salesforce.com,
    "OAuth 2.0 Client Credentials Flow for Server-to-Server Integration", read directly).

    The exchange is the proof: no data is read. Its answer has no expires_in (there too): a session
    lives as long as the organisation's settings say, two hours by default, of which half an hour is
    used here. The error words invalid_client_id and inactive_org are general knowledge. The REST API's
    `limits` tells the API requests of the last 24 hours to users who may view the setup (its developer
    guide, "Limits", read directly); asking is one request itself.
    """

    name = "salesforce"
    title = "Salesforce"
    type = "crm"
    speaks = "oauth"
    proof = "OAuth token exchange"
    fields = (
        Field("domain", "My Domain: the NAME, or NAME--SANDBOX.sandbox, of https://NAME.my.salesforce.com",
              required=True, destination=True, pattern=r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z]{2,20})?",
              example="mycompany"),
        Field("client_id", "Consumer key", required=True),
        Field("client_secret", "Consumer secret", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        url = asked(config, f"https://{text_of(config, 'domain')}.my.salesforce.com/services")
        return HttpProbe(
            url="",
            auth=ClientCredentials(
                f"{url}/oauth2/token", text_of(config, "client_id"), secret_of(config, "client_secret"), lifetime_s=1800
            ),
            answers=(
                Answer(400, "http.auth.rejected", pointer="/error", equals="invalid_client_id",
                       detail="there is no such consumer key"),
                Answer(400, "http.account_inactive", pointer="/error", equals="inactive_org"),
            ),
            quotas=(Quota(remaining="/DailyApiRequests/Remaining", limit="/DailyApiRequests/Max", period="day",
                          unit="requests"),),
            quota_url=f"{url}/data/v60.0/limits",
            ca_file=text_of(config, "ca_file") or None,
        )
