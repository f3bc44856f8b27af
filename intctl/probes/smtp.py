"""SMTP: connect, log in, NOOP, QUIT; or ask a relay to take a mail; and one real mail when a person requests it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING

from aiosmtplib import SMTPResponse

from intctl.health.outcome import Outcome
from intctl.probes import tls
from intctl.probes.network import Network
from intctl.probes.smtp_login import log_in
from intctl.probes.smtp_session import Session
from intctl.probes.spec import SmtpProbe, TestMail
from intctl.probes.trace import ProbeFailed, Trace, bounded
from intctl.text import clean

if TYPE_CHECKING:
    from intctl.probes.auth import TokenStore


async def probe_smtp(probe: SmtpProbe, network: Network, trace: Trace, tokens: TokenStore | None = None) -> Outcome:
    """Perform the probe of a mail server. Raises ProbeFailed."""
    async with _session(probe, network, trace, tokens) as session:
        code, detail = "ok", ""
        if probe.is_relay:
            code, detail = await _ask_relay(session, probe, network, trace)
        else:
            trace.enter("api")
            reply = await session.command(b"NOOP")
            if not 200 <= reply.code < 600:  # a refusal changes nothing: the login has succeeded
                raise session.refusal(reply, "protocol.error")
        left = tls.days_left(trace, network.clock())
        if left is not None and (code == "ok" or not probe.asks_relay):
            code, detail = "tls.expires_soon", tls.ends(trace, left)
        return trace.outcome(code, detail)


async def _ask_relay(session: Session, probe: SmtpProbe, network: Network, trace: Trace) -> tuple[str, str]:
    """Ask whether the server takes a mail from this machine; the QUIT that follows ends it unsent. Raises ProbeFailed.

    Facts: `relay_asked_at`, and `relay_proven`, whether it takes mail for another domain. Without a recipient, the
    sender's address is asked: a refusal is a finding, but its own domain's mail every server takes. A 4xx at RCPT is
    greylisting, a rate limit or a failed verification, and proves nothing.
    """
    if not probe.asks_relay:
        return "relay.unproven", ""
    if not probe.sender:
        return "relay.unproven", "from_email and probe_recipient are not set"
    trace.enter("auth")
    sender, recipient = probe.sender, probe.recipient or probe.sender
    trace.facts["relay_asked_at"] = datetime.fromtimestamp(network.clock(), UTC).isoformat(timespec="seconds")
    await _mail_from(session, sender)
    reply = await _recipient(session, recipient)
    trace.facts["relay_proven"] = False
    if reply.code in _TAKEN:
        trace.facts["relay_proven"] = bool(probe.recipient)
        return ("ok", "") if probe.recipient else ("relay.unproven", "probe_recipient is not set")
    found = _refused_recipient(session, reply, sender, recipient, "relay.denied")
    if found.code != "temporary":
        raise found
    del trace.facts["relay_proven"]  # an earlier proof still holds
    return "relay.unproven", f"RCPT: {found.detail}"


async def send_test_mail(
    probe: SmtpProbe, mail: TestMail, network: Network, *, deadline_s: float = 20.0, tokens: TokenStore | None = None
) -> Outcome:
    """Send one real mail within `deadline_s` seconds. Never retried. Raises only CancelledError.

    Facts: `message_id`, and `server_reply`, the server's reply to the message. If it was not taken, `smtp_step` is the
    command at which that ended.
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
        mail.sender.encode("ascii"), mail.recipient.encode("ascii")
    except (ValueError, MessageError):
        raise ProbeFailed("sender.refused", "sender, recipient or subject cannot be written in a mail") from None
    trace.facts["message_id"] = str(message["Message-ID"])
    trace.facts["smtp_step"] = "MAIL"
    await _mail_from(session, mail.sender)
    trace.facts["smtp_step"] = "RCPT"
    reply = await _recipient(session, mail.recipient)
    if reply.code not in _TAKEN:
        raise _refused_recipient(session, reply, mail.sender, mail.recipient, "recipient.refused")
    trace.facts["smtp_step"] = "DATA"
    reply = await session.data(data)
    if reply.code != 250:
        raise session.refusal(reply, "rejected")
    del trace.facts["smtp_step"]
    trace.facts["server_reply"] = session.quoted(reply)
    return trace.outcome("ok")


# --- the parties of a mail

_TAKEN = (250, 251, 252)
_ABOUT_SENDER = re.compile(r"\b5\.1\.[78]\b|\bsender\b|\bmail from\b", re.IGNORECASE)
_ABOUT_RELAY = re.compile(
    r"\brelay|rcpthosts|\b(5\.7\.(54|57|64)|5\.5\.1)\b|authenti(cat|fi)|\bauth\b|\blog ?in\b", re.IGNORECASE
)
_ABOUT_RECIPIENT = re.compile(
    r"\b5\.(1\.(1|2|3|6|10)|2\.\d+)\b|\brecipient\b|\b(user|mailbox|address|account)\b", re.IGNORECASE
)


async def _mail_from(session: Session, sender: str) -> None:
    reply = await session.command(b"MAIL", b"FROM:<" + _ascii(sender) + b">")
    if reply.code == 250:
        return
    found = session.refusal(reply, "sender.refused")
    if found.code == "sender.refused" and session.probe.is_relay and _ABOUT_RELAY.search(reply.message):
        found = ProbeFailed("relay.denied", found.detail)
    raise found


async def _recipient(session: Session, recipient: str) -> SMTPResponse:
    return await session.command(b"RCPT", b"TO:<" + _ascii(recipient) + b">")


def _ascii(address: str) -> bytes:
    try:
        return address.encode("ascii")
    except UnicodeEncodeError:
        raise ProbeFailed("sender.refused", f"{clean(address)} cannot be written in a command") from None


def _refused_recipient(
    session: Session, reply: SMTPResponse, sender: str, recipient: str, otherwise: str
) -> ProbeFailed:
    """The failure for a refusal at RCPT, where servers also tell what they refuse of the sender and of this machine.

    Postfix waits with every refusal until RCPT (postconf(5), smtpd_delay_reject). `otherwise` is the code where the
    reply names none of them.
    """
    found = session.refusal(reply, otherwise)
    if found.code != otherwise:
        return found
    words = reply.message
    names_sender = f"<{sender}>".lower() in words.lower() and sender.lower() != recipient.lower()
    if _ABOUT_RELAY.search(words) and not _ABOUT_SENDER.search(words):
        code = "relay.denied"
    elif names_sender or _ABOUT_SENDER.search(words):
        code = "sender.refused"
    elif _ABOUT_RECIPIENT.search(words):
        code = "recipient.refused"
    else:
        code = otherwise
    return ProbeFailed(code, found.detail)


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
        return tls.note_refused(aside.secured, network.clock(), trace, found)
    except (ProbeFailed, TimeoutError):
        return found
    finally:
        aside.close()
