"""SMTP: greeting, EHLO, TLS, AUTH, NOOP, QUIT; and one real mail when a person asks for it.

The dialog is ours, step by step, over aiosmtplib's protocol: its own client would log in over a
connection that was stripped of STARTTLS, and try every method with a password that was refused.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from ssl import SSLContext, SSLObject
from typing import TYPE_CHECKING

from aiosmtplib import SMTPException, SMTPResponse, SMTPResponseException, SMTPServerDisconnected
from aiosmtplib.auth import auth_crammd5_verify, auth_login_encode, auth_plain_encode
from aiosmtplib.errors import SMTPAuthenticationError
from aiosmtplib.esmtp import parse_esmtp_extensions
from aiosmtplib.protocol import SMTPProtocol

from intctl.health.outcome import Outcome
from intctl.probes import tls, wire
from intctl.probes.network import Network
from intctl.probes.spec import SmtpProbe, TestMail, TokenGrant
from intctl.probes.trace import ProbeFailed, Trace, bounded
from intctl.text import Secret

if TYPE_CHECKING:
    from intctl.probes.auth import TokenStore

#: The longest reply that is taken, in bytes.
REPLY_LIMIT = 16 * 1024
#: How long a server may take to say goodbye, in seconds.
QUIT_S = 1.0
#: What we call ourselves in EHLO. Our real name would need a lookup and is nobody's business.
EHLO_NAME = b"intctl.invalid"

# Behind TLS the simplest first; in clear the one that does not show the password.
_METHODS_BEHIND_TLS = ("plain", "login", "cram-md5")
_METHODS_IN_CLEAR = ("cram-md5", "plain", "login")


async def probe_smtp(probe: SmtpProbe, network: Network, trace: Trace, tokens: TokenStore | None = None) -> Outcome:
    """What the mail server answers to this probe. Raises ProbeFailed."""
    async with _session(probe, network, trace, tokens) as session:
        trace.enter("api")
        reply = await session.command(b"NOOP")
        if reply.code not in (250, 500, 502):  # some know no NOOP, and all was said before it
            raise session.refusal(reply, "rejected")
        left = tls.days_left(trace, network.clock())
        if left is None:
            return trace.outcome("ok")
        until = str(trace.facts["certificate_not_after"])[:10]
        return trace.outcome("tls.expires_soon", f"in {left} days, on {until}")


async def send_test_mail(
    probe: SmtpProbe, mail: TestMail, network: Network, *, deadline_s: float = 20.0, tokens: TokenStore | None = None
) -> Outcome:
    """Sends one real mail within `deadline_s` seconds. Never tried twice. Raises only CancelledError.

    Facts: `message_id`, and `server_reply`, the server's last word on it.
    """

    async def attempt(trace: Trace) -> Outcome:
        async with _session(probe, network, trace, tokens) as session:
            trace.enter("api")
            return await _deliver(session, mail, trace)

    return await bounded(attempt, deadline_s, retry=False)


async def _deliver(session: _Session, mail: TestMail, trace: Trace) -> Outcome:
    message = EmailMessage()
    domain = mail.sender.rpartition("@")[2]
    try:
        message["From"] = Address(mail.sender_name, addr_spec=mail.sender)
        message["To"], message["Subject"] = mail.recipient, mail.subject
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=domain or None)
        message.set_content(mail.body)
        data = message.as_bytes()
        sender, recipient = mail.sender.encode("ascii"), mail.recipient.encode("ascii")
    except (ValueError, MessageError):
        raise ProbeFailed("sender.refused", "sender, recipient or subject cannot be written in a mail") from None
    trace.facts["message_id"] = str(message["Message-ID"])
    reply = await session.command(b"MAIL", b"FROM:<" + sender + b">")
    if reply.code != 250:
        raise session.refusal(reply, "sender.refused")
    reply = await session.command(b"RCPT", b"TO:<" + recipient + b">")
    if reply.code not in (250, 251):
        raise session.refusal(reply, "recipient.refused")
    reply = await session.data(data)
    if reply.code != 250:
        raise session.refusal(reply, "rejected")
    trace.facts["server_reply"] = trace.sanitize(f"{reply.code} {reply.message}")
    return trace.outcome("ok")


@asynccontextmanager
async def _session(
    probe: SmtpProbe, network: Network, trace: Trace, tokens: TokenStore | None
) -> AsyncIterator[_Session]:
    """A session as far as the login, ended politely. Raises ProbeFailed."""
    trace.add_secret(probe.password)
    context = None if probe.security == "none" else tls.context(probe.ca_file)
    session = _Session(probe, network, trace, tokens)
    try:
        try:
            await session.open(context)
        except ProbeFailed as found:
            if found.code in tls.CERTIFICATE_CODES:
                found = await _look_at_certificate(probe, network, trace, found)
            raise found from None
        if session.secured is not None:
            tls.note(session.secured, trace)
        await session.log_in()
        yield session
        await session.quit()
    except ProbeFailed as found:
        if session.polite and found.code not in ("connection.closed", "connection.reset"):
            await session.quit()
        raise
    finally:
        session.close()


async def _look_at_certificate(probe: SmtpProbe, network: Network, trace: Trace, found: ProbeFailed) -> ProbeFailed:
    """A second handshake that sends nothing, to tell what is wrong with the certificate."""
    aside = _Session(probe, network, Trace())
    try:
        async with asyncio.timeout(tls.LOOK_S):
            await aside.open(tls.unverified())
        certificate = aside.secured.getpeercert(binary_form=True) if aside.secured else None
        return tls.note_refused(certificate or b"", trace, found)
    except (ProbeFailed, TimeoutError):
        return found
    finally:
        aside.close()


class _Protocol(SMTPProtocol):
    """aiosmtplib's protocol, with our limit on a reply and an eye on what comes unasked."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace
        self.reply = bytearray()
        #: Whether the first reply has come, so that this is a mail server.
        self.greeted = False
        self.lost: Exception | None = None

    def data_received(self, data: bytes) -> None:
        self._trace.received_any = True
        self.reply += data
        if not self.greeted and not bytes(self.reply[:3]).isdigit():
            self.drop(ProbeFailed("not.smtp"))
        elif len(self.reply) > REPLY_LIMIT:
            self.drop(ProbeFailed("protocol.error", f"a reply is longer than {REPLY_LIMIT // 1024} KiB"))
        else:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost is None:
            self.lost = exc
        super().connection_lost(exc)

    def drop(self, found: ProbeFailed) -> None:
        """Closes at once, for this reason."""
        if self.lost is None:
            self.lost = found
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    @property
    def one_reply(self) -> bool:
        """Whether what came is one reply: the same code in each line, and nothing after the last."""
        *lines, rest = bytes(self.reply).split(b"\n")
        *before, last = [line.rstrip(b"\r") for line in lines] or [b""]
        code = last[:3]
        return not rest and last[3:4] in (b" ", b"") and all(line[:4] == code + b"-" for line in before)


