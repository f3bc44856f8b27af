"""Pipedrive."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import Header, HttpProbe, Quota
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


class Pipedrive(Provider):
    """Pipedrive with a user's API token in `x-api-token`, on the company's own host
    (pipedrive.readme.io, "Authentication" and "Getting user data", read directly).

    GET users/me answers `success` and the user with company id, name and domain. The path
    /api/v1/users/me and 401 for a bad token are general knowledge. The company's daily budget of tokens
    (see "Rate limiting" there) is told in two headers that the documentation lacks and third-party
    clients have seen; they may be missing.
    """

    name = "pipedrive"
    title = "Pipedrive"
    type = "crm"
    proof = "GET the user that the token belongs to"
    fields = (
        Field("subdomain", "Company domain in https://NAME.pipedrive.com", required=True, destination=True,
              pattern="[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", example="mycompany"),
        Field("api_token", "Personal API token of the user", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            asked(config, f"https://{text_of(config, 'subdomain')}.pipedrive.com/api/v1/users/me"),
            Header("x-api-token", secret_of(config, "api_token")),
            expect_json={"/success": True},
            facts={"account": "/data/company_name"},
            quotas=(Quota(remaining="x-daily-ratelimit-token-remaining", limit="x-daily-ratelimit-token-limit",
                          period="day", unit="API tokens"),),
            ca_file=text_of(config, "ca_file") or None,
        )
