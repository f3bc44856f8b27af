"""kill -9 between the steps of a token refresh: no token is lost, except with the provider's reply.

The vendor here is the strictest possible: it invalidates a refresh token at its first use.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from intctl.db.connect import connect

from ..agent_rig import shift
from .conftest import Intctl
from .test_oauth import SECRETS, Vendor, nothing_shown, opened, serving

#: The steps of a refresh in order, the failpoint of each, and whether the provider's reply is lost.
STEPS = {
    "token_before_call": False,
    "request at the vendor": False,
    "answer on the wire": True,
    "token_answer_read": True,
    "token_saving": True,
    "token_saved": False,
    "token_before_api": False,
    "API asked": False,
    "token_api_answered": False,
}
AGENT = {**STEPS, "before_record": False, "after_record": False}
ADD = {"token_drafted": False, **STEPS, "token_before_commit": False, "token_after_commit": False}

#: The steps of a creation that the short run includes too: the purpose of a draft.
SHORT = ("token_drafted", "token_answer_read", "token_saved", "token_before_commit")

COMMANDS = {
    "agent": ["agent", "--once"],
    "check": ["check", "Calendar"],
    "add": ["add", "oauth", "-f", "-"],
    "apply": ["apply", "-f", "-"],
    "edit": ["edit", "Calendar", "--set", "client_id=another"],
}


@pytest.fixture
def strict() -> Iterator[Vendor]:
    with serving(Vendor("microsoft", rotating=True)) as made:
        yield made


def killed_at(intctl: Intctl, vendor: Vendor, command: str, step: str) -> None:
    """Run the command in a child process that is killed at this step."""
    started: list[subprocess.Popen[str]] = []

    def kill() -> None:
        ends = time.monotonic() + 30
        while not started and time.monotonic() < ends:
            time.sleep(0.01)
        os.kill(started[0].pid, signal.SIGKILL)
        started[0].wait(30)  # killed before the reply is written: otherwise it could still be read

    def once() -> None:
        vendor.before_token = vendor.after_token = vendor.before_api = lambda: None
        kill()
        if step == "request at the vendor":
            raise ConnectionAbortedError  # and the process never acted on it

    at_vendor: dict[str, str] = {
        "request at the vendor": "before_token",
        "answer on the wire": "after_token",
        "API asked": "before_api",
    }
    environ = {**intctl.environ, **SECRETS}
    if step in at_vendor:
        setattr(vendor, at_vendor[step], once)
    else:
        environ |= {"INTCTL_TEST_FAILPOINTS": "1", "INTCTL_FAILPOINT": f"{step}:kill"}
    process = subprocess.Popen(
        [sys.executable, "-m", "intctl", *COMMANDS[command]],
        env=environ,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    started.append(process)
    assert process.stdin and process.stdout and process.stderr
    try:
        process.stdin.write(vendor.manifest())
        process.stdin.close()
    except BrokenPipeError:
        pass
    process.wait(60)
    intctl.said += process.stdout.read() + process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    assert process.returncode == -signal.SIGKILL


def give_time(intctl: Intctl) -> None:
    """Let the dead process's lease expire and the next check become due."""
    with connect(intctl.target) as database:
        shift(database, "lease_expires_at", 1000)
        shift(database, "next_check_at", 7200)


def with_integration(intctl: Intctl, vendor: Vendor) -> None:
    """An integration with an expired access token, due now."""
    intctl("add", "oauth", "-f", "-", stdin=vendor.manifest(), **SECRETS)
    with connect(intctl.target) as database:
        database.run("UPDATE oauth_tokens SET expires_at = {now}")
        shift(database, "next_check_at", 7200)


def healthy_again(intctl: Intctl, vendor: Vendor) -> None:
    """The integration is healthy, the vendor accepts the stored token, and never got a used-up one."""
    (checked,) = intctl("check", "Calendar", "-o", "json").json
    assert (checked["verdict"], checked["facts"]["token_exchanged"]) == ("healthy", True)
    assert [refresh for _, refresh in opened(intctl, "microsoft")] == [vendor.refresh]


def wants_a_person(intctl: Intctl, vendor: Vendor) -> None:
    """The verdict is `reauthorise` with a next step, and a new token in the manifest fixes it."""
    (checked,) = intctl("check", "Calendar", "-o", "json", code=1).json
    assert (checked["verdict"], checked["code"]) == ("down", "reauthorise")
    assert "no longer accepts the refresh token" in checked["message"]
    assert "--secret refresh_token" in checked["next_step"]
    vendor.refresh = "refresh-token-900"
    intctl("edit", "Calendar", "--secret", "refresh_token", stdin="refresh-token-900\n")
    healthy_again(intctl, vendor)


@pytest.mark.parametrize("step", AGENT)
def test_the_agent_is_killed(intctl: Intctl, strict: Vendor, step: str) -> None:
    """After a restart the agent is healthy, unless the reply was lost with the process."""
    with_integration(intctl, strict)
    killed_at(intctl, strict, "agent", step)
    give_time(intctl)
    lost = AGENT[step]
    ran = intctl("agent", "--once")
    assert ran.out == ("checked 1: 1 down\n" if lost else "checked 1: 1 healthy\n")
    assert strict.dead == lost
    (wants_a_person if lost else healthy_again)(intctl, strict)
    nothing_shown(intctl)


