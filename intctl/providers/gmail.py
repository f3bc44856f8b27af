"""Gmail, through its mail server."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import RefreshToken
from intctl.providers.base import Field, secret_of, text_of
from intctl.providers.mail import HOST, PASSWORD, USERNAME, mail_fields
from intctl.providers.mail_oauth import TOKEN_URL, OauthMailProvider

_OAUTH = ("client_id", "client_secret", "refresh_token")


class Gmail(OauthMailProvider):
    """Gmail's SMTP, by an app password or by OAuth (XOAUTH2).

    The form of the XOAUTH2 login and the error that comes before its refusal: Google's developer
    guide, read directly; scope https://mail.google.com/. Token endpoint as Nango uses it. General
    knowledge, not confirmed: `smtp.gmail.com`, 587 STARTTLS and 465 TLS; app passwords need 2-step
    verification, and the account's own password is refused with 534 or 535.
    """

    name = "gmail"
    title = "Gmail"
    fields = (
        *mail_fields(
            HOST.but(required=False, default="smtp.gmail.com"),
            USERNAME.but(required=True, help="The full address", example="person@company.com"),
            PASSWORD.but(help="An app password; or else client_id, client_secret and refresh_token"),
        ),
        Field("client_id", "OAuth client id"),
        Field("client_secret", "OAuth client secret", secret=True),
        Field("refresh_token", "OAuth refresh token of the user, scope https://mail.google.com/", secret=True),
        TOKEN_URL,
    )

    def check(self, config: Mapping[str, object]) -> list[tuple[str, str]]:
        found = super().check(config)
        given = [name for name in _OAUTH if name in config]
        if "password" in config and given:
            found.append((given[0], "give password, or client_id, client_secret and refresh_token, not both"))
        elif "password" not in config and len(given) < len(_OAUTH):
            found.append(("password", "is missing (or give client_id, client_secret and refresh_token)"))
        return found

    def grant(self, config: Mapping[str, object]) -> RefreshToken:
        return RefreshToken(
            text_of(config, "token_url") or "https://oauth2.googleapis.com/token",
            text_of(config, "client_id"), secret_of(config, "client_secret"), secret_of(config, "refresh_token"),
        )
