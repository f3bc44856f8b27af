"""Fixtures that run intctl in this process as the entry point does, and search its output for planted secrets."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from intctl import cli, keyring
from intctl.db.url import Target

from ..conftest import database_url
from ..servers import Authority, SmtpServer, authority, smtp_server

#: Planted in configs as a secret: it must never appear in any output.
CANARY = "canary-7f3a9c-do-not-show"


@dataclass(frozen=True)
class Ran:
    """One run: its exit code and its output."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


class Intctl:
    """Run commands against one database and one home: `intctl(…)`."""

    def __init__(self, target: Target, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.target = target
        self.home = home
        self.said = ""
        self._monkeypatch = monkeypatch
        self.environ = {
            "INTCTL_HOME": str(home),
            "INTCTL_DATABASE_URL": database_url(target),
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            # So that coverage includes child processes.
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        }

    def __call__(self, *words: str, stdin: str = "", code: int | None = 0, **environ: str) -> Ran:
        """Run one command line. `code` is the expected exit code; None allows any."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["intctl", *words])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            patch.setattr(os, "environ", {**self.environ, **environ})
            with pytest.raises(SystemExit) as ended:
                cli.main()
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read())
        ran = Ran(int(ended.value.code or 0), *texts)
        self.said += ran.out + ran.err
        if code is not None:
            assert ran.code == code, f"{words}: exit {ran.code}\n{ran.out}\n{ran.err}"
        return ran


@pytest.fixture
def intctl(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Intctl]:
    """intctl on a prepared database (SQLite and PostgreSQL), with a keyring. No canary may appear in its output."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    keyring.write_file(home / "keyring.json", [keyring.new_key()])
    made = Intctl(target, home, monkeypatch)
    yield made
    assert CANARY not in made.said


@pytest.fixture(scope="session")
def ca() -> Iterator[Authority]:
    """A certificate authority for the servers of these tests."""
    with authority() as made:
        yield made


@pytest.fixture(scope="session")
def private_key() -> str:
    """A key in PEM form."""
    made = rsa.generate_private_key(65537, 2048)
    form = serialization.PrivateFormat.PKCS8
    return made.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


class MailHost:
    """A real mail server on loopback, and its manifest."""

    def __init__(self, server: SmtpServer, ca: Authority, security: str) -> None:
        self.server = server
        self._ca = ca
        self._security = security

    def manifest(self, name: str = "Email", **config: object) -> str:
        """A manifest for this server; `config` overrides keys, None omits them."""
        values: dict[str, object] = {
            "host": self.server.host,
            "port": self.server.port,
            "security": self._security,
            "username": "apikey",
            "password": {"env": "MAIL_PASSWORD"},
            "from_email": "noreply@company.com",
            "from_name": "InTime Staffing",
            "max_emails_per_hour": 1000,
            "max_emails_per_day": 25000,
            "ca_file": self._ca.file,
            **config,
        }
        given = {key: value for key, value in values.items() if value is not None}
        return json.dumps({"name": name, "provider": "sendgrid", "config": given})


@pytest.fixture(params=["starttls", "tls"])
def mail(request: pytest.FixtureRequest, ca: Authority) -> Iterator[MailHost]:
    """A mail server that accepts the canary as the password of apikey, over STARTTLS and implicit TLS."""
    with smtp_server(ca, request.param, users={"apikey": CANARY}) as server:
        yield MailHost(server, ca, request.param)


@pytest.fixture
def mail_starttls(ca: Authority) -> Iterator[MailHost]:
    """The same server, with STARTTLS only."""
    with smtp_server(ca, "starttls", users={"apikey": CANARY}) as server:
        yield MailHost(server, ca, "starttls")


@pytest.fixture
def email(intctl: Intctl, mail_starttls: MailHost) -> MailHost:
    """Add a healthy integration called Email."""
    intctl("add", "smtp", "-f", "-", stdin=mail_starttls.manifest(), MAIL_PASSWORD=CANARY)
    return mail_starttls
