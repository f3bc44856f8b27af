"""Vonage."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Basic, HttpProbe
from intctl.providers.base import Field, Provider, secret_of, text_of


class Vonage(Provider):
    """Vonage's Account API (its OpenAPI description, read directly).

    HTTP Basic: API key and API secret. GET of the account's secrets lists their ids and not their
    values. A wrong pair is 401. intctl does not read the balance: the description has key and secret
    in its URL, where intctl never puts them.
    """

    name = "vonage"
    title = "Vonage"
    type = "sms"
    proof = "GET of the ids of the account's secrets"
    scopes = "none: the account's key and secret"
    docs = "https://developer.vonage.com/en/api/account"
    confidence = "vendor"
    fields = (
        Field("api_key", "API key", required=True, pattern="[A-Za-z0-9]{1,64}", example="abcd1234"),
        Field("api_secret", "API secret", secret=True, required=True),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        key = text_of(config, "api_key")
        return HttpProbe(
            f"https://api.nexmo.com/accounts/{key}/secrets",
            Basic(key, secret_of(config, "api_secret")),
            require=("/_embedded/secrets",),
        )
