"""Pipedrive."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Header, HttpProbe, Quota
from intctl.providers.base import Field, Provider, secret_of, text_of


class Pipedrive(Provider):
    """Pipedrive with a user's API token in `x-api-token` (pipedrive.readme.io, "Authentication" and
    "Getting user data", read directly). The token belongs to one company; with subdomain intctl uses
    the company's own host.

    GET users/me returns `success` and the user with company id, name and domain. The paths
    /v1/users/me on api.pipedrive.com and /api/v1/users/me on a company's host, and 401 for a bad
    token, are general knowledge. The company's daily budget of tokens (see "Rate limiting" there) is in
    two headers that the documentation lacks and third-party clients have seen; they may be missing.
    """

    name = "pipedrive"
    title = "Pipedrive"
    type = "crm"
    proof = "GET the user that the token belongs to"
    scopes = "none: any token of a user"
    docs = "https://developers.pipedrive.com/docs/api/v1"
    confidence = "vendor"
    fields = (
        Field("api_token", "Personal API token of the user", secret=True, required=True),
        Field(
            "subdomain",
            "Company domain in https://NAME.pipedrive.com",
            destination=True,
            pattern="[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
            example="mycompany",
        ),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        own = f"https://{text_of(config, 'subdomain')}.pipedrive.com/api/v1"
        return HttpProbe(
            f"{own if 'subdomain' in config else 'https://api.pipedrive.com/v1'}/users/me",
            Header("x-api-token", secret_of(config, "api_token")),
            expect_json={"/success": True},
            require=("/data/id",),
            answers=(Answer(403, "http.scope_missing", detail="the token may not read its user"),),
            facts={"account": "/data/company_name"},
            quotas=(
                Quota(
                    remaining="x-daily-ratelimit-token-remaining",
                    limit="x-daily-ratelimit-token-limit",
                    period="day",
                    unit="API tokens",
                ),
            ),
        )
