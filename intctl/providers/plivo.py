"""Plivo."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Balance, Basic, HttpProbe
from intctl.providers.base import Field, Provider, secret_of, text_of


class Plivo(Provider):
    """Plivo's REST API v1 (its own Python client and fixtures, read directly).

    HTTP Basic: auth id (MA… the account, SA… a subaccount) and auth token. A wrong pair is 401, the
    body JSON or plain text. At a balance of zero Plivo sends nothing (Plivo's help, "What happens if my
    Plivo account balance reaches 0?", read directly).
    """

    name = "plivo"
    title = "Plivo"
    type = "sms"
    proof = "GET of the account"
    scopes = "none: auth id and token"
    docs = "https://www.plivo.com/docs/account/api"
    confidence = "vendor"
    fields = (
        Field("auth_id", "Auth id", required=True, pattern="(MA|SA)[A-Za-z0-9]{18}", example="MA and 18 characters"),
        Field("auth_token", "Auth token", secret=True, required=True),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        account = text_of(config, "auth_id")
        return HttpProbe(
            f"https://api.plivo.com/v1/Account/{account}/",
            Basic(account, secret_of(config, "auth_token")),
            expect_json={"/auth_id": account},
            facts={"account_type": "/account_type", "billing": "/billing_mode", "balance": "/cash_credits"},
            quotas=(
                Balance("/cash_credits", "credits", stops=True, only_if=("/billing_mode", "prepaid")),
                Balance("/cash_credits", "credits"),
            ),
        )
