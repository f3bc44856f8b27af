"""Mailjet."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Basic, HttpProbe
from intctl.providers.base import Field, Provider, secret_of


class Mailjet(Provider):
    """Mailjet's REST API v3 (host and probe as Nango does it).

    HTTP Basic: API key and secret key, both treated as secrets. A wrong pair is 401 with StatusCode
    and ErrorMessage (third-party sources). For accounts on Mailjet's US servers set base_url to
    https://api.us.mailjet.com (general knowledge, not confirmed).
    """

    name = "mailjet"
    title = "Mailjet"
    type = "email"
    proof = "GET of the account's profile"
    scopes = "none: any key pair"
    docs = "https://dev.mailjet.com"
    confidence = "in use"
    fields = (
        Field("api_key", "API key", secret=True, required=True),
        Field("secret_key", "Secret key", secret=True, required=True),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://api.mailjet.com/v3/REST/myprofile",
            Basic(secret_of(config, "api_key"), secret_of(config, "secret_key")),
            require=("/Count", "/Data/0"),
            facts={"account": "/Data/0/CompanyName"},
        )
