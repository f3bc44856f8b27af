"""HireRight."""

from __future__ import annotations

from intctl.providers.base import Field, Unproven


class HireRight(Unproven):
    """HireRight publishes no API: an integration is agreed by contract, and its hosts do not resolve
    from outside (third-party sources).

    The credential is stored sealed; intctl sends no request. To prove a URL of your contract, use
    the provider http with `type: background_check`.
    """

    name = "hireright"
    title = "HireRight"
    type = "background_check"
    fields = (
        Field("username", "User name or account id"),
        Field("password", "Password or key", secret=True, required=True),
    )
