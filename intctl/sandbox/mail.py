"""The mail server: aiosmtpd with STARTTLS and with implicit TLS, and with AUTH PLAIN, LOGIN and XOAUTH2."""

from __future__ import annotations

import asyncio
import logging
import ssl
from base64 import b64decode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from intctl.sandbox.vendors import same


@dataclass(frozen=True, slots=True)
class Mail:
    """A received message."""

    user: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class Login:
    """A valid login, and the refusal of other credentials with this user name.

    `password` None: no password is valid. `tokens` are the valid access tokens for XOAUTH2, None if it
    is not accepted; `challenge` is the challenge that precedes the refusal of a token, "" for none.
    """

    username: str
    password: str | None
    refusal: str
    tokens: Collection[str] | None = None
    challenge: str = ""


class Postbox:
    """Verifies logins and keeps received messages. Makes the protocol objects for a listening socket."""

    def __init__(self, logins: Mapping[str, Login]) -> None:
        self._logins = {login.username: login for login in logins.values()}
        self.mails: list[Mail] = []
        self._sessions: list[SMTP] = []
        # aiosmtpd logs warnings about its own deprecations; without a handler they go to stderr.
        logging.getLogger("mail.log").addHandler(logging.NullHandler())

    def starttls(self, context: ssl.SSLContext) -> SMTP:
        """Return a session that allows only EHLO, NOOP, QUIT and STARTTLS before TLS."""
        return self._session(tls_context=context, require_starttls=True)

    def stripped(self) -> SMTP:
        """Return a session that offers no STARTTLS and allows no login."""
        return self._session(auth_require_tls=True)

    def implicit(self) -> SMTP:
        """Return a session on a socket with implicit TLS."""
        return self._session(auth_require_tls=False)

    def hang_up(self) -> None:
        """Close every open connection."""
        for session in self._sessions:
            if isinstance(session.transport, asyncio.Transport):
                session.transport.abort()

    def _session(self, **options: Any) -> SMTP:
        session = SMTP(self, hostname="sandbox.invalid", ident="intctl sandbox", authenticator=self._judge, **options)
        self._sessions.append(session)
        return session

    def _judge(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: LoginPassword
    ) -> AuthResult:
        username, password = (part.decode("utf-8", "replace") for part in (given.login, given.password))
        login = self._logins.get(username)
        if login and login.password is not None and same(password, login.password):
            return AuthResult(success=True, auth_data=username)
        return AuthResult(success=False, handled=False, message=login.refusal if login else None)

    # aiosmtpd calls these by name.

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
        try:
            given = b64decode(args[1], validate=True) if len(args) > 1 else await server.challenge_auth("")
        except ValueError:
            return AuthResult(success=False, handled=False, message="501 5.5.2 Can't decode base64")
        if not isinstance(given, bytes):  # it was not base64, and aiosmtpd has replied so
            return AuthResult(success=False, handled=True)
        username, token = _shown(given)
        login = self._logins.get(username)
        if login and any(same(token, one) for one in login.tokens or ()):
            return AuthResult(success=True, auth_data=username)
        if login and login.challenge:
            await server.challenge_auth(login.challenge)
        return AuthResult(success=False, handled=False, message=login.refusal if login else None)

    async def handle_MAIL(
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        self.mails.append(Mail(str(session.auth_data), envelope.mail_from or "", tuple(envelope.rcpt_tos), content))
        return "250 2.0.0 Accepted"


def _shown(response: bytes) -> tuple[str, str]:
    """User name and token of an XOAUTH2 response: `user=…^Aauth=Bearer …^A^A`."""
    words = response.decode("utf-8", "replace").split("\x01")
    found = dict(word.split("=", 1) for word in words if "=" in word)
    scheme, _, token = found.get("auth", "").partition(" ")
    return found.get("user", ""), token if scheme == "Bearer" else ""
