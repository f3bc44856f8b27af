"""UKG."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, HttpProbe
from intctl.providers.base import Field, Provider, auth_from_config, client_credentials, secret_of, text_of

#: The path of the token endpoint, for products that have one.
_TOKEN = {
    "pro": "/signin/oauth2/t/{tenant}/access_token",
    "ready": "/ta/rest/v2/companies/{tenant}/oauth2/token",
    "wfm": "/oauth/token",
}
_REALM = "http://auth0.com/oauth/grant-type/password-realm"


class Ukg(Provider):
    """UKG on the tenant's own host. pro and ready: OAuth client credentials; wfm (Pro Workforce Management,
    welcome-us.ukg.net or similar): also a user's name and password, the tenant as realm; hcm: a
    service account of UKG Pro, HTTP Basic with US-Customer-Api-Key (all as Nango does).

    The exchange is the proof: no data is read. hcm reads one company, for which the account requires
    "View" on the web service Company Configuration (third-party sources).
    """

    name = "ukg"
    title = "UKG"
    type = "hris"
    speaks = "oauth"
    proof = "OAuth token exchange; with product: hcm GET of one company's details"
    scopes = "none for the token; hcm: View on Company Configuration"
    cost = "1 token call, at most once an hour; with hcm 1 request"
    docs = "https://developer.ukg.com"
    confidence = "in use"
    fields = (
        Field("product", "UKG product", kind="choice", choices=(*_TOKEN, "hcm"), required=True),
        Field(
            "host",
            "Host of the identity server (pro, wfm), the company (ready) or the service (hcm)",
            kind="host",
            required=True,
            destination=True,
            example="secure.saashr.com",
        ),
        Field(
            "tenant",
            "Tenant id (pro, wfm), or company id (ready)",
            pattern="[A-Za-z0-9][A-Za-z0-9_-]*",
            example="1234567",
            needed_with="product: pro, ready, wfm",
        ),
        Field("client_id", "OAuth client id", needed_with="product: pro, ready, wfm"),
        Field("client_secret", "OAuth client secret", secret=True, needed_with="product: pro, ready, wfm"),
        Field("username", "User (wfm), or service account (hcm)", needed_with="product: wfm, hcm"),
        Field("password", "Its password", secret=True, needed_with="product: wfm, hcm"),
        Field("customer_api_key", "US-Customer-Api-Key", secret=True, needed_with="product: hcm"),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        host, product, tenant = (text_of(config, name) for name in ("host", "product", "tenant"))
        if product == "hcm":
            key = {"US-Customer-Api-Key": secret_of(config, "customer_api_key")}
            return HttpProbe(
                f"https://{host}/configuration/v1/company-details?per_page=1",
                auth_from_config(config),
                headers=key,
                require=("/0/companyID",),
                facts={"account": "/0/companyID"},
                answers=(Answer(403, "http.scope_missing", detail="the account lacks View on Company Configuration"),),
            )
        url, more = f"https://{host}{_TOKEN[product].format(tenant=tenant)}", {}
        if product == "wfm":
            user = {"username": text_of(config, "username"), "password": secret_of(config, "password")}
            more = {"grant": _REALM, "extra": {**user, "audience": "https://wfm.ukg.net/api", "realm": tenant}}
        return HttpProbe("", client_credentials(config, url, **more))
