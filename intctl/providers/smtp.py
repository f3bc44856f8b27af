"""Any mail server."""

from __future__ import annotations

from intctl.providers.mail import HOST, PASSWORD, USERNAME, MailProvider, mail_fields


class Smtp(MailProvider):
    """Any SMTP server, with or without a login (a relay that trusts this host).

    Ports: 587 and 2525 STARTTLS, 465 TLS, 25 plain between servers (general knowledge).
    Replies: 235 accepted; 535 wrong user or password; 534 another mechanism or an app password is
    required; 454 temporary, which proves nothing about the password (general knowledge, RFC 4954).
    """

    name = "smtp"
    title = "SMTP server"
    limits = "the server's own"
    docs = "https://www.rfc-editor.org/rfc/rfc4954"
    confidence = "standard"
    fields = mail_fields(HOST, USERNAME, PASSWORD)
