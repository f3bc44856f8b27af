"""SendGrid, through its mail server or its API."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Bearer, HttpProbe, Quota, SmtpProbe
from intctl.providers.base import Field, FieldProblem, secret_of, text_of
from intctl.providers.mail import HOST, PASSWORD, SMTP_BASE_URL, USERNAME, MailProvider, mail_fields

_USER = "SendGrid's user name is the word apikey for every account"


class SendGrid(MailProvider):
    """SendGrid by SMTP (the user name is the word `apikey`, the password an API key) or by its API.

    Server `smtp.sendgrid.net`, 587, 25 and 2525 STARTTLS; a revoked key causes 535 (third-party sources).
    465 TLS (general knowledge, not confirmed). The API lists the key's scopes (its OpenAPI description, read directly);
    403 is a key without the scope to list them (as TruffleHog reads it). /v3/user/credits has the plan's emails and
    those used: beyond them a paid plan continues to send. EU subusers have their own host.
    """

    name = "sendgrid"
    title = "SendGrid"
    proof = "A login at the mail server, or GET of the key's scopes; no mail is sent"
    scopes = "mail.send; with api_key it must be among the key's scopes"
    cost = "1 SMTP session or 1 request; no mail, so no sending quota is used"
    limits = "no figure; X-RateLimit-Limit, -Remaining and -Reset"
    docs = "https://www.twilio.com/docs/sendgrid/api-reference/api-key-permissions"
    confidence = "vendor"
    status_page = "https://status.sendgrid.com/api/v2/summary.json"
    ways = (("password",), ("api_key",))
    fields = (
        *mail_fields(
            HOST.replace(required=False, default="smtp.sendgrid.net"),
            USERNAME.replace(default="apikey", help="The word apikey", usual="apikey", unusual=_USER),
            PASSWORD.replace(help="API key (SG.…) with the permission Mail Send; or use api_key"),
            beside="password",
        ),
        Field("api_key", "API key, verified by the API instead of the mail server", secret=True),
        Field("region", "Region of the API", kind="choice", choices=("us", "eu"), destination=True, beside="api_key"),
        SMTP_BASE_URL.replace(
            help="Connect here instead: smtp://host:port, smtps://host:port, or https://… with api_key",
            choices=("smtp", "smtps", "http", "https"),
            pattern=r"[^?#]*",
        ),
    )

    def check(self, config: Mapping[str, object]) -> list[FieldProblem]:
        crossed = "base_url" in config and text_of(config, "base_url").startswith("http") != ("api_key" in config)
        said = "api_key requires https://, a mail server smtp://"
        return super().check(config) + ([FieldProblem("base_url", said, ("api_key",))] if crossed else [])

    def complete(self, config: Mapping[str, object]) -> dict[str, object]:
        return dict(config) if "api_key" in config else super().complete(config)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe | SmtpProbe:
        if "api_key" not in config:
            return super().build_probe(config)
        host = "api.eu.sendgrid.com" if config.get("region") == "eu" else "api.sendgrid.com"
        unable = Answer(
            200,
            "http.scope_missing",
            pointer="/scopes",
            contains="mail.send",
            unless=True,
            detail="the key does not allow sending mail (mail.send)",
        )
        refused = Answer(403, "http.scope_missing", detail="the key does not allow listing its scopes")
        credits = Quota(used="/used", limit="/total", period="/reset_frequency", unit="emails")
        return HttpProbe(
            f"https://{host}/v3/scopes",
            Bearer(secret_of(config, "api_key")),
            require=("/scopes",),
            answers=(unable, refused),
            quotas=(credits,),
            quota_url=f"https://{host}/v3/user/credits",
        )
