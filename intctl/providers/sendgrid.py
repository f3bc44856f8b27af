"""SendGrid, through its mail server."""

from __future__ import annotations

from intctl.providers.mail import HOST, PASSWORD, USERNAME, MailProvider, mail_fields


class SendGrid(MailProvider):
    """SendGrid's SMTP relay: the user name is the word `apikey`, the password an API key.

    Server `smtp.sendgrid.net`, 587, 25 and 2525 STARTTLS; a revoked key is answered with 535
    (third-party sources). 465 TLS (general knowledge, not confirmed).
    """

    name = "sendgrid"
    title = "SendGrid"
    status_page = "https://status.sendgrid.com/api/v2/summary.json"
    fields = mail_fields(
        HOST.but(required=False, default="smtp.sendgrid.net"),
        USERNAME.but(default="apikey", help="The word apikey", example="apikey"),
        PASSWORD.but(required=True, help="An API key (SG.…) with the permission Mail Send"),
    )
