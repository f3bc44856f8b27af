"""Amazon SES, through its mail server."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.providers.base import Field, FieldProblem
from intctl.providers.mail import HOST, PASSWORD, USERNAME, MailProvider, mail_fields

REGION = Field(
    "region",
    "AWS region of the SMTP credential",
    pattern=r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}",
    destination=True,
    example="eu-west-1",
)


class Ses(MailProvider):
    """Amazon SES's SMTP interface (AWS's developer guide, read directly).

    Server `email-smtp.REGION.amazonaws.com`; 25, 587, 2587 STARTTLS, 465 and 2465 TLS; TLS is
    mandatory. User name and password are SMTP credentials from the SES console, one pair per
    region: the password is derived from a secret access key and is not that key; temporary
    credentials do not work. 535 is a wrong credential or an account that is not subscribed; 454,
    421 and 451 are temporary. A login does not prove the permission to send: 554 comes later.
    """

    name = "ses"
    title = "Amazon SES"
    scopes = "none for the login; ses:SendRawEmail to send, which a login does not prove"
    limits = "no figure; too many logins or connections: 454 or 421"
    docs = "https://docs.aws.amazon.com/ses/latest/dg/send-email-smtp.html"
    confidence = "vendor"
    fields = (
        REGION,
        *mail_fields(
            HOST.replace(
                required=False,
                help="Mail server; by default the region's",
                example="email-smtp.eu-west-1.amazonaws.com",
            ),
            USERNAME.replace(required=True, help="SMTP user name from the SES console", example="AKIA…"),
            PASSWORD.replace(
                required=True,
                help="SMTP password from the SES console (not the secret access key)",
                usual=r"(?!.{40}$).*",
                unusual="a secret access key has 40 characters, an SMTP password 44: it is derived from the key",
            ),
        ),
    )

    def check(self, config: Mapping[str, object]) -> list[FieldProblem]:
        found = super().check(config)
        if "region" not in config and "host" not in config:
            found.append(FieldProblem("region", "is missing (or set host)", ("host",)))
        return found

    def complete(self, config: Mapping[str, object]) -> dict[str, object]:
        full = super().complete(config)
        if "host" not in full and "region" in full:
            full["host"] = f"email-smtp.{full['region']}.amazonaws.com"
        return full
