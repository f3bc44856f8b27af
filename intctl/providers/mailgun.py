"""Mailgun."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Basic, HttpProbe, Quota
from intctl.providers.base import Field, Provider, secret_of


class Mailgun(Provider):
    """Mailgun's HTTP API (its documentation, read directly; the probe as Nango and n8n do it).

    HTTP Basic: user `api`, password an API key. Keys are good in both regions, domains live in one.
    A wrong key is 401, its body sometimes the bare word Forbidden. A domain sending key may only
    send: every GET is refused, as with a wrong key, so give an account key. Its SMTP logins
    (smtp.mailgun.org, smtp.eu.mailgun.org) have passwords of their own: use provider smtp for them.
    /v5/accounts/limit/custom/monthly tells the custom message limit, where one is set, and the messages
    sent (its API reference, read directly); reaching it disables the account until somebody enables it.
    """

    name = "mailgun"
    title = "Mailgun"
    type = "email"
    proof = "GET of one domain"
    scopes = "an account key; a domain sending key can't be proven"
    limits = "no figure; 429 says in words when to come back"
    docs = "https://documentation.mailgun.com"
    confidence = "in use"
    status_page = "https://status.mailgun.com/api/v2/summary.json"
    fields = (
        Field("api_key", "API key of the account (a domain sending key can't be proven)", secret=True, required=True),
        Field("region", "Where the domains live", kind="choice", choices=("us", "eu"), default="us", destination=True),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        host = "api.eu.mailgun.net" if config.get("region") == "eu" else "api.mailgun.net"
        return HttpProbe(
            f"https://{host}/v4/domains?limit=1",
            Basic("api", secret_of(config, "api_key")),
            require=("/items",),
            quotas=(Quota(used="/current", limit="/limit", period="month", unit="emails"),),
            quota_url=f"https://{host}/v5/accounts/limit/custom/monthly",
        )
