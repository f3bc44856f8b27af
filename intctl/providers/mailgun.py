"""Mailgun."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Basic, HttpProbe, Quota
from intctl.providers.base import Field, Provider, secret_of


class Mailgun(Provider):
    """Mailgun's HTTP API (its documentation, read directly; the probe as Nango and n8n do it).

    HTTP Basic: user `api`, password an API key. Keys are valid in both regions, a domain exists in one.
    A wrong key is 401, its body sometimes only the word Forbidden. A domain sending key may only
    send: every GET is refused, as with a wrong key, so use an account key. Its SMTP logins
    (smtp.mailgun.org, smtp.eu.mailgun.org) have their own passwords: use provider smtp for them.
    /v5/accounts/limit/custom/monthly returns the custom message limit, if one is set, and the messages
    sent (its API reference, read directly); reaching it disables the account until a person enables it.
    """

    name = "mailgun"
    title = "Mailgun"
    type = "email"
    proof = "GET of one domain"
    scopes = "an account key; a domain sending key can't be proven"
    limits = "no figure; the text of 429 says when to retry"
    docs = "https://documentation.mailgun.com"
    confidence = "in use"
    status_page = "https://status.mailgun.com/api/v2/summary.json"
    fields = (
        Field("api_key", "API key of the account (a domain sending key can't be proven)", secret=True, required=True),
        Field("region", "Region of the domains", kind="choice", choices=("us", "eu"), default="us", destination=True),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        host = "api.eu.mailgun.net" if config.get("region") == "eu" else "api.mailgun.net"
        return HttpProbe(
            f"https://{host}/v4/domains?limit=1",
            Basic("api", secret_of(config, "api_key")),
            require=("/items", "/total_count"),
            quotas=(Quota(used="/current", limit="/limit", period="month", unit="emails"),),
            quota_url=f"https://{host}/v5/accounts/limit/custom/monthly",
        )
