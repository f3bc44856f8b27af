"""Shared parts of the SMTP providers: fields, port defaults, and the probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast
from urllib.parse import urlsplit

from intctl.probes.spec import HttpProbe, Security, SmtpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, FieldProblem, Provider, text_of
from intctl.text import Secret

#: The default of `security` for a port, and of the port for a `security`.
SECURITY_OF_PORT: dict[int, Security] = {587: "starttls", 465: "tls", 25: "none"}
PORT_OF_SECURITY: dict[str, int] = {security: port for port, security in SECURITY_OF_PORT.items()}

HOST = Field("host", "Mail server", kind="host", required=True, destination=True, example="smtp.example.com")
USERNAME = Field("username", "User name of the login", example="mailer@example.com")
PASSWORD = Field("password", "Password of the login", secret=True)
_PORT = Field("port", "587 is STARTTLS, 465 TLS, 25 plain", kind="port", minimum=1, maximum=65535, destination=True)
_SECURITY = Field(
    "security",
    "How the connection is protected; the default depends on the port",
    kind="choice",
    choices=("starttls", "tls", "none"),
    destination=True,
)
_SENDER = (
    Field("from_email", "Sender address", kind="email", example="noreply@example.com"),
    Field("from_name", "Sender name"),
    Field("max_emails_per_hour", "Sending limit per hour", kind="integer", minimum=1),
    Field("max_emails_per_day", "Sending limit per day", kind="integer", minimum=1),
)
_HELO = Field(
    "helo_name",
    "Name of this machine in EHLO; the default is its full host name, or its address in brackets",
    pattern=r"[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?|\[(IPv6:)?[0-9A-Fa-f:.]+\]",
    example="agent.example.com",
)
SMTP_BASE_URL = BASE_URL.replace(
    help="Connect here instead of host and port: smtp://host:port or smtps://host:port",
    choices=("smtp", "smtps"),
    pattern=r"smtps?://[^/?#]+/?",
    example="smtp://localhost:2525",
)


def mail_fields(*first: Field, beside: str = "") -> tuple[Field, ...]:
    """Return the fields of a mail provider: its own for host and login, then the shared ones.

    `beside` is the field that port and security belong to, if the provider has other ways than SMTP.
    """
    return (
        first[0],
        _PORT.replace(beside=beside),
        _SECURITY.replace(beside=beside),
        *first[1:],
        *_SENDER,
        _HELO.replace(beside=beside),
        CA_FILE,
    )


class MailProvider(Provider):
    """A provider whose credential is proven by a login at its mail server."""

    type: ClassVar[str] = "email"
    speaks: ClassVar[str] = "smtp"
    proof: ClassVar[str] = "EHLO, TLS and a login at the mail server; no mail is sent"
    scopes: ClassVar[str] = "none: the login itself"
    cost: ClassVar[str] = "1 SMTP session; no mail, so no sending quota is used"

    def __init_subclass__(cls) -> None:
        if "fields" in vars(cls) and all(field.name != "base_url" for field in cls.fields):
            cls.fields += (SMTP_BASE_URL,)
        super().__init_subclass__()

    def check(self, config: Mapping[str, object]) -> list[FieldProblem]:
        found = super().check(config)
        if not self.ways and "password" in self.secrets and ("username" in config) != ("password" in config):
            missing = "password" if "username" in config else "username"
            found.append(FieldProblem(missing, "set both username and password, or neither", ("username", "password")))
        if config.get("security") is None and "password" in config and self._security(config) == "none":
            found.append(
                FieldProblem(
                    "port",
                    "this port would send the password in plaintext: use 587, or allow it with security: none",
                    ("security",),
                )
            )
        return found

    def complete(self, config: Mapping[str, object]) -> dict[str, object]:
        full = dict(config)
        if "port" not in full:
            full["port"] = PORT_OF_SECURITY[str(full.get("security", "starttls"))]
        # `none` with a password is never a default: the user must set it explicitly.
        if "security" not in full and not (self._security(full) == "none" and "password" in full):
            full["security"] = self._security(full)
        return full

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe | SmtpProbe:
        full = self.complete(config)
        host, port, security = str(full["host"]), cast(int, full["port"]), full.get("security", "starttls")
        if full.get("base_url"):
            parts = urlsplit(str(full["base_url"]))
            host = parts.hostname or ""
            port = parts.port or (465 if parts.scheme == "smtps" else port)
            security = "tls" if parts.scheme == "smtps" else security
        username, password = full.get("username"), full.get("password")
        return SmtpProbe(
            host=host,
            port=port,
            security=cast(Security, security),
            username=str(username) if username is not None else None,
            password=password if isinstance(password, Secret) else None,
            sender=text_of(full, "from_email"),
            recipient=text_of(full, "probe_recipient"),
            helo_name=text_of(full, "helo_name"),
        )

    @staticmethod
    def _security(config: Mapping[str, object]) -> Security:
        return SECURITY_OF_PORT.get(cast(int, config.get("port", 587)), "starttls")
