"""Twilio."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Balance, Basic, HttpProbe
from intctl.providers.base import Field, Provider, secret_of, text_of

# twilio.com/docs/api/errors/70051 and /20403.
_NARROW = "the API key is restricted and may not read messages (70051)"
_CLOSED = Answer(403, "http.account_inactive", pointer="/code", equals=20403, detail="suspended or closed (20403)")


class Twilio(Provider):
    """Twilio's REST API 2010-04-01 (its OpenAPI description, read directly).

    HTTP Basic: account SID and auth token, or API key SID and secret. The account returns `status`
    active, suspended or closed, with HTTP 200 in each case; its body also contains the auth token
    and is not kept. Standard API keys cannot read the account (general knowledge), so with a key
    intctl lists one message instead (as Nango does). 401 has code 20003 (third-party sources).
    Balance.json returns the balance, not of subaccounts (OpenAPI description); at zero the account
    is suspended (Twilio's page on error 10001, read directly).
    """

    name = "twilio"
    title = "Twilio"
    type = "sms"
    proof = "GET the account (or, with an API key, one message)"
    scopes = "none with the auth token; a standard API key, or a restricted one that may list messages"
    limits = "no figure; 429"
    docs = "https://www.twilio.com/docs/iam/api/account"
    confidence = "vendor"
    status_page = "https://status.twilio.com/api/v2/summary.json"
    ways = (("auth_token",), ("api_key_sid", "api_key_secret"))
    fields = (
        Field("account_sid", "Account SID", required=True, pattern="AC[0-9a-fA-F]{32}", example="AC and 32 hex digits"),
        Field("auth_token", "Auth token of the account; or use an API key", secret=True),
        Field(
            "api_key_sid",
            "API key SID, instead of the auth token",
            pattern="SK[0-9a-fA-F]{32}",
            example="SK and 32 hex digits",
        ),
        Field("api_key_secret", "API key secret, instead of the auth token", secret=True),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        account = text_of(config, "account_sid")
        url = f"https://api.twilio.com/2010-04-01/Accounts/{account}"
        if "api_key_sid" in config:
            auth = Basic(text_of(config, "api_key_sid"), secret_of(config, "api_key_secret"))
            narrow = (Answer(401, "http.scope_missing", pointer="/code", equals=70051, detail=_NARROW),)
            return HttpProbe(
                f"{url}/Messages.json?PageSize=1", auth, require=("/messages",), answers=(*narrow, _CLOSED)
            )
        return HttpProbe(
            f"{url}.json",
            Basic(account, secret_of(config, "auth_token")),
            require=("/sid",),
            expect_json={"/status": "active"},
            facts={"account": "/friendly_name", "account_status": "/status"},
            answers=(
                *(
                    Answer(200, "http.account_inactive", pointer="/status", equals=one, detail=f"its status is {one}")
                    for one in ("suspended", "closed")
                ),
                _CLOSED,
            ),
            quotas=(Balance("/balance", "/currency", stops=True),),
            quota_url=f"{url}/Balance.json",
        )
