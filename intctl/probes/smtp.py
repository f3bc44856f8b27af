"""SMTP: connect, log in, NOOP, QUIT; and one real mail when a person requests it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING

from intctl.health.outcome import Outcome
from intctl.probes import tls
from intctl.probes.network import Network
from intctl.probes.smtp_login import log_in
from intctl.probes.smtp_session import Session
from intctl.probes.spec import SmtpProbe, TestMail
from intctl.probes.trace import ProbeFailed, Trace, bounded

if TYPE_CHECKING:
    from intctl.probes.auth import TokenStore


async def probe_smtp(probe: SmtpProbe, network: Network, trace: Trace, tokens: TokenStore | None = None) -> Outcome:
    """Perform the probe of a mail server. Raises ProbeFailed."""
    async with _session(probe, network, trace, tokens) as session:
        trace.enter("api")
        reply = await session.command(b"NOOP")
        if reply.code not in (250, 500, 502):  # some servers do not know NOOP, and the login has succeeded
            raise session.refusal(reply, "rejected")
        left = tls.days_left(trace, network.clock())
        if left is None:
            return trace.outcome("ok")
        until = str(trace.facts["certificate_not_after"])[:10]
        return trace.outcome("tls.expires_soon", f"in {left} days, on {until}")


async def send_test_mail(
    probe: SmtpProbe, mail: TestMail, network: Network, *, deadline_s: float = 20.0, tokens: TokenStore | None = None
) -> Outcome:
    """Send one real mail within `deadline_s` seconds. Never retried. Raises only CancelledError.

    Facts: `message_id`, and `server_reply`, the server's reply to the message.
    """

    async def attempt(trace: Trace) -> Outcome:
        async with _session(probe, network, trace, tokens) as session:
            trace.enter("api")
            return await _deliver(session, mail, trace)

    return await bounded(attempt, deadline_s, retry=False)


async def _deliver(session: Session, mail: TestMail, trace: Trace) -> Outcome:
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
    trace.facts["server_reply"] = session.quoted(reply)
    return trace.outcome("ok")


@asynccontextmanager
async def _session(
    probe: SmtpProbe, network: Network, trace: Trace, tokens: TokenStore | None
) -> AsyncIterator[Session]:
    """A session after its login, ended with QUIT. Raises ProbeFailed."""
    trace.add_secret(probe.password)
    context = None if probe.security == "none" else tls.context(probe.ca_file)
    session = Session(probe, network, trace)
    try:
        try:
            await session.open(context)
        except ProbeFailed as found:
            if found.code in tls.CERTIFICATE_CODES:
                found = await _look_at_certificate(probe, network, trace, found)
            raise found from None
        if session.secured is not None:
            tls.note(session.secured, trace)
        await log_in(session, tokens)
        yield session
        await session.quit()
    except ProbeFailed as found:
        if session.polite and found.code not in ("connection.closed", "connection.reset"):
            await session.quit()
        raise
    finally:
        session.close()


async def _look_at_certificate(probe: SmtpProbe, network: Network, trace: Trace, found: ProbeFailed) -> ProbeFailed:
    """Find out what is wrong with the certificate, by a second handshake that sends nothing."""
    aside = Session(probe, network, Trace())
    try:
        async with asyncio.timeout(tls.LOOK_S):
            await aside.open(tls.unverified())
        certificate = aside.secured.getpeercert(binary_form=True) if aside.secured else None
        return tls.note_refused(certificate or b"", trace, found)
    except (ProbeFailed, TimeoutError):
        return found
    finally:
        aside.close()
