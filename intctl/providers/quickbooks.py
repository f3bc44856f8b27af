"""QuickBooks Online."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import Answer, HttpProbe, RefreshToken
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of

_HOSTS = {"production": "quickbooks.api.intuit.com", "sandbox": "sandbox-quickbooks.api.intuit.com"}


class QuickBooks(Provider):
    """QuickBooks Online: OAuth with a refresh token, the client as Basic (as Nango does; hosts also
    in Intuit's own Python client, read directly).

    A refresh token lives 100 days and its value changes about once a day (Intuit's docs and
    third-party sources): not at each use, so it is not single-use; the newest is kept. The company
    call, and fault code 3200 for a refused token, are seen in third-party sources only; 403 with
    3100 for a wrong company is general knowledge.
    """

    name = "quickbooks"
    title = "QuickBooks Online"
    type = "payroll"
    speaks = "oauth"
    proof = "Refresh of the access token and GET of the company"
    fields = (
        Field("client_id", "OAuth client id", required=True),
        Field("client_secret", "OAuth client secret", secret=True, required=True),
        Field("refresh_token", "Refresh token", secret=True, required=True),
        Field("realm_id", "Company (realm) id", required=True, pattern="[0-9]{10,19}", example="1234567890123456"),
        Field("environment", "production or sandbox", kind="choice", choices=tuple(_HOSTS), default="production",
              destination=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        host, realm = _HOSTS[text_of(config, "environment") or "production"], text_of(config, "realm_id")
        said = [
            Answer(status, code, pointer=f"{fault}/0/code", equals=number, detail=detail)
            for status, number, code, detail in (
                (401, "3200", "http.auth.rejected", "AuthenticationFailed (3200)"),
                (403, "3100", "not.found", "the token is not for this company (3100): check realm_id"),
            )
            for fault in ("/fault/error", "/Fault/Error")
        ]
        token_url = asked(config, "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer")
        return HttpProbe(
            asked(config, f"https://{host}/v3/company/{realm}/companyinfo/{realm}"),
            RefreshToken(token_url, text_of(config, "client_id"), secret_of(config, "client_secret"),
                         secret_of(config, "refresh_token"), client_in="basic"),
            headers={"Accept": "application/json"}, answers=tuple(said), ca_file=text_of(config, "ca_file") or None,
        )