@pytest.mark.parametrize("step", [step for step, lost in STEPS.items() if lost])
def test_a_vendor_with_a_grace_period_forgives(intctl: Intctl, step: str) -> None:
    """If a used-up token works a little longer, a lost reply is requested again."""
    with serving(Vendor("microsoft", rotating=True)) as lenient:
        lenient.grace = True
        with_integration(intctl, lenient)
        killed_at(intctl, lenient, "agent", step)
        give_time(intctl)
        assert intctl("agent", "--once").out == "checked 1: 1 healthy\n"
        healthy_again(intctl, lenient)


@pytest.mark.parametrize("step", ["token_answer_read", "token_saved", "after_record"])
def test_a_check_is_killed(intctl: Intctl, strict: Vendor, step: str) -> None:
    """A manual check leaves the same state as the agent's check."""
    with_integration(intctl, strict)
    killed_at(intctl, strict, "check", step)
    give_time(intctl)
    (wants_a_person if AGENT[step] else healthy_again)(intctl, strict)


@pytest.mark.parametrize("command", ["add", pytest.param("apply", marks=pytest.mark.slow)])
@pytest.mark.parametrize("step", [pytest.param(one, marks=[pytest.mark.slow][one in SHORT :]) for one in ADD])
def test_a_creation_is_killed(intctl: Intctl, strict: Vendor, command: str, step: str) -> None:
    """The same command completes the change; another apply changes nothing."""
    killed_at(intctl, strict, command, step)
    give_time(intctl)
    manifest = strict.manifest()
    if step == "token_after_commit":  # it is there
        intctl("add", "oauth", "-f", "-", stdin=manifest, code=4, **SECRETS)
    elif ADD[step]:
        ran = intctl(*COMMANDS[command], stdin=manifest, code=1, **SECRETS)
        assert "reauthorise" in ran.err and "Nothing was saved" in ran.err
        assert intctl("list", "-o", "json").json == []
        strict.refresh = SECRETS["REFRESH_TOKEN"]  # as after a new authorisation
        strict.spent.clear()
        intctl(*COMMANDS[command], stdin=manifest, **SECRETS)
    else:
        assert "Created Calendar" in intctl(*COMMANDS[command], stdin=manifest, **SECRETS).out
        assert strict.dead == 0
    (row,) = intctl("list", "-o", "json").json
    assert (row["status"], row["verdict"]) == ("active", "healthy")
    exchanges = strict.exchanges
    assert "Unchanged" in intctl("apply", "-f", "-", stdin=manifest, **SECRETS).out
    assert strict.exchanges == exchanges
    healthy_again(intctl, strict)
    nothing_shown(intctl)


@pytest.mark.parametrize("step", ["token_before_call", "token_answer_read", "token_saved", "token_before_commit"])
def test_an_edit_is_killed(intctl: Intctl, strict: Vendor, step: str) -> None:
    """The config is as it was, and its token is the newest."""
    with_integration(intctl, strict)
    killed_at(intctl, strict, "edit", step)
    give_time(intctl)
    if STEPS.get(step):
        wants_a_person(intctl, strict)
        return
    healthy_again(intctl, strict)
    intctl(*COMMANDS["edit"])
    assert strict.dead == 0
    healthy_again(intctl, strict)


def test_what_a_dead_refresher_holds_runs_out_by_itself(intctl: Intctl, strict: Vendor) -> None:
    """No other process uses the token during a dead process's lease; the lease expires on its own."""
    with_integration(intctl, strict)
    killed_at(intctl, strict, "edit", "token_before_call")
    exchanges = strict.exchanges
    assert "Another process is checking" in intctl("check", "Calendar", "--timeout", "1", code=7).err
    assert strict.exchanges == exchanges
    give_time(intctl)
    healthy_again(intctl, strict)


def test_a_stopped_process_that_wakes_up_late_loses_nothing(intctl: Intctl, strict: Vendor) -> None:
    """A process paused past its lease with the reply saves late; the save is kept, the next check healthy."""
    with_integration(intctl, strict)
    environ = {**intctl.environ, "INTCTL_TEST_FAILPOINTS": "1", "INTCTL_FAILPOINT": "token_answer_read:stop"}
    process = subprocess.Popen(
        [sys.executable, "-m", "intctl", "agent", "--once", "--timeout", "60"],
        env=environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        waits: Callable[[], tuple[int, int]] = lambda: os.waitpid(process.pid, os.WUNTRACED)  # noqa: E731
        assert os.WIFSTOPPED(waits()[1])
        give_time(intctl)
        (checked,) = intctl("check", "Calendar", "-o", "json", code=1).json
        assert checked["code"] == "reauthorise"  # all that another process can know
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "1 results dropped (lease lost)" in out
    healthy_again(intctl, strict)
