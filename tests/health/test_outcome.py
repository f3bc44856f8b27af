"""What a healthy exchange proved, in words."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from intctl.health.codes import CODES
from intctl.health.outcome import Outcome


@pytest.mark.parametrize(
    ("phase", "facts", "words"),
    [
        ("api", {"auth_method": "PLAIN"}, "The mail server accepted the login"),
        ("api", {"auth_method": "XOAUTH2", "token_exchanged": True}, "The mail server accepted the login"),
        ("auth", {"relay_proven": True}, "The mail server takes mail from this machine for another domain"),
        (
            "api",
            {"http_status": 200, "credential_proven": True},
            "The provider answers with the credential, and refuses the same request without it",
        ),
        (
            "api",
            {"http_status": 200, "takes_credential": False},
            "It answers as expected; there is no credential to prove",
        ),
        ("tls", {"takes_credential": False}, "It answers as expected; there is no credential to prove"),
        ("auth", {"token_exchanged": True}, "The token endpoint accepted the credential"),
        ("api", {"http_status": 200, "token_exchanged": True}, "The provider accepted the credential"),
        ("api", {"http_status": 200}, "The provider accepted the credential"),
        ("", {}, CODES["ok"].meaning),
    ],
)
def test_the_words_of_ok_say_what_was_proved(phase: str, facts: Mapping[str, object], words: str) -> None:
    """A login, a request that requires the credential, a token, or that there is no credential."""
    assert Outcome("ok", phase, facts=facts).message == words


def test_other_codes_have_their_meaning() -> None:
    """Whatever the facts are."""
    outcome = Outcome("server.error", "api", facts={"auth_method": "PLAIN"}, detail="HTTP 500")
    assert outcome.message == f"{CODES['server.error'].meaning}: HTTP 500"
