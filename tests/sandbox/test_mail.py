"""The mail server: STARTTLS and TLS, AUTH, each vendor's refusal."""

from __future__ import annotations

import smtplib
import ssl
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
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
def test_right_password_logs_in_and_mail_arrives(box: Sandbox, trust: ssl.SSLContext, kind: str, provider: str) -> None:
    """A mail sent after a login is in box.mails with the user who sent it."""
    login, recipient = box.logins[provider], f"{kind}-{provider}@example.org"
    assert login.password is not None
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
    assert words in refused.value.smtp_error


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_taken_without_a_login(box: Sandbox, trust: ssl.SSLContext, kind: str) -> None:
    """MAIL FROM before AUTH is answered with 530; an unknown user with 535."""
    password = box.logins["smtp"].password
    assert password is not None
    with connected(box, trust, kind) as session:
        assert session.mail("from@example.org")[0] == 530
        with pytest.raises(smtplib.SMTPAuthenticationError):
            session.login("nobody", password)


def test_auth_is_not_offered_before_tls(box: Sandbox) -> None:
    """On the STARTTLS port, the server offers no mechanism and accepts no login in plaintext."""
    with smtplib.SMTP("127.0.0.1", box.ports["starttls"], "test", timeout=10) as session:
        session.ehlo()
        assert session.has_extn("starttls") and not session.has_extn("auth")
        assert session.docmd("AUTH", "PLAIN AGEAYg==")[0] == 530


def xoauth2(username: str, token: str) -> str:
    return b64encode(f"user={username}\x01auth=Bearer {token}\x01\x01".encode()).decode()


@pytest.mark.parametrize("provider", ["gmail", "microsoft365"])
def test_xoauth2_takes_a_token_that_was_handed_out(
    box: Sandbox, trust: ssl.SSLContext, web: httpx.Client, provider: str
) -> None:
    """XOAUTH2: an access token of the vendor's own endpoint logs in; any other is refused in the vendor's way."""
    right, login = box.accounts[provider].credentials, box.logins[provider]
    path = f"/{right['tenant_id']}/oauth2/v2.0/token" if provider == "microsoft365" else "/token"
    form = {name: right[name] for name in ("client_id", "client_secret", "refresh_token")}
    reply = web.post(box.url(provider) + path, data={**form, "grant_type": "refresh_token"})
    with connected(box, trust, "starttls") as session:
        assert session.docmd("AUTH", f"XOAUTH2 {xoauth2(login.username, reply.json()['access_token'])}")[0] == 235
    for wrong in (xoauth2(login.username, "wrong"), xoauth2("nobody", reply.json()["access_token"]), "!", ""):
        with connected(box, trust, "starttls") as session:
            code, words = session.docmd("AUTH", f"XOAUTH2 {wrong}".strip())
            if code == 334 and not wrong:  # without an initial response, the server asks for it
                code, words = session.docmd(xoauth2(login.username, "wrong"))
            if code == 334:
                assert provider == "gmail" and b"mail.google.com" in b64decode(words)
                code, words = session.docmd("")
            assert code in (501, 535)
            if wrong != "!" and b"nobody" not in b64decode(wrong or b""):
                assert (code, words.decode()) == (535, login.refusal[4:])


def test_microsoft365_takes_no_password(box: Sandbox, trust: ssl.SSLContext) -> None:
    """Exchange Online: a password is refused, whatever it is."""
    with connected(box, trust, "starttls") as session, pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        session.login(box.logins["microsoft365"].username, "")
    assert refused.value.smtp_code == 535
