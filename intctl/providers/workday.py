"""Workday."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import ClientCredentials, HttpProbe, RefreshToken
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


class Workday(Provider):
    """Workday's REST API: the token endpoint of the tenant, `/ccx/oauth2/TENANT/token`. With
    refresh_token as an integration user, the client as Basic; without it as the client itself, with
    `Authorization: ID` and tenant_alias (both as Nango does).

    The exchange is the proof: no data is read. That a refresh token lives long and is not replaced
    is general knowledge; the official docs are open to customers only. User names and passwords of
    integration users, for SOAP and reports, are not covered.
    """

    name = "workday"
    title = "Workday"
    type = "hris"
    speaks = "oauth"
    proof = "OAuth token exchange"
    fields = (
        Field("host", "Host of the tenant's services", kind="host", required=True, destination=True,
              example="wd3-impl-services1.workday.com"),
        Field("tenant", "Name of the tenant", required=True, pattern="[A-Za-z0-9][A-Za-z0-9_-]*", example="mycompany"),
        Field("client_id", "OAuth client id", required=True),
        Field("client_secret", "OAuth client secret", secret=True, required=True),
        Field("refresh_token", "Refresh token of an integration user; without it the client itself logs in",
              secret=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        tenant = text_of(config, "tenant")
        client = (
            asked(config, f"https://{text_of(config, 'host')}/ccx/oauth2/{tenant}/token"),
            text_of(config, "client_id"), secret_of(config, "client_secret"),
        )
        auth: ClientCredentials | RefreshToken = ClientCredentials(
            *client, client_in="id", extra={"tenant_alias": tenant}
        )
        if "refresh_token" in config:
            auth = RefreshToken(*client, secret_of(config, "refresh_token"), client_in="basic")
        return HttpProbe(url="", auth=auth, ca_file=text_of(config, "ca_file") or None)
