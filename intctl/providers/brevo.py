"""Brevo."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Header, HttpProbe, Quota
from intctl.providers.base import Field, Provider, secret_of

_CREDITS = "/plan/0/credits"


class Brevo(Provider):
    """Brevo's API v3 (its own client, read directly; the probe as Nango, n8n and TruffleHog do it).

    The key (xkeysib-…) goes in the header api-key. 401 with the message "unrecognised IP address"
    is the account's list of authorised IPs and not a bad key (third-party sources). The plan's credits
    are the emails left to send (its own client); the free plan has 300 a day (Brevo's help, "Add or
    remove emails from your plan", read directly). For an SMTP key (xsmtpsib-…) use provider smtp.
    """

    name = "brevo"
    title = "Brevo"
    type = "email"
    proof = "GET of the account"
    scopes = "none: any API key, from an authorised IP address"
    docs = "https://developers.brevo.com"
    confidence = "in use"
    status_page = "https://status.brevo.com/api/v2/status.json"
    fields = (
        Field(
            "api_key",
            "API key (xkeysib-…)",
            secret=True,
            required=True,
            usual="xkeysib-.+",
            unusual="Brevo's API keys begin with xkeysib-; xsmtpsib- is the password of its mail server",
        ),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://api.brevo.com/v3/account",
            Header("api-key", secret_of(config, "api_key")),
            require=("/plan",),
            facts={"plan": "/plan/0/type", "credits": _CREDITS, "credits_type": "/plan/0/creditsType"},
            answers=(
                Answer(
                    401,
                    "http.forbidden",
                    pointer="/message",
                    contains="unrecognised IP",
                    detail="this machine's address is not among the account's authorised IPs (Brevo: Security)",
                ),
            ),
            quotas=(
                Quota(remaining=_CREDITS, limit=300, period="day", unit="emails", only_if=("/plan/0/type", "free")),
                Quota(remaining=_CREDITS, unit="emails", only_if=("/plan/0/creditsType", "sendLimit")),
            ),
        )
