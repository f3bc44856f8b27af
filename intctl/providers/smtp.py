"""Any mail server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from intctl.providers.base import Field, FieldProblem, text_of
from intctl.providers.mail import HOST, PASSWORD, USERNAME, MailProvider, mail_fields

_PROBE_RECIPIENT = Field(
    "probe_recipient",
    "Without a login: an address of another domain that the relay is asked to take mail for; no mail is sent",
    kind="email",
    example="postmaster@example.org",
)


class Smtp(MailProvider):
    """Any SMTP server, with or without a login (a relay that trusts this host).

    Ports: 587 and 2525 STARTTLS, 465 TLS, 25 plain between servers (general knowledge).
    Replies: 235 accepted; 535 wrong user or password; 534 another mechanism or an app password is
    required; 454 temporary, which proves nothing about the password (general knowledge, RFC 4954).
    A relay answers EHLO to anybody. It decides at MAIL and RCPT, and QUIT ends the transaction without a mail
    (RFC 5321 §4.1.1.10). Postfix counts NOOP and RSET as junk commands (postconf(5), smtpd_junk_command_limit). For
    its own domain a mail server takes mail from everybody, so that only an address of another domain proves anything.

    What the mail server's administrator sees: with a login, EHLO, AUTH, NOOP, QUIT in each check. Without one, EHLO
    and QUIT, and at most once an hour, and when a person asks, MAIL and RCPT before the QUIT. No mail is queued. A
    refusal is logged like any other, for example by Postfix as "NOQUEUE: reject: RCPT". fail2ban's filter for Postfix
    counts "Relay access denied", so after one the schedule asks less and less often. A greylist entry stays for
    from_email and probe_recipient.
    """

    name = "smtp"
    title = "SMTP server"
    proof: ClassVar[str] = "EHLO, TLS and a login; a relay without one is asked to take a mail (MAIL, RCPT), not sent"
    limits = "the server's own"
    docs = "https://www.rfc-editor.org/rfc/rfc4954"
    confidence = "standard"
    fields = mail_fields(HOST, USERNAME, PASSWORD, _PROBE_RECIPIENT)

    def check(self, config: Mapping[str, object]) -> list[FieldProblem]:
        found = super().check(config)
        recipient, sender = text_of(config, "probe_recipient"), text_of(config, "from_email")
        if not recipient:
            return found
        if "username" in config:
            found.append(FieldProblem("probe_recipient", "only a relay without a login is asked", ("username",)))
        elif not sender:
            found.append(FieldProblem("from_email", "probe_recipient requires a sender"))
        elif recipient.rpartition("@")[2].lower() == sender.rpartition("@")[2].lower():
            other = "choose an address of another domain than from_email's: for its own domain, a server takes any mail"
            found.append(FieldProblem("probe_recipient", other, ("from_email",)))
        return found
