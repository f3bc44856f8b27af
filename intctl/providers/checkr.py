"""Checkr."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Basic, HttpProbe
from intctl.providers.base import Field, Provider, secret_of


class Checkr(Provider):
    """Checkr's API (as Nango uses it).

    HTTP Basic: the secret key as user, an empty password; GET /v1/account. Staging is
    `https://api.checkr-staging.com` with its own keys: set it as base_url. 401 is a bad key; 403
    "Request blocked" is from Checkr's edge, which does not check the key (third-party sources). The
    account's `authorized` and `api_authorized` say whether it may order checks, and
    `account_deauthorization.reason` why not (Checkr's OpenAPI description).
    """

    name = "checkr"
    title = "Checkr"
    type = "background_check"
    proof = "GET the account"
    scopes = "none: any secret key"
    limits = "1200 a minute for the account (third-party sources)"
    docs = "https://docs.checkr.com"
    confidence = "in use"
    fields = (Field("api_key", "Secret API key", secret=True, required=True),)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://api.checkr.com/v1/account",
            Basic(secret_of(config, "api_key"), ""),
            require=("/id",),
            expect_json={"/object": "account"},
            facts={"account": "/name"},
            answers=(
                *(
                    Answer(
                        200,
                        "http.account_inactive",
                        pointer=f"/{fact}",
                        equals=False,
                        detail=f"it may not order: {fact} is false",
                        detail_at="/account_deauthorization/reason",
                    )
                    for fact in ("authorized", "api_authorized")
                ),
                Answer(
                    403,
                    "rejected",
                    pointer="/error",
                    contains="blocked",
                    detail="Checkr's edge blocks requests from this machine; it did not check the key",
                ),
            ),
        )
