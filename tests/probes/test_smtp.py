"""SMTP against a real mail server: logins, TLS modes, a test mail."""

from __future__ import annotations

import asyncio
import base64
import email
from dataclasses import replace
from email import policy
from typing import Any

import pytest

from intctl.health.outcome import Outcome
from intctl.probes.run import Network
from intctl.probes.smtp import send_test_mail
from intctl.probes.spec import SmtpProbe, TestMail
from intctl.text import Secret
from tests.probes import check
from tests.servers import Authority, SmtpServer, in_days, smtp_server

USERS = {"apikey": "right-pässwort"}
MAIL = TestMail(
    sender="noreply@company.example",
    sender_name="InTime Ståffing",
    recipient="admin@company.example",
    subject="A tést",
    body="It works.\n.\nReally.",
)


def _probe(server: SmtpServer, security: Any, ca: Authority, password: str = USERS["apikey"], **more: Any) -> SmtpProbe:
    return SmtpProbe("localhost", server.port, security, "apikey", Secret(password), ca.file, **more)


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
def test_a_right_login_is_healthy(ca: Authority, security: str) -> None:
    """Greeting, TLS as configured, login and NOOP: each phase timed, one login, no mail."""
    with smtp_server(ca, security, users=USERS) as server:
        outcome = check(_probe(server, security, ca))
        assert server.logins == [("PLAIN", "apikey", USERS["apikey"], True)]
        assert server.mails == []
    assert (outcome.code, outcome.verdict, outcome.phase) == ("ok", "healthy", "api")
    assert set(outcome.phases_ms) - {"tls"} == {"dns", "tcp", "greet", "auth", "api"}
    assert ("tls" in outcome.phases_ms) is (security != "none")
    assert outcome.facts["greeting"] == "mail.example ESMTP of the tests"
    assert outcome.facts["auth_method"] == "PLAIN"
    assert ("tls_version" in outcome.facts) is (security != "none")


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
def test_a_wrong_password_is_told_after_one_login(ca: Authority, security: str) -> None:
    """A 535 is a rejection: no second method, no retry."""
    with smtp_server(ca, security, users=USERS) as server:
        outcome = check(_probe(server, security, ca, "wrong"))
        assert len(server.logins) == 1
    assert (outcome.code, outcome.verdict, outcome.phase) == ("smtp.auth.rejected", "misconfigured", "auth")
    assert outcome.detail.startswith("535 ")


def test_login_where_only_login_is_offered(ca: Authority) -> None:
    """AUTH LOGIN is used where the server offers nothing else."""
    with smtp_server(ca, users=USERS, only="LOGIN") as server:
        outcome = check(_probe(server, "starttls", ca))
        assert server.logins == [("LOGIN", "apikey", USERS["apikey"], True)]
    assert (outcome.code, outcome.facts["auth_method"]) == ("ok", "LOGIN")


def test_a_server_without_logins(ca: Authority) -> None:
    """A relay that trusts this host needs no user name; it is asked to take a mail, and gets none."""
    with smtp_server(security="none") as server:
        outcome = check(
            SmtpProbe("localhost", server.port, "none", sender="a@ours.example", recipient="b@else.example")
        )
        assert (server.logins, server.mails) == ([], [])
    assert (outcome.code, outcome.phase) == ("ok", "auth")


def test_a_login_that_wants_tls_first(ca: Authority) -> None:
    """A config without TLS at a server that requires it is reported as such, without sending the password."""
    with smtp_server(ca, "starttls", users=USERS) as server:
        outcome = check(_probe(server, "none", ca))
        assert server.logins == []
    assert (outcome.code, outcome.verdict, outcome.phase) == ("tls.required", "misconfigured", "auth")


def test_no_login_without_a_method(ca: Authority) -> None:
    """A server that offers no AUTH at all to a configured user name is a wrong port or mode."""
    with smtp_server(ca, "none", only="CRAM-MD5") as server:
        outcome = check(_probe(server, "none", ca))
    assert (outcome.code, outcome.phase) == ("auth.method", "auth")


