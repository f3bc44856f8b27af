"""Workday."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import HttpProbe
from intctl.providers.base import CLIENT, REFRESH_TOKEN, Field, Provider, client_credentials, refresh_token, text_of


class Workday(Provider):
    """Workday's REST API: the token endpoint of the tenant, `/ccx/oauth2/TENANT/token`. With
    refresh_token as an integration user, the client as Basic; without it as the client itself, with
    `Authorization: ID` and tenant_alias (both as Nango does).

    The exchange is the proof: no data is read. A refresh token lasts long and is not replaced
    (general knowledge); the official docs are open to customers only. User names and passwords of
    integration users, for SOAP and reports, are not covered.
    """

    name = "workday"
    title = "Workday"
    type = "hris"
    speaks = "oauth"
    proof = "OAuth token exchange"
    scopes = "none for the token"
    cost = "1 token call, at most once an hour"
    docs = "https://community.workday.com"
    confidence = "in use"
    fields = (
        Field(
            "host",
            "Host of the tenant's services",
            kind="host",
            required=True,
            destination=True,
            example="wd3-impl-services1.workday.com",
        ),
        Field("tenant", "Name of the tenant", required=True, pattern="[A-Za-z0-9][A-Za-z0-9_-]*", example="mycompany"),
        *CLIENT,
        REFRESH_TOKEN.replace(
            required=False, help="Refresh token of an integration user; without it the client itself logs in"
        ),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        tenant = text_of(config, "tenant")
        url = f"https://{text_of(config, 'host')}/ccx/oauth2/{tenant}/token"
        if "refresh_token" in config:
            return HttpProbe("", refresh_token(config, url, client_in="basic"))
        return HttpProbe("", client_credentials(config, url, client_in="id", extra={"tenant_alias": tenant}))
