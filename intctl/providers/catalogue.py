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
    """The location of a provider's class; for lists its title and type; for alerts its secret.

    `secret` is the secret field that most likely needs renewal: the first required one, else the first; "" for none.
    """

    module: str
    class_name: str
    title: str
    type: str
    secret: str = ""


CATALOGUE: dict[str, Entry] = {
    "smtp": Entry("intctl.providers.smtp", "Smtp", "SMTP server", "email", "password"),
    "sendgrid": Entry("intctl.providers.sendgrid", "SendGrid", "SendGrid", "email", "password"),
    "ses": Entry("intctl.providers.ses", "Ses", "Amazon SES", "email", "password"),
    "gmail": Entry("intctl.providers.gmail", "Gmail", "Gmail", "email", "password"),
    "microsoft365": Entry(
        "intctl.providers.microsoft365", "Microsoft365", "Microsoft 365 Mail", "email", "client_secret"
    ),
    "mailgun": Entry("intctl.providers.mailgun", "Mailgun", "Mailgun", "email", "api_key"),
    "postmark": Entry("intctl.providers.postmark", "Postmark", "Postmark", "email", "server_token"),
    "mailjet": Entry("intctl.providers.mailjet", "Mailjet", "Mailjet", "email", "api_key"),
    "brevo": Entry("intctl.providers.brevo", "Brevo", "Brevo", "email", "api_key"),
    "resend": Entry("intctl.providers.resend", "Resend", "Resend", "email", "api_key"),
    "twilio": Entry("intctl.providers.twilio", "Twilio", "Twilio", "sms", "auth_token"),
    "vonage": Entry("intctl.providers.vonage", "Vonage", "Vonage", "sms", "api_secret"),
    "messagebird": Entry("intctl.providers.messagebird", "MessageBird", "MessageBird", "sms", "access_key"),
    "plivo": Entry("intctl.providers.plivo", "Plivo", "Plivo", "sms", "auth_token"),
    "telnyx": Entry("intctl.providers.telnyx", "Telnyx", "Telnyx", "sms", "api_key"),
    "slack": Entry("intctl.providers.slack", "Slack", "Slack", "messaging", "token"),
    "bamboohr": Entry("intctl.providers.bamboohr", "BambooHR", "BambooHR", "hris", "api_key"),
    "adp": Entry("intctl.providers.adp", "Adp", "ADP", "payroll", "client_secret"),
    "checkr": Entry("intctl.providers.checkr", "Checkr", "Checkr", "background_check", "api_key"),
    "google": Entry("intctl.providers.google", "Google", "Google Calendar", "calendar", "client_secret"),
    "microsoft": Entry(
        "intctl.providers.microsoft", "Microsoft", "Microsoft 365 Calendar", "calendar", "client_secret"
    ),
    "calendly": Entry("intctl.providers.calendly", "Calendly", "Calendly", "calendar", "token"),
    "caldav": Entry("intctl.providers.caldav", "CalDav", "CalDAV", "calendar", "password"),
    "zoom": Entry("intctl.providers.zoom", "Zoom", "Zoom", "video", "client_secret"),
    "indeed": Entry("intctl.providers.indeed", "Indeed", "Indeed", "job_board", "client_secret"),
    "hibob": Entry("intctl.providers.hibob", "HiBob", "HiBob", "hris", "token"),
    "workday": Entry("intctl.providers.workday", "Workday", "Workday", "hris", "client_secret"),
    "personio": Entry("intctl.providers.personio", "Personio", "Personio", "hris", "client_secret"),
    "rippling": Entry("intctl.providers.rippling", "Rippling", "Rippling", "hris", "api_token"),
    "ukg": Entry("intctl.providers.ukg", "Ukg", "UKG", "hris", "client_secret"),
    "gusto": Entry("intctl.providers.gusto", "Gusto", "Gusto", "payroll", "client_secret"),
    "paychex": Entry("intctl.providers.paychex", "Paychex", "Paychex", "payroll", "client_secret"),
    "quickbooks": Entry("intctl.providers.quickbooks", "QuickBooks", "QuickBooks Online", "payroll", "client_secret"),
    "xero": Entry("intctl.providers.xero", "Xero", "Xero", "payroll", "client_secret"),
    "paylocity": Entry("intctl.providers.paylocity", "Paylocity", "Paylocity", "payroll", "client_secret"),
    "sterling": Entry("intctl.providers.sterling", "Sterling", "Sterling", "background_check", "client_secret"),
    "certn": Entry("intctl.providers.certn", "Certn", "Certn", "background_check", "client_secret"),
    "goodhire": Entry("intctl.providers.goodhire", "GoodHire", "GoodHire", "background_check", "api_key"),
    "hireright": Entry("intctl.providers.hireright", "HireRight", "HireRight", "background_check", "password"),
    "linkedin": Entry("intctl.providers.linkedin", "LinkedIn", "LinkedIn", "job_board", "access_token"),
    "ziprecruiter": Entry("intctl.providers.ziprecruiter", "ZipRecruiter", "ZipRecruiter", "job_board", "api_key"),
    "greenhouse": Entry("intctl.providers.greenhouse", "Greenhouse", "Greenhouse", "job_board", "client_secret"),
    "lever": Entry("intctl.providers.lever", "Lever", "Lever", "job_board", "api_key"),
    "workable": Entry("intctl.providers.workable", "Workable", "Workable", "job_board", "api_token"),
    "ashby": Entry("intctl.providers.ashby", "Ashby", "Ashby", "job_board", "api_key"),
    "smartrecruiters": Entry(
        "intctl.providers.smartrecruiters", "SmartRecruiters", "SmartRecruiters", "job_board", "api_key"
    ),
    "monster": Entry("intctl.providers.monster", "Monster", "Monster", "job_board", "password"),
    "glassdoor": Entry("intctl.providers.glassdoor", "Glassdoor", "Glassdoor", "job_board", "partner_key"),
    "s3": Entry("intctl.providers.s3", "S3", "Amazon S3", "storage", "secret_access_key"),
    "salesforce": Entry("intctl.providers.salesforce", "Salesforce", "Salesforce", "crm", "client_secret"),
    "hubspot": Entry("intctl.providers.hubspot", "HubSpot", "HubSpot", "crm", "access_token"),
    "pipedrive": Entry("intctl.providers.pipedrive", "Pipedrive", "Pipedrive", "crm", "api_token"),
    "http": Entry("intctl.providers.http", "Http", "HTTP API", "custom", "token"),
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


def secret_field(name: str) -> str:
    """Return the secret of that provider that most likely needs renewal; "" if none is known."""
    entry = CATALOGUE.get(name)
    return entry.secret if entry else ""


def accepts(kind: str, provider: Provider, type_: str | None = None) -> bool:
    """Whether `intctl add KIND` accepts a manifest of `provider` (whose `type:` is `type_`, if it has one)."""
    return kind in (provider.name, type_ or provider.type) or (kind in SPOKEN and kind == provider.speaks)
