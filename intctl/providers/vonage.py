"""Vonage."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import Balance, Basic, HttpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


class Vonage(Provider):
    """Vonage's Account API (its OpenAPI description, read directly).

    HTTP Basic: API key and API secret. GET of the account's secrets lists their ids and not their
    values. A wrong pair is 401. The balance, in EUR, is asked with HTTP Basic too, as in Vonage's own
    code snippet "Get your current account balance" (the older OpenAPI description has key and secret in
    the URL, where they never go here); at zero the APIs can't be used (Vonage's help, "What happens if
    my account balance reaches zero?"; all read directly).
    """

    name = "vonage"
    title = "Vonage"
    type = "sms"
    proof = "GET of the ids of the account's secrets"
    fields = (
        Field("api_key", "API key", required=True, pattern="[A-Za-z0-9]{1,64}", example="abcd1234"),
        Field("api_secret", "API secret", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        key = text_of(config, "api_key")
        return HttpProbe(
            asked(config, f"https://api.nexmo.com/accounts/{key}/secrets"),
            Basic(key, secret_of(config, "api_secret")),
            require=("/_embedded/secrets",),
            quotas=(Balance("/value", "EUR", stops=True),),
            quota_url=asked(config, "https://rest.nexmo.com/account/get-balance"),
            ca_file=text_of(config, "ca_file") or None,
        )
