"""Single-use refresh tokens, over the commands and the sandbox: used only on request or if the new token is
saved, and never shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from intctl.db.connect import connect
from intctl.sandbox import Sandbox
from intctl.sandbox.manifests import manifests

from ..agent_rig import shift
from .conftest import Intctl
from .test_canary import CommandLines, Hunt
from .test_oauth import snapshot

#: The sandbox providers that document a single-use refresh token.
SINGLE_USE = ("gusto", "xero")


@contextmanager
def sandbox(folder: Path, fault: str, *providers: str) -> Iterator[Sandbox]:
    folder.mkdir(exist_ok=True)
    with Sandbox(folder, faults=dict.fromkeys(providers, fault)) as box:
        yield box


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    """Each refresh returns a new token and invalidates the old one."""
    with sandbox(tmp_path / "box", "rotated.token.lost", "google", "microsoft", *SINGLE_USE) as made:
        yield made


def given(box: Sandbox, provider: str) -> dict[str, Any]:
    """The manifest and its environment."""
    return {"stdin": manifests(box)[provider], **box.environ()}


def alive(box: Sandbox, provider: str) -> bool:
    """Whether the vendor would still accept the manifest's token."""
    return box.accounts[provider].credentials["refresh_token"] in box.accounts[provider].refresh_tokens


@pytest.mark.parametrize("provider", SINGLE_USE)
def test_a_file_is_tested_without_spending_its_token(intctl: Intctl, box: Sandbox, provider: str) -> None:
    """`test -f` sends nothing and names the next step; then add works with the same file."""
    (tested,) = intctl("test", "-f", "-", "-o", "json", code=1, **given(box, provider)).json
    assert (tested["verdict"], tested["code"], tested["phases_ms"]) == ("unknown", "self.token_single_use", {})
    assert "intctl add" not in tested["message"] and "add and apply" in tested["next_step"]
    assert "--spend-token" in tested["next_step"]
    assert alive(box, provider)
    intctl("add", provider, "-f", "-", **given(box, provider))
    assert not alive(box, provider)
    intctl("check", "--all")
    assert "Unchanged" in intctl("apply", "-f", "-", **given(box, provider)).out
    intctl("check", "--all")


def test_a_token_is_spent_where_somebody_says_so(intctl: Intctl, box: Sandbox) -> None:
    """--spend-token warns before and after that the file's token is used up; add then fails."""
    ran = intctl("test", "-f", "-", "--spend-token", **given(box, "xero"))
    assert "healthy" in ran.out
    before, after = ran.err.splitlines()
    assert before.startswith("warning: Xero: this test uses up its refresh token")
    assert after.startswith("warning: Xero: the refresh token in the file is now used up and invalid")
    assert not alive(box, "xero")
    ran = intctl("add", "xero", "-f", "-", code=1, **given(box, "xero"))
    assert "reauthorise" in ran.err and "used by an exchange whose reply was lost" in ran.err
    assert intctl("list", "-o", "json").json == []


@pytest.mark.parametrize(
    ("fault", "said"), [("http.auth.rejected", None), ("server.error", "may be used up"), ("reauthorise", None)]
)
def test_what_is_said_of_a_token_that_was_perhaps_spent(
    intctl: Intctl, tmp_path: Path, fault: str, said: str | None
) -> None:
    """After a rejection no token is reported as used up; after an inconclusive reply it may be."""
    with sandbox(tmp_path / "box", fault, "xero") as box:
        ran = intctl("test", "-f", "-", "--spend-token", code=1, **given(box, "xero"))
    before, *after = ran.err.splitlines()
    assert "uses up" in before
    assert len(after) == (said is not None) and all(str(said) in line for line in after)


def test_a_retry_goes_on_with_the_token_that_the_first_attempt_got(intctl: Intctl, box: Sandbox) -> None:
    """The API drops one connection: the second attempt does not send the used-up token, and is healthy."""
    from intctl.sandbox.http import Reply, Request

    account = box.accounts["xero"]
    cut: list[Request] = []
    answer = account.answer

    def once(request: Request) -> Reply:
        if request.path == "/Connections" and not cut:
            cut.append(request)
            return Reply(manner="reset")
        return answer(request)

    account.answer = once  # type: ignore[method-assign]
    (tested,) = intctl("test", "-f", "-", "--spend-token", "-o", "json", **given(box, "xero")).json
    assert cut
    assert (tested["verdict"], tested["facts"]["attempts"]) == ("healthy", 2)
    assert tested["facts"]["token_exchanged"] is tested["facts"]["refresh_token_replaced"] is True


def test_a_replaced_token_is_told_where_nobody_expected_it(intctl: Intctl, box: Sandbox) -> None:
    """If a provider replaces the token unexpectedly, the test of a file reports it."""
    ran = intctl("test", "-f", "-", **given(box, "google"))
    assert ran.err == (
        "warning: Google Calendar: the provider sent a new refresh token, which a test does not save: "
        "if add or apply fails, authorise again at the provider.\n"
    )


def test_spend_token_asks_for_a_file(intctl: Intctl, box: Sandbox) -> None:
    """--spend-token for a saved integration suggests another command and uses no token."""
    intctl("add", "xero", "-f", "-", **given(box, "xero"))
    before = snapshot(intctl)
    ran = intctl("test", "Xero", "--spend-token", code=2)
    assert "intctl check" in ran.err
    (tested,) = intctl("test", "Xero", "-o", "json", code=1).json
    assert tested["code"] == "self.token_single_use"
    assert snapshot(intctl) == before
    intctl("check", "Xero")


def test_a_revoked_token_does_not_stay_green(intctl: Intctl, box: Sandbox) -> None:
    """The vendor revokes the grant while access tokens still work: check and reconnect detect it."""
    intctl("add", "xero", "-f", "-", **given(box, "xero"))
    box.accounts["xero"].refresh_tokens.clear()
    for command in ("check", "reconnect"):
        (found,) = intctl(command, "Xero", "-o", "json", code=1).json
        assert found["code"] == "reauthorise"


def test_no_token_comes_out_anywhere(intctl: Intctl, box: Sandbox, tmp_path: Path) -> None:
    """No command shows access tokens or rotated refresh tokens, even with faults."""
    hunt = Hunt()
    with CommandLines(hunt):
        for provider in ("microsoft", *SINGLE_USE):
            if provider != "microsoft":  # not known to replace it: the test would use it up
                intctl("test", "-f", "-", code=1, **given(box, provider))
            intctl("apply", "-f", "-", **given(box, provider))
        intctl("check", "--all", "-o", "json")
        with connect(intctl.target) as database:
            shift(database, "next_check_at", 7200)
        intctl("agent", "--once")
        intctl("edit", "Xero", "--set", "client_id=wrong", code=1)
        intctl("troubleshoot", "Gusto")
        for words in (["show", "Xero", "-o", "json"], ["logs", "-o", "json"], ["list", "-o", "yaml"], ["dashboard"]):
            intctl(*words, code=None)
        box.accounts["xero"].refresh_tokens.clear()
        intctl("check", "Xero", code=1)
        intctl("test", "-f", "-", "--spend-token", code=1, **given(box, "xero"))
    hunt.keep("said", intctl.said.encode())
    hunt.keep_rows(intctl)
    hunt.keep_folder(intctl.home)
    for provider in ("microsoft", *SINGLE_USE):
        account = box.accounts[provider]
        hunt.secrets |= account.access_tokens | account.refresh_tokens | {account.credentials["refresh_token"]}
    assert len(hunt.secrets) > 8
    assert hunt.found() == []
