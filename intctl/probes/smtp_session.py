"""One SMTP session: greeting, EHLO, TLS, commands and their replies, QUIT; and whom a refusal is about.

intctl performs the dialog step by step over aiosmtplib's protocol. The client of aiosmtplib would log in
over a connection without its STARTTLS, and try every method with a password that the server refused.
"""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress
from ssl import SSLContext, SSLObject

from aiosmtplib import SMTPException, SMTPResponse, SMTPResponseException, SMTPServerDisconnected
from aiosmtplib.esmtp import parse_esmtp_extensions
from aiosmtplib.protocol import SMTPProtocol

from intctl.probes import tls, wire
from intctl.probes.network import Network
from intctl.probes.spec import SmtpProbe
from intctl.probes.trace import WORDS_LIMIT, ProbeFailed, Trace

#: The longest reply that is accepted, in bytes.
REPLY_LIMIT = 16 * 1024
#: How long intctl waits for the reply to QUIT, in seconds.
QUIT_S = 1.0
#: After this time without a byte, in seconds, the server is asked whether it speaks TLS from the start.
SILENCE_S = 2.5

_NO_CERTIFICATE = re.compile(r"\bno (client )?certificate\b|\bclient certificate\b", re.IGNORECASE)
_HELO = re.compile(r"\b(helo|ehlo)\b", re.IGNORECASE)
# "Send HELO first" and "EHLO is not implemented" refuse no name.
_UNKNOWN_COMMAND = (500, 502, 503)
_FULL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]")


