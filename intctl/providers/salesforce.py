"""Salesforce."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, HttpProbe, Quota
from intctl.providers.base import Field, Provider, client_credentials, text_of


class Salesforce(Provider):
    """Salesforce: OAuth client credentials at the organisation's own domain (help.salesforce.com,
    "OAuth 2.0 Client Credentials Flow for Server-to-Server Integration", read directly).

    The exchange is the proof: no data is read. Its reply has no expires_in (there too): a session
    lasts as long as the organisation's settings say, two hours by default, of which half an hour is
    used here. The errors invalid_client_id and inactive_org are general knowledge. The REST API's
    `limits` returns the API requests of the last 24 hours to users who may view the setup (its
    developer guide, "Limits", read directly); the call itself is one request.
    """

    name = "salesforce"
    title = "Salesforce"
    type = "crm"
    speaks = "oauth"
    proof = "OAuth token exchange"
    scopes = "none for the token"
    cost = "1 token call, at most twice an hour"
    docs = "https://help.salesforce.com"
    confidence = "vendor"
    fields = (
        Field(
            "domain",
            "My Domain: the NAME, or NAME--SANDBOX.sandbox, of https://NAME.my.salesforce.com",
            required=True,
            destination=True,
            pattern=r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z]{2,20})?",
            example="mycompany",
        ),
        Field("client_id", "Consumer key", required=True),
        Field("client_secret", "Consumer secret", secret=True, required=True),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        url = f"https://{text_of(config, 'domain')}.my.salesforce.com/services"
        return HttpProbe(
            "",
            client_credentials(config, f"{url}/oauth2/token", lifetime_s=1800),
            answers=(
                Answer(
                    400,
                    "http.auth.rejected",
                    pointer="/error",
                    equals="invalid_client_id",
                    detail="there is no such consumer key",
                ),
                Answer(400, "http.account_inactive", pointer="/error", equals="inactive_org"),
            ),
            quotas=(
                Quota(
                    remaining="/DailyApiRequests/Remaining",
                    limit="/DailyApiRequests/Max",
                    period="day",
                    unit="requests",
                ),
            ),
            quota_url=f"{url}/data/v60.0/limits",
        )
