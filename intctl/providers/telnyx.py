"""Telnyx."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Balance, Bearer, HttpProbe
from intctl.providers.base import Field, Provider, secret_of


class Telnyx(Provider):
    """Telnyx's API v2 (its own Python client, read directly; host as TruffleHog has it).

    Bearer API key. Amounts are texts; the available credit is the balance and the credit line
    together. A wrong key is 401 with error code 10009 (third-party sources).
    """

    name = "telnyx"
    title = "Telnyx"
    type = "sms"
    proof = "GET of the balance"
    scopes = "none: any API v2 key"
    docs = "https://developers.telnyx.com"
    confidence = "vendor"
    fields = (Field("api_key", "API v2 key", secret=True, required=True),)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://api.telnyx.com/v2/balance",
            Bearer(secret_of(config, "api_key")),
            expect_json={"/data/record_type": "balance"},
            answers=(
                Answer(403, "http.scope_missing", pointer="/errors/0/code", equals="10010", detail="error 10010"),
            ),
            facts={"balance": "/data/balance", "currency": "/data/currency"},
            quotas=(Balance("/data/available_credit", "/data/currency"),),
        )