class _Session:
    """One SMTP session, as far as it has come."""

    def __init__(self, probe: SmtpProbe, network: Network, trace: Trace, tokens: TokenStore | None = None) -> None:
        self._probe = probe
        self._tokens = tokens
        self._network = network
        self._trace = trace
        self._protocol: _Protocol | None = None
        self._extensions: dict[str, str] = {}
        self._methods: list[str] = []
        self.secured: SSLObject | None = None
        #: Whether the other side has shown itself a mail server, and is owed a QUIT.
        self.polite = False
        self._overrun = False

    async def open(self, context: SSLContext | None) -> None:
        """Connects, greets, and brings up TLS as the configuration says. Raises ProbeFailed."""
        probe, trace = self._probe, self._trace
        sock = await wire.connect(probe.host, probe.port, self._network, trace)
        implicit = context if probe.security == "tls" else None
        self._protocol = await wire.stream(lambda: _Protocol(trace), sock, probe.host, self._network, trace, implicit)
        self._note_tls()
        trace.enter("greet")
        await self._greet()
        if probe.security == "starttls":
            assert context is not None
            await self._start_tls(context)
            trace.enter("greet")
            await self._ehlo()

    async def _greet(self) -> None:
        reply = await self._read()
        assert self._protocol is not None
        self._protocol.greeted = True
        self._trace.facts["greeting"] = self._trace.sanitize(reply.message)
        if not 200 <= reply.code < 600:
            raise ProbeFailed("not.smtp")
        self.polite = True
        if reply.code != 220:
            raise self.refusal(reply, "rejected")
        await self._ehlo()

    async def _ehlo(self) -> None:
        reply = await self.command(b"EHLO", EHLO_NAME)
        if 500 <= reply.code < 600:
            reply = await self.command(b"HELO", EHLO_NAME)
        if reply.code != 250:
            raise self.refusal(reply, "rejected")
        self._extensions, self._methods = parse_esmtp_extensions(reply.message)

    async def _start_tls(self, context: SSLContext) -> None:
        if "starttls" not in self._extensions:
            raise ProbeFailed("starttls.missing")
        protocol = self._protocol
        assert protocol is not None
        reply = await self.command(b"STARTTLS")
        if reply.code != 220:
            raise ProbeFailed("starttls.refused", self._quoted(reply))
        if self._overrun:
            self.polite = False
            raise ProbeFailed("starttls.injection")
        if not isinstance(protocol.transport, asyncio.WriteTransport):
            raise ProbeFailed("connection.closed")
        self.polite = False
        protocol.transport = await wire.upgrade(
            protocol.transport, protocol, self._probe.host, self._network, self._trace, context
        )
        self.polite = True
        self._note_tls()

    def _note_tls(self) -> None:
        transport = self._protocol.transport if self._protocol else None
        self.secured = transport.get_extra_info("ssl_object") if transport else None

    async def log_in(self) -> None:
        """AUTH by the first method that both sides know; the next one only if it turns out not to be there."""
        probe = self._probe
        if probe.username is not None and probe.auth is not None:
            await self._log_in_by_token(probe.username, probe.auth)
            return
        if probe.username is None or probe.password is None:
            return
        self._trace.enter("auth")
        known = _METHODS_BEHIND_TLS if self.secured else _METHODS_IN_CLEAR
        methods = [method for method in known if method in self._methods]
        if not methods:
            if not self.secured and "starttls" in self._extensions:
                raise ProbeFailed("tls.required")
            offered = self._trace.sanitize(", ".join(self._methods).upper(), 60) or "none"
            raise ProbeFailed("auth.method", f"methods offered: {offered}")
        password = probe.password.reveal()
        self._trace.add_secret(auth_plain_encode(probe.username, password))
        reply = SMTPResponse(0, "")
        for method in methods:
            reply = await self._authenticate(method, probe.username, password)
            if reply.code == 235:
                self._trace.facts["auth_method"] = method.upper()
                return
            if reply.code not in (500, 501, 502, 504):
                break
        raise self._login_refused(reply)

    async def _log_in_by_token(self, username: str, grant: TokenGrant) -> None:
        """AUTH XOAUTH2. A stored token that is refused is exchanged for a new one, once."""
        from intctl.probes.authenticators import authenticator
        from intctl.probes.http import Transport

        self._trace.enter("auth")
        if not self.secured:
            raise ProbeFailed("tls.required")
        if "xoauth2" not in self._methods:
            offered = self._trace.sanitize(", ".join(self._methods).upper(), 60) or "none"
            raise ProbeFailed("auth.method", f"XOAUTH2 is not offered; methods offered: {offered}")
        # A trace of its own: the facts of this check are those of the mail server.
        transport = Transport(
            self._network, Trace(), lambda: tls.context(self._probe.ca_file), max_body=64 * 1024, plain_ok=False
        )
        auth = authenticator(grant, self._tokens, transport.send, self._trace, self._network.clock)
        assert auth is not None
        access, new = await auth.access()
        reply = await self._show_token(username, access)
        if reply.code == 535 and not new:
            access, _ = await auth.access(anew=True)
            reply = await self._show_token(username, access)
        if reply.code != 235:
            raise self._login_refused(reply)
        self._trace.facts["auth_method"] = "XOAUTH2"

    async def _show_token(self, username: str, access: Secret) -> SMTPResponse:
        shown = f"user={username}\x01auth=Bearer {access.reveal()}\x01\x01".encode()
        self._trace.add_secret(access, shown)
        reply = await self.command(b"AUTH", b"XOAUTH2", b64encode(shown))
        # 334 holds the reason in base64: an empty line gets the refusal itself.
        return await self.command(b"") if reply.code == 334 else reply

    async def _authenticate(self, method: str, username: str, password: str) -> SMTPResponse:
        if method == "plain":
            return await self.command(b"AUTH", b"PLAIN", auth_plain_encode(username, password))
        if method == "login":
            name, word = auth_login_encode(username, password)
            reply = await self.command(b"AUTH", b"LOGIN", name)
            return await self.command(word) if reply.code == 334 else reply
        reply = await self.command(b"AUTH", b"CRAM-MD5")
        if reply.code != 334:
            return reply
        try:
            answer = auth_crammd5_verify(username, password, reply.message)
        except (SMTPAuthenticationError, ValueError):
            raise ProbeFailed("protocol.error", "the CRAM-MD5 challenge is not base64") from None
        self._trace.add_secret(answer)
        return await self.command(answer)

    def _login_refused(self, reply: SMTPResponse) -> ProbeFailed:
        code = reply.code
        if 400 <= code < 500:
            return self.refusal(reply, "temporary")
        if code == 530 and not self.secured:
            return ProbeFailed("tls.required", self._quoted(reply))
        if code in (500, 501, 502, 503, 504, 530, 534, 538):
            return ProbeFailed("auth.method", self._quoted(reply))
        if 500 <= code < 600:
            return ProbeFailed("smtp.auth.rejected", self._quoted(reply))
        return ProbeFailed("protocol.error", self._quoted(reply))

    def refusal(self, reply: SMTPResponse, code: str) -> ProbeFailed:
        """`code` for a permanent refusal; `temporary`, `tls.required` or `protocol.error` where the reply says so."""
        if 400 <= reply.code < 500:
            code = "temporary"
        elif reply.code == 530 and not self.secured:
            code = "tls.required"
        elif not 500 <= reply.code < 600:
            code = "protocol.error"
        return ProbeFailed(code, self._quoted(reply))

    def _quoted(self, reply: SMTPResponse) -> str:
        """What the server said, cleaned and without any secret of ours."""
        return self._trace.sanitize(f"{reply.code} {_decoded(reply.message)}".strip())

    async def command(self, *parts: bytes) -> SMTPResponse:
        """One command and its reply. Raises ProbeFailed."""
        return await self._exchange(parts, None)

    async def data(self, message: bytes) -> SMTPResponse:
        """DATA, the message, and the server's word on it. Raises ProbeFailed."""
        return await self._exchange((b"DATA",), message)

    async def _read(self) -> SMTPResponse:
        return await self._exchange((), None)

    async def _exchange(self, parts: tuple[bytes, ...], message: bytes | None) -> SMTPResponse:
        protocol = self._protocol
        assert protocol is not None
        if self._overrun:
            raise self._too_much()
        greeting = not parts
        self._trace.received_any = bool(greeting and protocol.reply)
        if not greeting:
            protocol.reply.clear()
        try:
            if message is not None:
                return await protocol.execute_data_command(message)
            reply = await (protocol.read_response() if greeting else protocol.execute_command(*parts))
        except SMTPServerDisconnected as error:
            raise self._disconnected(protocol, error) from None
        except SMTPResponseException as error:
            if error.code > 0:  # DATA was refused
                return SMTPResponse(error.code, error.message)
            self.polite = False
            raise ProbeFailed("not.smtp" if greeting else "protocol.error") from None
        except SMTPException:
            raise ProbeFailed("protocol.error") from None
        except ValueError:  # a control character, which would end the command early
            raise ProbeFailed("credential.malformed") from None
        self._overrun = not protocol.one_reply
        if self._overrun and reply.code < 400 and parts[:1] != (b"STARTTLS",):
            raise self._too_much()
        return reply

    def _too_much(self) -> ProbeFailed:
        """What was sent too soon would answer what we say next. A refusal before it stands."""
        self.polite = False
        return ProbeFailed("protocol.error", "it sent more than the one reply that was asked for")

    def _disconnected(self, protocol: _Protocol, error: BaseException) -> ProbeFailed:
        self.polite = False
        if isinstance(protocol.lost, ProbeFailed):
            return protocol.lost
        return tls.lost(protocol.lost or error.__cause__)

    async def quit(self) -> None:
        """QUIT, and at most a second for the answer."""
        with suppress(ProbeFailed, TimeoutError):
            async with asyncio.timeout(QUIT_S):
                await self.command(b"QUIT")

    def close(self) -> None:
        """Closes at once."""
        if self._protocol is not None and isinstance(self._protocol.transport, asyncio.Transport):
            self._protocol.transport.abort()


def _decoded(text: str) -> str:
    """Undecodable bytes, which aiosmtplib leaves as surrogates, made plain."""
    return text.encode("utf-8", "replace").decode("utf-8", "replace")
