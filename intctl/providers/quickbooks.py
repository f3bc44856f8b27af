"""QuickBooks Online."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, HttpProbe
from intctl.providers.base import CLIENT, REFRESH_TOKEN, Field, Provider, refresh_token, text_of

_HOSTS = {"production": "quickbooks.api.intuit.com", "sandbox": "sandbox-quickbooks.api.intuit.com"}


class QuickBooks(Provider):
    """QuickBooks Online: OAuth with a refresh token, the client as Basic (as Nango does; hosts also
    in Intuit's own Python client, read directly).

    A refresh token lasts 100 days and its value changes about once a day (Intuit's docs and
    third-party sources): not at each use, so it is not single-use; intctl stores the newest. The
    company call, and fault code 3200 for a refused token, are known from third-party sources only;
    403 with 3100 for a wrong company is general knowledge.
    """

    name = "quickbooks"
    title = "QuickBooks Online"
    type = "payroll"
    speaks = "oauth"
    proof = "Refresh of the access token and GET of the company"
    scopes = "com.intuit.quickbooks.accounting"
    cost = "1 request, and a token call once an hour"
    limits = "500 a minute for a company (general knowledge)"
    docs = "https://developer.intuit.com/app/developer/qbo/docs/develop"
    confidence = "third-party"
    fields = (
        *CLIENT,
        REFRESH_TOKEN,
        Field("realm_id", "Company (realm) id", required=True, pattern="[0-9]{10,19}", example="1234567890123456"),
        Field(
            "environment",
            "production or sandbox",
            kind="choice",
            choices=tuple(_HOSTS),
            default="production",
            destination=True,
        ),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        host, realm = _HOSTS[text_of(config, "environment") or "production"], text_of(config, "realm_id")
        said = [
            Answer(status, code, pointer=f"{fault}/0/code", equals=number, detail=detail)
            for status, number, code, detail in (
                (401, "3200", "http.auth.rejected", "AuthenticationFailed (3200)"),
                (403, "3100", "not.found", "the token is not for this company (3100): check realm_id"),
            )
            for fault in ("/fault/error", "/Fault/Error")
        ]
        url = "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"
        return HttpProbe(
            f"https://{host}/v3/company/{realm}/companyinfo/{realm}",
            refresh_token(config, url, client_in="basic"),
            headers={"Accept": "application/json"},
            require=("/CompanyInfo/CompanyName",),
            facts={"account": "/CompanyInfo/CompanyName"},
            answers=(*said, Answer(403, "http.scope_missing", detail="the token may not read the company")),
        )
