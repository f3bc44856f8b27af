"""The catalogue: every provider that this version knows, in one literal table.

Titles and types stand here so that lists and the dashboard import no provider.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from intctl.providers.base import Provider


class Entry(NamedTuple):
    """Where a provider's class stands, and what lists show of it."""

    module: str
    class_name: str
    title: str
    type: str


CATALOGUE: dict[str, Entry] = {
    "smtp": Entry("intctl.providers.smtp", "Smtp", "SMTP server", "email"),
    "sendgrid": Entry("intctl.providers.sendgrid", "SendGrid", "SendGrid", "email"),
    "ses": Entry("intctl.providers.ses", "Ses", "Amazon SES", "email"),
    "mailgun": Entry("intctl.providers.mailgun", "Mailgun", "Mailgun", "email"),
    "postmark": Entry("intctl.providers.postmark", "Postmark", "Postmark", "email"),
    "mailjet": Entry("intctl.providers.mailjet", "Mailjet", "Mailjet", "email"),
    "brevo": Entry("intctl.providers.brevo", "Brevo", "Brevo", "email"),
    "resend": Entry("intctl.providers.resend", "Resend", "Resend", "email"),
    "twilio": Entry("intctl.providers.twilio", "Twilio", "Twilio", "sms"),
    "vonage": Entry("intctl.providers.vonage", "Vonage", "Vonage", "sms"),
    "messagebird": Entry("intctl.providers.messagebird", "MessageBird", "MessageBird", "sms"),
    "plivo": Entry("intctl.providers.plivo", "Plivo", "Plivo", "sms"),
    "telnyx": Entry("intctl.providers.telnyx", "Telnyx", "Telnyx", "sms"),
    "slack": Entry("intctl.providers.slack", "Slack", "Slack", "messaging"),
    "bamboohr": Entry("intctl.providers.bamboohr", "BambooHR", "BambooHR", "hris"),
    "adp": Entry("intctl.providers.adp", "Adp", "ADP", "payroll"),
    "checkr": Entry("intctl.providers.checkr", "Checkr", "Checkr", "background_check"),
    "google": Entry("intctl.providers.google", "Google", "Google Calendar", "calendar"),
    "microsoft": Entry("intctl.providers.microsoft", "Microsoft", "Microsoft 365 Calendar", "calendar"),
    "calendly": Entry("intctl.providers.calendly", "Calendly", "Calendly", "calendar"),
    "zoom": Entry("intctl.providers.zoom", "Zoom", "Zoom", "video"),
    "indeed": Entry("intctl.providers.indeed", "Indeed", "Indeed", "job_board"),
    "http": Entry("intctl.providers.http", "Http", "HTTP API", "custom"),
}

#: Ways of speaking that `intctl add KIND` takes besides a provider and a type.
SPOKEN = ("smtp", "oauth")


def names() -> tuple[str, ...]:
    """The names of all providers, in the table's order."""
    return tuple(CATALOGUE)


def kinds() -> tuple[str, ...]:
    """What `intctl add KIND` takes: providers, their types, and the ways of speaking."""
    types = [entry.type for entry in CATALOGUE.values()]
    return tuple(dict.fromkeys([*CATALOGUE, *types, *SPOKEN]))


@cache
def get(name: str) -> Provider | None:
    """The provider of that name, or None when this version knows none. Imports its module only."""
    entry = CATALOGUE.get(name)
    if entry is None:
        return None
    found: Provider = getattr(import_module(entry.module), entry.class_name)()
    return found


def accepts(kind: str, provider: Provider, type_: str | None = None) -> bool:
    """Whether `intctl add KIND` takes a manifest of `provider` (whose `type:` is `type_`, if it has one)."""
    return kind in (provider.name, type_ or provider.type) or (kind in SPOKEN and kind == provider.speaks)
