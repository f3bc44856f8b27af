"""Gmail, through its mail server."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import RefreshToken
from intctl.providers.base import CLIENT, OAUTH, REFRESH_TOKEN, refresh_token
from intctl.providers.mail import HOST, PASSWORD, USERNAME, mail_fields
from intctl.providers.mail_oauth import TOKEN_URL, OauthMailProvider


class Gmail(OauthMailProvider):
    """Gmail's SMTP, by an app password or by OAuth (XOAUTH2).

    The form of the XOAUTH2 login and the error that precedes its refusal: Google's developer
    guide, read directly; scope https://mail.google.com/. Token endpoint as Nango uses it. General
    knowledge, not confirmed: `smtp.gmail.com`, 587 STARTTLS and 465 TLS; app passwords need 2-step
    verification, and the account's own password is refused with 534 or 535.
    """

    name = "gmail"
    title = "Gmail"
    scopes = "by OAuth https://mail.google.com/; by app password none"
    docs = "https://developers.google.com/workspace/gmail/imap/xoauth2-protocol"
    confidence = "vendor"
    ways = (("password",), OAUTH)
    fields = (
        *mail_fields(
            HOST.replace(required=False, default="smtp.gmail.com"),
            USERNAME.replace(required=True, help="Full email address", example="person@company.com"),
            PASSWORD.replace(help="App password; or use client_id, client_secret and refresh_token"),
        ),
        *(field.replace(required=False) for field in CLIENT),
        REFRESH_TOKEN.replace(required=False, help="Refresh token of the user, scope https://mail.google.com/"),
        TOKEN_URL,
    )

    def grant(self, config: Mapping[str, object]) -> RefreshToken:
        return refresh_token(config, "https://oauth2.googleapis.com/token")
