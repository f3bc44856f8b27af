"""HireRight."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import NoProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider


class HireRight(Provider):
    """HireRight publishes no API: an integration is agreed by contract, and its hosts do not resolve
    from outside (third-party sources).

    What HireRight gave you is kept sealed; nothing is asked. To prove a URL of your contract, use
    the provider http with `type: background_check`.
    """

    name = "hireright"
    title = "HireRight"
    type = "background_check"
    proof = "None: no read-only call is known that proves the credential; it is never shown as healthy"
    fields = (
        Field("username", "User name or account id"),
        Field("password", "Password or key", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> NoProbe:  # noqa: ARG002 -- there is nothing to ask
        return NoProbe()
