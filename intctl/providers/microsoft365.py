"""Microsoft 365's mail server."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import TokenGrant
from intctl.providers.base import CLIENT, REFRESH_TOKEN, FieldProblem, client_credentials, refresh_token, text_of
from intctl.providers.mail import HOST, USERNAME, mail_fields
from intctl.providers.mail_oauth import TOKEN_URL, OauthMailProvider
from intctl.providers.microsoft import TENANT, tenant_problem


class Microsoft365(OauthMailProvider):
    """Exchange Online's SMTP by XOAUTH2: as a user with refresh_token, without it as the application.

    Scopes, `535 5.7.3` for a refused token, and the other requirements of an application (SMTP.SendAsApp
    with consent, its service principal registered in Exchange, rights on the mailbox): Microsoft's
    guide "Authenticate an IMAP, POP or SMTP connection using OAuth", read directly. The user name
    is the mailbox, a shared one too. `smtp.office365.com`, 587 with STARTTLS and no other port, and
    no password logins since April 2026: third-party sources, several. A mailbox or tenant with SMTP
    AUTH switched off replies 535 5.7.139 (the same).
    """

    name = "microsoft365"
    title = "Microsoft 365 Mail"
    proof = "OAuth token exchange, then an XOAUTH2 login at the mail server; no mail is sent"
    scopes = "user: https://outlook.office.com/SMTP.Send offline_access; application: SMTP.SendAsApp"
    cost = "1 SMTP session, and a token call when the stored token has expired"
    docs = (
        "https://learn.microsoft.com/exchange/client-developer/legacy-protocols/"
        "how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth"
    )
    confidence = "vendor"
    fields = (
        *mail_fields(
            HOST.replace(required=False, default="smtp.office365.com"),
            USERNAME.replace(required=True, help="Address of the mailbox", example="person@company.com"),
        ),
        TENANT,
        *CLIENT,
        REFRESH_TOKEN.replace(required=False, help="Refresh token of a user; without it the application logs in"),
        TOKEN_URL,
    )

    def check(self, config: Mapping[str, object]) -> list[FieldProblem]:
        return super().check(config) + tenant_problem(config)

    def grant(self, config: Mapping[str, object]) -> TokenGrant:
        url = f"https://login.microsoftonline.com/{text_of(config, 'tenant_id')}/oauth2/v2.0/token"
        if "refresh_token" in config:
            return refresh_token(config, url, scope="https://outlook.office.com/SMTP.Send offline_access")
        return client_credentials(config, url, scope="https://outlook.office365.com/.default")
