"""The mail server: STARTTLS and TLS, AUTH, each vendor's refusal."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from intctl.sandbox import Sandbox

KINDS = ("starttls", "tls")
PROVIDERS = ("smtp", "sendgrid", "ses")


@contextmanager
def connected(box: Sandbox, trust: ssl.SSLContext, kind: str) -> Iterator[smtplib.SMTP]:
    if kind == "tls":
        session: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", box.ports["tls"], "test", timeout=10, context=trust)
    else:
        session = smtplib.SMTP("127.0.0.1", box.ports["starttls"], "test", timeout=10)
    with session:
        if kind == "starttls":
            session.starttls(context=trust)
        session.ehlo()
        yield session


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_right_password_logs_in_and_mail_arrives(
    box: Sandbox, trust: ssl.SSLContext, kind: str, provider: str
) -> None:
    """A mail sent after a login is in box.mails with the user who sent it."""
    login, recipient = box.logins[provider], f"{kind}-{provider}@example.org"
    with connected(box, trust, kind) as session:
        session.login(login.username, login.password)
        session.sendmail("from@example.org", [recipient], "Subject: hello\r\n\r\nbody")
    [mail] = [mail for mail in box.mails if mail.recipients == (recipient,)]
    assert (mail.user, mail.sender) == (login.username, "from@example.org")
    assert b"Subject: hello" in mail.content


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("provider", "words"),
    [("smtp", b"5.7.8"), ("sendgrid", b"authorization grant is invalid"), ("ses", b"Credentials Invalid")],
)
def test_wrong_password_is_refused_in_the_vendors_words(
    box: Sandbox, trust: ssl.SSLContext, kind: str, provider: str, words: bytes
) -> None:
    """535, with the text that the vendor sends."""
    with connected(box, trust, kind) as session, pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        session.login(box.logins[provider].username, "wrong")
    assert refused.value.smtp_code == 535
    assert words in refused.value.smtp_error  # type: ignore[operator]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_taken_without_a_login(box: Sandbox, trust: ssl.SSLContext, kind: str) -> None:
    """MAIL FROM before AUTH is answered with 530; an unknown user with 535."""
    with connected(box, trust, kind) as session:
        assert session.mail("from@example.org")[0] == 530
        with pytest.raises(smtplib.SMTPAuthenticationError):
            session.login("nobody", box.logins["smtp"].password)


def test_auth_is_not_offered_before_tls(box: Sandbox) -> None:
    """On the STARTTLS port, no mechanism is offered and no login taken in clear text."""
    with smtplib.SMTP("127.0.0.1", box.ports["starttls"], "test", timeout=10) as session:
        session.ehlo()
        assert session.has_extn("starttls") and not session.has_extn("auth")
        assert session.docmd("AUTH", "PLAIN AGEAYg==")[0] == 530
