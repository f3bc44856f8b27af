"""The catalogue: every provider of this version, in one literal table.

It contains what lists, alerts and the dashboard show, so that they import no provider.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from intctl.providers.base import Provider


class Entry(NamedTuple):
    """The location of a provider's class; for lists its title and type."""

    module: str
    class_name: str
    title: str
    type: str


CATALOGUE: dict[str, Entry] = {
    "smtp": Entry("intctl.providers.smtp", "Smtp", "SMTP server", "email"),
    "sendgrid": Entry("intctl.providers.sendgrid", "SendGrid", "SendGrid", "email"),
    "ses": Entry("intctl.providers.ses", "Ses", "Amazon SES", "email"),
    "gmail": Entry("intctl.providers.gmail", "Gmail", "Gmail", "email"),
    "microsoft365": Entry("intctl.providers.microsoft365", "Microsoft365", "Microsoft 365 Mail", "email"),
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
    "caldav": Entry("intctl.providers.caldav", "CalDav", "CalDAV", "calendar"),
    "zoom": Entry("intctl.providers.zoom", "Zoom", "Zoom", "video"),
    "indeed": Entry("intctl.providers.indeed", "Indeed", "Indeed", "job_board"),
    "hibob": Entry("intctl.providers.hibob", "HiBob", "HiBob", "hris"),
    "workday": Entry("intctl.providers.workday", "Workday", "Workday", "hris"),
    "personio": Entry("intctl.providers.personio", "Personio", "Personio", "hris"),
    "rippling": Entry("intctl.providers.rippling", "Rippling", "Rippling", "hris"),
    "ukg": Entry("intctl.providers.ukg", "Ukg", "UKG", "hris"),
    "gusto": Entry("intctl.providers.gusto", "Gusto", "Gusto", "payroll"),
    "paychex": Entry("intctl.providers.paychex", "Paychex", "Paychex", "payroll"),
    "quickbooks": Entry("intctl.providers.quickbooks", "QuickBooks", "QuickBooks Online", "payroll"),
    "xero": Entry("intctl.providers.xero", "Xero", "Xero", "payroll"),
    "paylocity": Entry("intctl.providers.paylocity", "Paylocity", "Paylocity", "payroll"),
    "sterling": Entry("intctl.providers.sterling", "Sterling", "Sterling", "background_check"),
    "certn": Entry("intctl.providers.certn", "Certn", "Certn", "background_check"),
    "goodhire": Entry("intctl.providers.goodhire", "GoodHire", "GoodHire", "background_check"),
    "hireright": Entry("intctl.providers.hireright", "HireRight", "HireRight", "background_check"),
    "linkedin": Entry("intctl.providers.linkedin", "LinkedIn", "LinkedIn", "job_board"),
    "ziprecruiter": Entry("intctl.providers.ziprecruiter", "ZipRecruiter", "ZipRecruiter", "job_board"),
    "greenhouse": Entry("intctl.providers.greenhouse", "Greenhouse", "Greenhouse", "job_board"),
    "lever": Entry("intctl.providers.lever", "Lever", "Lever", "job_board"),
    "workable": Entry("intctl.providers.workable", "Workable", "Workable", "job_board"),
    "ashby": Entry("intctl.providers.ashby", "Ashby", "Ashby", "job_board"),
    "smartrecruiters": Entry("intctl.providers.smartrecruiters", "SmartRecruiters", "SmartRecruiters", "job_board"),
    "monster": Entry("intctl.providers.monster", "Monster", "Monster", "job_board"),
    "glassdoor": Entry("intctl.providers.glassdoor", "Glassdoor", "Glassdoor", "job_board"),
    "s3": Entry("intctl.providers.s3", "S3", "Amazon S3", "storage"),
    "salesforce": Entry("intctl.providers.salesforce", "Salesforce", "Salesforce", "crm"),
    "hubspot": Entry("intctl.providers.hubspot", "HubSpot", "HubSpot", "crm"),
    "pipedrive": Entry("intctl.providers.pipedrive", "Pipedrive", "Pipedrive", "crm"),
    "http": Entry("intctl.providers.http", "Http", "HTTP API", "custom"),
    "tcp": Entry("intctl.providers.tcp", "Tcp", "TCP service", "custom"),
}

#: Protocols that `intctl add KIND` accepts in addition to a provider and a type.
SPOKEN = ("smtp", "oauth")


def names() -> tuple[str, ...]:
    """Return the names of all providers, in the table's order."""
    return tuple(CATALOGUE)


def kinds() -> tuple[str, ...]:
    """Return the valid kinds of `intctl add KIND`: providers, their types, and protocols."""
    types = [entry.type for entry in CATALOGUE.values()]
    return tuple(dict.fromkeys([*CATALOGUE, *types, *SPOKEN]))


@cache
def get(name: str) -> Provider | None:
    """Return the provider of that name, or None. Imports only its module."""
    entry = CATALOGUE.get(name)
    if entry is None:
        return None
    found: Provider = getattr(import_module(entry.module), entry.class_name)()
    return found


def accepts(kind: str, provider: Provider, type_: str | None = None) -> bool:
    """Whether `intctl add KIND` accepts a manifest of `provider` (whose `type:` is `type_`, if it has one)."""
    return kind in (provider.name, type_ or provider.type) or (kind in SPOKEN and kind == provider.speaks)
