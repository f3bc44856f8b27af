"""MessageBird."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Balance, Header, HttpProbe
from intctl.providers.base import Field, Provider, secret_of


class MessageBird(Provider):
    """MessageBird's REST API (its own Python client, read directly).

    `Authorization: AccessKey KEY`, not Bearer. A wrong key is 401 with error code 2 (third-party
    sources, its own clients' tests among them). The newer Bird platform has different keys (general
    knowledge). The effect of a balance of zero is not known, so the balance is only shown.
    """

    name = "messagebird"
    title = "MessageBird"
    type = "sms"
    proof = "GET of the balance"
    scopes = "none: any live key"
    docs = "https://developers.messagebird.com/api/balance"
    confidence = "vendor"
    fields = (Field("access_key", "Access key", secret=True, required=True),)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://rest.messagebird.com/balance",
            Header("Authorization", secret_of(config, "access_key"), prefix="AccessKey "),
            require=("/amount",),
            facts={"payment": "/payment", "balance": "/amount", "currency": "/type"},
            quotas=(Balance("/amount", "/type"),),
        )