class _Protocol(SMTPProtocol):
    """aiosmtplib's protocol, with a limit on the size of a reply, and aware of unsolicited data."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace
        self.reply = bytearray()
        #: Whether the first reply has arrived, so that this is a mail server.
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
        """Close at once, for this reason."""
        if self.lost is None:
            self.lost = found
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    @property
    def is_one_reply(self) -> bool:
        """Whether the data received is one reply: the same code in each line, and nothing after the last."""
        *lines, rest = bytes(self.reply).split(b"\n")
        *before, last = [line.rstrip(b"\r") for line in lines] or [b""]
        code = last[:3]
        return not rest and last[3:4] in (b" ", b"") and all(line[:4] == code + b"-" for line in before)


class Session:
    """One SMTP session. `secured` is its TLS, `extensions` and `methods` are from the last EHLO."""

    def __init__(self, probe: SmtpProbe, network: Network, trace: Trace) -> None:
        self.probe = probe
        self.network = network
        self.trace = trace
        self._protocol: _Protocol | None = None
        self.extensions: dict[str, str] = {}
        self.methods: list[str] = []
        self.secured: SSLObject | None = None
        #: Whether the server is a mail server in a state that allows a QUIT.
        self.polite = False
        self._overrun = False

    async def open(self, context: SSLContext | None) -> None:
        """Connect, greet, and set up TLS as configured. Raises ProbeFailed."""
        probe, trace = self.probe, self.trace
        sock = await wire.connect(probe.host, probe.port, self.network, trace)
        implicit = context if probe.security == "tls" else None
        self._protocol = await wire.stream(lambda: _Protocol(trace), sock, probe.host, self.network, trace, implicit)
        self._note_tls()
        trace.enter("greet")
        await self._greet()
        if probe.security == "starttls":
            assert context is not None
            await self._start_tls(context)
            trace.enter("greet")
            await self._ehlo()

    async def _greet(self) -> None:
        reply = await self._first_reply()
        assert self._protocol is not None
        self._protocol.greeted = True
        self.trace.facts["greeting"] = self.trace.sanitize(reply.message)
        if not 200 <= reply.code < 600:
            raise ProbeFailed("not.smtp")
        self.polite = True
        if reply.code != 220:
            raise self.refusal(reply, "rejected")
        await self._ehlo()

    async def _first_reply(self) -> SMTPResponse:
        """The greeting. A server that says nothing may be waiting for a TLS handshake: `tls.from_start`."""
        if self.probe.security == "tls" or not self.probe.on_demand:
            return await self._read()
        tasks: set[asyncio.Task[SMTPResponse] | asyncio.Task[bool]] = set()
        try:
            reading = asyncio.create_task(self._read())
            tasks.add(reading)
            await asyncio.wait(tasks, timeout=SILENCE_S)
            assert self._protocol is not None
            if not reading.done() and not self._protocol.reply:
                looking = asyncio.create_task(self._speaks_tls())
                tasks.add(looking)
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done() and looking.result():
                    raise ProbeFailed("tls.from_start")
            return await reading
        finally:
            for task in tasks:
                task.cancel()

    async def _speaks_tls(self) -> bool:
        """Whether a second connection can make a TLS handshake. Sends nothing else."""
        aside = Trace()
        try:
            async with asyncio.timeout(tls.LOOK_S):
                stream = wire.Stream(await wire.connect(self.probe.host, self.probe.port, self.network, aside))
                try:
                    await stream.secure(tls.unverified(), self.probe.host, self.network, aside)
                finally:
                    stream.close()
        except (ProbeFailed, TimeoutError):
            return False
        return True

    async def _ehlo(self) -> None:
        name = self._helo_name()
        reply = await self.command(b"EHLO", name)
        if 500 <= reply.code < 600:
            reply = await self.command(b"HELO", name)
        if reply.code != 250:
            raise self.refusal(reply, "rejected")
        self.extensions, self.methods = parse_esmtp_extensions(reply.message)

    async def _start_tls(self, context: SSLContext) -> None:
        if "starttls" not in self.extensions:
            raise ProbeFailed("starttls.missing")
        protocol = self._protocol
        assert protocol is not None
        reply = await self.command(b"STARTTLS")
        if reply.code != 220:
            raise ProbeFailed("starttls.refused", self.quoted(reply))
        if self._overrun:
            self.polite = False
            raise ProbeFailed("starttls.injection")
        if not isinstance(protocol.transport, asyncio.WriteTransport):
            raise ProbeFailed("connection.closed")
        self.polite = False
        protocol.transport = await wire.upgrade(
            protocol.transport, protocol, self.probe.host, self.network, self.trace, context
        )
        self.polite = True
        self._note_tls()

    def _helo_name(self) -> bytes:
        """The name in EHLO: of the config, the full name of this machine, or its address (RFC 5321 §4.1.4).

        A name that cannot be resolved would be refused by servers that look it up. Nothing is looked up here.
        """
        if self.probe.helo_name:
            return self.probe.helo_name.encode("ascii", "replace")
        name = socket.gethostname()
        if _FULL_NAME.fullmatch(name) and not name.startswith("localhost."):
            return name.encode()
        transport = self._protocol.transport if self._protocol else None
        own = transport.get_extra_info("sockname") if transport else None  # None if the connection was just lost
        address = str(own[0]).partition("%")[0] if own else "127.0.0.1"
        return (f"[IPv6:{address}]" if ":" in address else f"[{address}]").encode()

    def _note_tls(self) -> None:
        transport = self._protocol.transport if self._protocol else None
        self.secured = transport.get_extra_info("ssl_object") if transport else None

    def refusal(self, reply: SMTPResponse, code: str) -> ProbeFailed:
        """The failure for a reply: `code` if it is permanent and does not name another cause.

        A 4xx is `temporary`, unless it names a cause that time does not mend.
        """
        if self.secured and _NO_CERTIFICATE.search(reply.message):
            code = "tls.client_certificate"
        elif 400 <= reply.code < 600 and reply.code not in _UNKNOWN_COMMAND and _HELO.search(reply.message):
            code = "helo.refused"
        elif 400 <= reply.code < 500:
            code = "temporary"
        elif reply.code == 530 and not self.secured:
            code = "tls.required"
        elif not 500 <= reply.code < 600:
            code = "protocol.error"
        return ProbeFailed(code, self.quoted(reply))

    def quoted(self, reply: SMTPResponse) -> str:
        """The reply as it may be shown: sanitized, without any secret."""
        return f"{reply.code} {self.trace.sanitize(_decoded(reply.message), WORDS_LIMIT - 4)}".strip()

    async def command(self, *parts: bytes) -> SMTPResponse:
        """Send one command and return its reply. Raises ProbeFailed."""
        return await self._exchange(parts, None)

    async def data(self, message: bytes) -> SMTPResponse:
        """Send DATA and the message, and return the reply. Raises ProbeFailed."""
        return await self._exchange((b"DATA",), message)

    async def _read(self) -> SMTPResponse:
        return await self._exchange((), None)

    async def _exchange(self, parts: tuple[bytes, ...], message: bytes | None) -> SMTPResponse:
        protocol = self._protocol
        assert protocol is not None
        if self._overrun:
            raise self._unsolicited()
        greeting = not parts
        self.trace.received_any = bool(greeting and protocol.reply)
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
        self._overrun = not protocol.is_one_reply
        if self._overrun and reply.code < 400 and parts[:1] != (b"STARTTLS",):
            raise self._unsolicited()
        return reply

    def _unsolicited(self) -> ProbeFailed:
        """Unsolicited data would be read as the reply to the next command. An earlier refusal stays the result."""
        self.polite = False
        return ProbeFailed("protocol.error", "the server sent more than one reply to a command")

    def _disconnected(self, protocol: _Protocol, error: BaseException) -> ProbeFailed:
        self.polite = False
        if isinstance(protocol.lost, ProbeFailed):
            return protocol.lost
        return tls.lost(protocol.lost or error.__cause__)

    async def quit(self) -> None:
        """Send QUIT, and wait at most a second for its reply."""
        with suppress(ProbeFailed, TimeoutError):
            async with asyncio.timeout(QUIT_S):
                await self.command(b"QUIT")

    def close(self) -> None:
        """Close at once."""
        if self._protocol is not None and isinstance(self._protocol.transport, asyncio.Transport):
            self._protocol.transport.abort()


def _decoded(text: str) -> str:
    """Replace undecodable bytes, which aiosmtplib leaves as surrogates."""
    return text.encode("utf-8", "replace").decode("utf-8", "replace")
