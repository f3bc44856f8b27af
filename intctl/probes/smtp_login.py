"""AUTH: the login of an SMTP session, by password or by an OAuth access token."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from aiosmtplib import SMTPResponse
from aiosmtplib.auth import auth_crammd5_verify, auth_login_encode, auth_plain_encode
from aiosmtplib.errors import SMTPAuthenticationError

from intctl.probes import tls
from intctl.probes.smtp_session import Session
from intctl.probes.spec import TokenGrant
from intctl.probes.trace import ProbeFailed, Trace
from intctl.text import Secret

if TYPE_CHECKING:
    from intctl.probes.auth import TokenStore

# Behind TLS the simplest method is first; in plaintext the one that does not send the password.
_METHODS_BEHIND_TLS = ("plain", "login", "cram-md5")
_METHODS_IN_CLEAR = ("cram-md5", "plain", "login")


async def log_in(session: Session, tokens: TokenStore | None) -> None:
    """Log in by the first method that both sides support; by the next one only if the server does not know it.

    In plaintext, a server that offers a method which hides the password never gets it by another one: anybody on the
    path could refuse the first. A probe without a user name needs no login. Raises ProbeFailed.
    """
    probe = session.probe
    if probe.username is not None and probe.auth is not None:
        await _log_in_by_token(session, probe.username, probe.auth, tokens)
        return
    if probe.username is None or probe.password is None:
        return
    session.trace.enter("auth")
    known = _METHODS_BEHIND_TLS if session.secured else _METHODS_IN_CLEAR
    methods = [method for method in known if method in session.methods]
    if not session.secured and "cram-md5" in methods:
        methods = ["cram-md5"]
    if not methods:
        if not session.secured and "starttls" in session.extensions:
            raise ProbeFailed("tls.required")
        offered = session.trace.sanitize(", ".join(session.methods).upper(), 60) or "none"
        raise ProbeFailed("auth.method", f"methods offered: {offered}")
    password = probe.password.reveal()
    session.trace.add_secret(auth_plain_encode(probe.username, password))
    reply = SMTPResponse(0, "")
    for method in methods:
        reply = await _authenticate(session, method, probe.username, password)
        if reply.code == 235:
            session.trace.facts["auth_method"] = method.upper()
            return
        if reply.code not in (500, 501, 502, 504):
            break
    raise _login_refused(session, reply)


async def _log_in_by_token(session: Session, username: str, grant: TokenGrant, tokens: TokenStore | None) -> None:
    """Log in by XOAUTH2. A stored token that the server refuses is exchanged for a new one, once."""
    from intctl.probes.authenticators import authenticator
    from intctl.probes.http import Transport

    session.trace.enter("auth")
    if not session.secured:
        raise ProbeFailed("tls.required")
    if "xoauth2" not in session.methods:
        offered = session.trace.sanitize(", ".join(session.methods).upper(), 60) or "none"
        raise ProbeFailed("auth.method", f"XOAUTH2 is not offered; methods offered: {offered}")
    # The token request has its own trace: the facts of this check describe the mail server.
    transport = Transport(
        session.network, Trace(), lambda: tls.context(session.probe.ca_file), max_body=64 * 1024, plain_ok=False
    )
    auth = authenticator(grant, tokens, transport.send, session.trace, session.network.clock)
    assert auth is not None
    access, new = await auth.access()
    reply = await _send_token(session, username, access)
    if reply.code == 535 and not new:
        access, _ = await auth.access(fresh=True)
        reply = await _send_token(session, username, access)
    if reply.code != 235:
        raise _login_refused(session, reply)
    session.trace.facts["auth_method"] = "XOAUTH2"


async def _send_token(session: Session, username: str, access: Secret) -> SMTPResponse:
    shown = f"user={username}\x01auth=Bearer {access.reveal()}\x01\x01".encode()
    session.trace.add_secret(access, shown)
    reply = await session.command(b"AUTH", b"XOAUTH2", b64encode(shown))
    # 334 holds the reason in base64; the server refuses after an empty line.
    return await session.command(b"") if reply.code == 334 else reply


async def _authenticate(session: Session, method: str, username: str, password: str) -> SMTPResponse:
    if method == "plain":
        return await session.command(b"AUTH", b"PLAIN", auth_plain_encode(username, password))
    if method == "login":
        name, word = auth_login_encode(username, password)
        reply = await session.command(b"AUTH", b"LOGIN", name)
        return await session.command(word) if reply.code == 334 else reply
    reply = await session.command(b"AUTH", b"CRAM-MD5")
    if reply.code != 334:
        return reply
    try:
        answer = auth_crammd5_verify(username, password, reply.message)
    except (SMTPAuthenticationError, ValueError):
        raise ProbeFailed("protocol.error", "the CRAM-MD5 challenge is not base64") from None
    session.trace.add_secret(answer)
    return await session.command(answer)


def _login_refused(session: Session, reply: SMTPResponse) -> ProbeFailed:
    code = reply.code
    found = session.refusal(reply, "smtp.auth.rejected")
    if 400 <= code < 500 or found.code == "tls.client_certificate":
        return found
    if code == 530 and not session.secured:
        return ProbeFailed("tls.required", session.quoted(reply))
    if code in (500, 501, 502, 503, 504, 530, 534, 538):
        return ProbeFailed("auth.method", session.quoted(reply))
    if 500 <= code < 600:
        return ProbeFailed("smtp.auth.rejected", session.quoted(reply))
    return ProbeFailed("protocol.error", session.quoted(reply))
