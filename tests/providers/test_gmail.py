"""Gmail: an app password or a user's refresh token, and no mixture."""

from __future__ import annotations

import pytest

from intctl.probes.spec import RefreshToken, SmtpProbe
from intctl.providers import catalogue
from intctl.providers.base import Provider
from intctl.text import Secret

S = Secret("s")
BASE: dict[str, object] = {"host": "smtp.gmail.com", "username": "p@company.com"}
OAUTH: dict[str, object] = {"client_id": "c", "client_secret": S, "refresh_token": S}


@pytest.fixture
def gmail() -> Provider:
    found = catalogue.get("gmail")
    assert found is not None
    return found


def asked(gmail: Provider, **config: object) -> SmtpProbe:
    assert gmail.check({**BASE, **config}) == []
    probe = gmail.probe(gmail.complete({**BASE, **config}))
    assert isinstance(probe, SmtpProbe)
    return probe


def test_by_app_password(gmail: Provider) -> None:
    """An ordinary login behind STARTTLS."""
    probe = asked(gmail, password=S)
    assert (probe.host, probe.port, probe.security) == ("smtp.gmail.com", 587, "starttls")
    assert (probe.username, probe.password, probe.auth) == ("p@company.com", S, None)


def test_by_refresh_token(gmail: Provider) -> None:
    """Without a password the refresh token is exchanged for the token that the mail server receives."""
    probe = asked(gmail, **OAUTH)
    assert (probe.username, probe.password) == ("p@company.com", None)
    assert probe.auth == RefreshToken("https://oauth2.googleapis.com/token", "c", S, S)
    moved = asked(gmail, **OAUTH, token_url="https://localhost:8443/token").auth
    assert isinstance(moved, RefreshToken)
    assert moved.token_url == "https://localhost:8443/token"


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        ({}, ["password"]),
        ({"client_id": "c"}, ["client_secret", "refresh_token"]),
        ({"password": S, "client_id": "c"}, ["client_id"]),
        ({**OAUTH, "security": "none"}, ["security"]),
        ({**OAUTH, "token_url": "http://example.com/token"}, ["token_url"]),
    ],
)
def test_what_does_not_go_together(gmail: Provider, config: dict[str, object], fields: list[str]) -> None:
    """A config has one complete way, and a token is neither exchanged nor sent in plaintext."""
    assert [problem.field for problem in gmail.check({**BASE, **config})] == fields
