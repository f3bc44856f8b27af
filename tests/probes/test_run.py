"""The entry point of the probes: every input gives an outcome."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from intctl.health.outcome import Outcome
from intctl.probes.spec import HttpProbe, NoProbe, SmtpProbe
from intctl.probes.trace import ProbeFailed, Trace, bounded
from tests.probes import check


def _bounded(attempt: Any, *, retry: bool = True, deadline_s: float = 0.2) -> Outcome:
    return asyncio.run(bounded(attempt, deadline_s, retry=retry))


def test_nothing_to_ask() -> None:
    """A provider without a known proof is unknown, never healthy."""
    outcome = check(NoProbe())
    assert (outcome.code, outcome.verdict, outcome.phases_ms) == ("self.no_probe", "unknown", {})
    assert check(HttpProbe("", None)).code == "self.config_invalid"


def test_a_bug_of_ours_is_one_result_like_any_other() -> None:
    """An unexpected exception is `self.crash` with its type's name, without its message."""

    async def attempt(trace: Trace) -> Outcome:
        trace.enter("tcp")
        raise KeyError("tok-geheim")

    outcome = _bounded(attempt)
    assert (outcome.code, outcome.verdict, outcome.phase, outcome.detail) == (
        "self.crash",
        "unknown",
        "tcp",
        "KeyError",
    )


def test_a_time_out_of_a_library_is_not_our_deadline() -> None:
    """A TimeoutError that is not the deadline's is a bug, not a verdict on the provider."""

    async def attempt(trace: Trace) -> Outcome:
        raise TimeoutError

    assert _bounded(attempt).code == "self.crash"


def test_cancelling_passes_through() -> None:
    """CancelledError is the one thing that a probe raises."""

    async def attempt(trace: Trace) -> Outcome:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        _bounded(attempt)


@pytest.mark.parametrize(
    ("phase", "heard", "code"),
    [
        ("dns", True, "dns.timeout"),
        ("tcp", True, "connect.timeout"),
        ("tls", True, "tls.timeout"),
        ("greet", False, "reply.timeout"),
        ("auth", True, "deadline"),
        ("api", True, "deadline"),
        ("api", False, "reply.timeout"),
    ],
)
def test_the_deadline_names_what_it_ended(phase: str, heard: bool, code: str) -> None:
    """At the deadline the code says in which phase, and whether the server was silent or slow."""

    async def attempt(trace: Trace) -> Outcome:
        trace.enter(phase)
        trace.received_any = heard
        await asyncio.sleep(9)
        raise AssertionError

    outcome = _bounded(attempt)
    assert (outcome.code, outcome.phase) == (code, phase)
    assert outcome.phases_ms[phase] >= 100


@pytest.mark.parametrize(
    ("code", "phase", "retry", "calls"),
    [
        ("connection.reset", "api", True, 2),
        ("connection.reset", "api", False, 1),
        ("connection.reset", "auth", True, 1),
        ("connect.refused", "tcp", True, 1),
        ("http.auth.rejected", "api", True, 1),
        ("dns.timeout", "dns", True, 1),
    ],
)
def test_what_is_tried_again(code: str, phase: str, retry: bool, calls: int) -> None:
    """A retry follows a timeout or a reset; never a rejection, nor a login that may have arrived."""
    seen = []

    async def attempt(trace: Trace) -> Outcome:
        seen.append(trace)
        trace.enter(phase)
        raise ProbeFailed(code)

    outcome = _bounded(attempt, retry=retry)
    assert (outcome.code, len(seen), outcome.facts.get("attempts")) == (code, calls, 2 if calls == 2 else None)


def test_the_clock_adds_up() -> None:
    """A phase entered again resumes its clock; times are rounded to a tenth of a millisecond."""

    async def attempt(trace: Trace) -> Outcome:
        for phase in ("greet", "tls", "greet"):
            trace.enter(phase)
            await asyncio.sleep(0.02)
        return trace.outcome("ok")

    outcome = _bounded(attempt)
    assert list(outcome.phases_ms) == ["greet", "tls"]
    assert outcome.phases_ms["greet"] >= 39 and outcome.phases_ms["tls"] >= 19
    assert all(ms == round(ms, 1) for ms in outcome.phases_ms.values())
    assert outcome.response_time_ms == round(sum(outcome.phases_ms.values()))


def test_only_what_a_probe_needs_is_imported() -> None:
    """A pass over mail servers loads no HTTP library, and the other way round; certifi is never loaded."""
    program = """
import asyncio, sys
from intctl.probes.run import Network, run_probe
from intctl.probes.spec import HttpProbe, SmtpProbe
probe = {"smtp": SmtpProbe("127.0.0.1", 1, "none"), "http": HttpProbe("http://127.0.0.1:1/", None)}[sys.argv[1]]
print(asyncio.run(run_probe(probe, Network())).code)
print(*(name for name in ("httpx", "aiosmtplib", "certifi", "sqlmodel", "cryptography") if name in sys.modules))
"""
    for kind, loaded in (("smtp", "aiosmtplib"), ("http", "httpx")):
        done = subprocess.run([sys.executable, "-c", program, kind], capture_output=True, text=True, timeout=30)
        assert (done.stdout.splitlines(), done.stderr) == (["connect.refused", loaded], "")


def test_an_outcome_without_a_connection_has_its_phase() -> None:
    """A refused port is the tcp phase's, for mail too."""
    outcome = check(SmtpProbe("127.0.0.1", 1, "starttls"))
    assert (outcome.code, outcome.phase, list(outcome.phases_ms)) == ("connect.refused", "tcp", ["dns", "tcp"])
