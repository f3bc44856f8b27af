"""HubSpot."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Bearer, HttpProbe, Quota
from intctl.providers.base import Field, Provider, secret_of


class HubSpot(Provider):
    """HubSpot with a private app's token or a service key, as bearer (developers.hubspot.com,
    "Retrieve account details", read directly).

    GET /account-info/2026-09/details requires only the scope `oauth`, which every token has, and
    returns the account as portalId. It is general knowledge that a bad token causes 401. The requests
    of all private apps today, and their limit, are at api-usage/daily/private-apps (there too,
    "Retrieve private app daily API usage").
    """

    name = "hubspot"
    title = "HubSpot"
    type = "crm"
    proof = "GET the account's details"
    scopes = "oauth, which every token has"
    docs = "https://developers.hubspot.com"
    confidence = "vendor"
    fields = (Field("access_token", "Access token of a private app, or a service key", secret=True, required=True),)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        url = "https://api.hubapi.com/account-info/2026-09"
        return HttpProbe(
            f"{url}/details",
            Bearer(secret_of(config, "access_token")),
            require=("/portalId",),
            facts={"account": "/portalId"},
            answers=(
                Answer(
                    403,
                    "http.scope_missing",
                    pointer="/category",
                    equals="MISSING_SCOPES",
                    detail="MISSING_SCOPES",
                    detail_at="/message",
                ),
            ),
            quotas=(
                Quota(used="/results/0/currentUsage", limit="/results/0/usageLimit", period="day", unit="requests"),
            ),
            quota_url=f"{url}/api-usage/daily/private-apps",
        )
