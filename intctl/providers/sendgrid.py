"""SendGrid, through its mail server or its API."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import Answer, Bearer, HttpProbe, Quota, SmtpProbe
from intctl.providers.base import BASE_URL, Field, asked, plain_http_problem, secret_of, text_of
from intctl.providers.mail import HOST, PASSWORD, USERNAME, MailProvider, mail_fields

_HOST = "smtp.sendgrid.net"
_BASE_URL = BASE_URL.but(
    help="Connect here instead: smtp://host:port or smtps://host:port, or https://… with api_key",
    choices=("smtp", "smtps", "http", "https"), example="smtp://localhost:2525",
)


class SendGrid(MailProvider):
    """SendGrid by SMTP (the user name is the word `apikey`, the password an API key) or by its API.

    Server `smtp.sendgrid.net`, 587, 25 and 2525 STARTTLS; a revoked key is answered with 535
    (third-party sources). 465 TLS (general knowledge, not confirmed). The API lists the key's
    scopes (its OpenAPI description, read directly); 403 is a key without the scope to list them (as
    TruffleHog reads it). EU subusers have a host of their own. With api_key, /v3/user/credits tells the
    emails that the plan includes and those used (OpenAPI description); beyond them a paid plan goes on
    sending, so a high figure is a warning only. A key without that scope tells nothing.
    """

    name = "sendgrid"
    title = "SendGrid"
    status_page = "https://status.sendgrid.com/api/v2/summary.json"
    proof = "A login at the mail server, or GET of the key's scopes; no mail is sent"
    fields = (
        *(field for field in mail_fields(
            HOST.but(required=False, default=_HOST),
            USERNAME.but(default="apikey", help="The word apikey", example="apikey"),
            PASSWORD.but(help="An API key (SG.…) with the permission Mail Send; or else api_key"),
        ) if field.name != "base_url"),
        Field("api_key", "An API key, asked by the API instead of the mail server", secret=True),
        Field("region", "Where the API is asked", kind="choice", choices=("us", "eu"), destination=True),
        _BASE_URL,
    )

    def check(self, config: Mapping[str, object]) -> list[tuple[str, str]]:
        by_api = "api_key" in config
        if not by_api and "password" not in config:
            return [("password", "is missing (or give api_key)")]
        found = plain_http_problem(config, "base_url") if by_api else super().check(config)
        strangers = ("password", "port", "security") if by_api else ("region",)
        found += [(name, "goes with the password" if by_api else "goes with api_key")
                  for name in strangers if name in config]
        if "base_url" in config and text_of(config, "base_url").startswith("http") != by_api:
            found.append(("base_url", "api_key is asked over https://, a mail server over smtp://"))
        return found

    def complete(self, config: Mapping[str, object]) -> dict[str, object]:
        return dict(config) if "api_key" in config else super().complete(config)

    def probe(self, config: Mapping[str, object]) -> HttpProbe | SmtpProbe:
        if "api_key" not in config:
            return super().probe(config)
        host = "api.eu.sendgrid.com" if config.get("region") == "eu" else "api.sendgrid.com"
        return HttpProbe(
            asked(config, f"https://{host}/v3/scopes"),
            Bearer(secret_of(config, "api_key")),
            require=("/scopes",),
            answers=(
                Answer(200, "http.scope_missing", pointer="/scopes", contains="mail.send", unless=True,
                       detail="the key may not send mail (mail.send)"),
                Answer(403, "http.scope_missing", detail="the key may not list its scopes"),
            ),
            quotas=(Quota(used="/used", limit="/total", period="/reset_frequency", unit="emails"),),
            quota_url=asked(config, f"https://{host}/v3/user/credits"),
            ca_file=text_of(config, "ca_file") or None,
        )