def test_a_certificate_that_ends_soon_is_a_warning(ca: Authority) -> None:
    """Less than 14 days left degrades a check that is otherwise healthy, and only such a one."""
    context = ca.server_context("localhost", not_after=in_days(5.5))
    with smtp_server(users=USERS, context=context) as server:
        outcome = check(_probe(server, "starttls", ca))
        assert (outcome.code, outcome.verdict, outcome.phase) == ("tls.expires_soon", "degraded", "api")
        assert outcome.detail.startswith("in 5 days, on ")
        assert check(_probe(server, "starttls", ca, "wrong")).code == "smtp.auth.rejected"
    with smtp_server(users=USERS, context=ca.server_context("localhost", not_after=in_days(15))) as server:
        assert check(_probe(server, "starttls", ca)).code == "ok"


def _send(server: SmtpServer, ca: Authority, mail: TestMail = MAIL, password: str = USERS["apikey"]) -> Outcome:
    async def run() -> Outcome:
        return await send_test_mail(_probe(server, "starttls", ca, password), mail, Network(), deadline_s=10)

    return asyncio.run(run())


def test_a_test_mail_arrives(ca: Authority) -> None:
    """One mail, as written, with its Message-ID and the server's last reply in the facts."""
    with smtp_server(ca, users=USERS) as server:
        outcome = _send(server, ca)
        (mail,) = server.mails
    assert (outcome.code, outcome.facts["server_reply"]) == ("ok", "250 OK queued as 1")
    assert (mail.sender, mail.recipients) == (MAIL.sender, [MAIL.recipient])
    message = email.message_from_bytes(mail.content, policy=policy.default)
    assert (message["Subject"], message["Message-ID"]) == ("A tést", outcome.facts["message_id"])
    assert message.get_content().rstrip().splitlines() == MAIL.body.splitlines()


def test_a_refused_sender_or_recipient_is_told(ca: Authority) -> None:
    """Refusals of MAIL FROM and RCPT TO have their codes; a 4xx is temporary; nothing is sent."""
    with smtp_server(ca, users=USERS) as server:
        server.refuse_senders[MAIL.sender] = "550 5.7.1 not verified"
        outcome = _send(server, ca)
        assert (outcome.code, outcome.detail) == ("sender.refused", "550 5.7.1 not verified")
        server.refuse_senders.clear()
        server.refuse_recipients[MAIL.recipient] = "550 5.1.1 no such user"
        assert _send(server, ca).code == "recipient.refused"
        server.refuse_recipients[MAIL.recipient] = "450 4.2.1 greylisted"
        outcome = _send(server, ca)
        assert (outcome.code, outcome.verdict) == ("temporary", "degraded")
        assert _send(server, ca, password="wrong").code == "smtp.auth.rejected"
        assert server.mails == []


@pytest.mark.parametrize("address", ["a@b\r\nRCPT TO:<evil@example>", "a@b\r\nBcc: evil@example", "ü@example"])
def test_an_address_cannot_smuggle_a_command(ca: Authority, address: str) -> None:
    """Line breaks in an address never reach the server."""
    with smtp_server(ca, users=USERS) as server:
        outcome = _send(server, ca, replace(MAIL, recipient=address))
        assert outcome.code in ("recipient.refused", "credential.malformed", "sender.refused")
        assert server.mails == []


def test_cram_md5_keeps_the_password_off_the_wire() -> None:
    """In plaintext, CRAM-MD5 is preferred over methods that send the password, and answers the challenge correctly."""
    import hmac

    from tests.servers import RawServer, raw_server

    async def serve(reader: Any, writer: Any, server: RawServer) -> None:
        writer.write(b"220 hi\r\n")
        challenge = b"<1896.697170952@mail.example>"
        while line := await reader.readline():
            server.got += line
            if line.startswith(b"EHLO"):
                writer.write(b"250-hi\r\n250 AUTH PLAIN LOGIN CRAM-MD5\r\n")
            elif line.startswith(b"AUTH CRAM-MD5"):
                writer.write(b"334 " + base64.b64encode(challenge) + b"\r\n")
                answer = base64.b64decode(await reader.readline()).decode()
                digest = hmac.new(b"geheim", challenge, "md5").hexdigest()
                writer.write(b"235 ok\r\n" if answer == f"user {digest}" else b"535 no\r\n")
            else:
                writer.write(b"250 ok\r\n")

    with raw_server(serve) as server:
        outcome = check(SmtpProbe("127.0.0.1", server.port, "none", "user", Secret("geheim")))
    assert (outcome.code, outcome.facts["auth_method"]) == ("ok", "CRAM-MD5")
    assert bytes(server.got).partition(b"\r\n")[2] == b"AUTH CRAM-MD5\r\nNOOP\r\nQUIT\r\n"
