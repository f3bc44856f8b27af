"""The rules of health, as tables: the effect of an outcome on an integration, without a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from intctl.health.codes import CODES
from intctl.health.judge import (
    MAX_REJECTIONS,
    PAUSE_S,
    LastSuccess,
    Lease,
    Standing,
    apply_throttling,
    as_unverified,
    backed_off,
    compare_with_last_success,
    credential_proven,
    decide,
    extra_wait_s,
    jitter,
    needs_last_success,
    postpone,
    settle,
)
from intctl.health.log_entry import LogMetadata
from intctl.health.outcome import Outcome

OK = Outcome("ok", "api", {"api": 7.0})
REJECTED = Outcome("smtp.auth.rejected", "auth")
TIMEOUT = Outcome("connect.timeout", "tcp")
BUSY = Outcome("http.rate_limited", "api")
NOW = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
STANDING = Standing("0a0a0a0a-0000-4000-8000-000000000001", "active", 0, None, 0, 5)


@pytest.mark.parametrize(
    ("outcome", "check_type", "count", "status"),
    [
        (OK, "scheduled", 5, "active"),
        (Outcome("tls.expires_soon"), "scheduled", 5, "active"),
        (REJECTED, "scheduled", 0, "error"),
        (Outcome("server.error"), "scheduled", 0, "error"),
        (TIMEOUT, "scheduled", 0, "active"),
        (TIMEOUT, "scheduled", 1, "error"),
        (TIMEOUT, "manual", 0, "error"),
        (TIMEOUT, "auto", 0, "error"),
        (Outcome("connection.reset"), "scheduled", 0, "active"),
    ],
)
def test_what_an_outcome_makes_of_the_status(outcome: Outcome, check_type: str, count: int, status: str) -> None:
    """A definite failure or a person's check is an error at once; a scheduled timeout at the second time."""
    settled = settle(STANDING._replace(error_count=count), outcome, check_type)
    assert settled.status == status
    assert settled.error_count == (0 if outcome.verdict in ("healthy", "degraded") else count + 1)


@pytest.mark.parametrize("status", ["active", "error", "inactive"])
def test_unknown_moves_nothing(status: str) -> None:
    """A problem of this machine changes neither status nor message nor count."""
    standing = STANDING._replace(status=status, error_count=3, error_message="was so")
    settled = settle(standing, Outcome("dns.timeout"), "scheduled")
    assert (settled.status, settled.error_count, settled.error_message) == (status, 3, "was so")


@pytest.mark.parametrize("outcome", [OK, REJECTED, TIMEOUT])
def test_inactive_stays_inactive(outcome: Outcome) -> None:
    """A check of a disabled integration enables nothing and plans nothing."""
    settled = settle(STANDING._replace(status="inactive"), outcome, "manual")
    assert (settled.status, settled.next_in_s) == ("inactive", None)


# --- when it is checked next

STRETCH = jitter(STANDING.id)


@pytest.mark.parametrize(
    ("outcome", "count", "minutes", "next_s"),
    [
        (OK, 0, 5, 300 * STRETCH),
        (TIMEOUT, 0, 5, 60 * STRETCH),
        (TIMEOUT, 0, 1, 60 * STRETCH),
        (TIMEOUT, 1, 5, 300 * STRETCH),
        (Outcome("server.error"), 0, 5, 300 * STRETCH),
        (TIMEOUT, 8, 5, 300 * STRETCH),
        (TIMEOUT, 9, 5, 510 * STRETCH),
        (TIMEOUT, 9, 1, 60 * STRETCH),
        (TIMEOUT, 9, 60, 7110 * STRETCH),
        (Outcome("http.rate_limited"), 0, 5, 510 * STRETCH),
        (Outcome("http.rate_limited", retry_after_s=40), 0, 5, 510 * STRETCH),
        (Outcome("http.rate_limited", retry_after_s=3600), 0, 5, 3600),
        (Outcome("self.crash"), 20, 5, 300 * STRETCH),
    ],
)
def test_when_it_is_checked_next(outcome: Outcome, count: int, minutes: int, next_s: float) -> None:
    """Soon after a first timeout; less often in a long outage or when asked for less; always within two intervals."""
    settled = settle(STANDING._replace(error_count=count, interval_minutes=minutes), outcome, "scheduled")
    assert settled.next_in_s == pytest.approx(next_s)
    if not outcome.retry_after_s:
        assert next_s <= 2 * minutes * 60
    assert next_s <= max(PAUSE_S, 120.0 * minutes)


def test_a_rejected_login_slows_down_and_stops() -> None:
    """4 intervals, then 16, at most an hour; the third rejection stops scheduled checks until a check on demand."""
    waits = [
        settle(STANDING._replace(rejections=before), REJECTED, "scheduled").next_in_s
        for before in range(MAX_REJECTIONS)
    ]
    assert waits == [1200.0, 3600.0, None]
    asked = settle(STANDING._replace(rejections=2), REJECTED, "manual")
    assert (asked.rejections, asked.next_in_s) == (1, 1200.0)
    assert settle(STANDING._replace(rejections=2), OK, "scheduled").rejections == 0


@pytest.mark.parametrize("code", [code for code, cause in CODES.items() if cause.verdict == "unknown"])
def test_no_unknown_code_changes_a_status(code: str) -> None:
    """Every code of the verdict unknown leaves a failing integration failing and a working one working."""
    for status in ("active", "error"):
        standing = STANDING._replace(status=status, error_count=1, error_message="before")
        settled = settle(standing, Outcome(code), "scheduled")
        assert (settled.status, settled.error_count, settled.error_message) == (status, 1, "before")


def test_jitter_is_early_and_the_same_for_one_id() -> None:
    """0.90 to 1.00, from the id alone."""
    found = [jitter(f"id-{number}") for number in range(1000)]
    assert min(found) >= 0.90 and max(found) <= 1.00
    assert found == [jitter(f"id-{number}") for number in range(1000)]
    assert len({round(one, 2) for one in found}) == 11


@pytest.mark.parametrize(("minutes", "seconds"), [(1, 60.0), (2, 150.0), (5, 510.0), (60, 7110.0)])
def test_backing_off_keeps_the_promise(minutes: int, seconds: float) -> None:
    """Never sooner than usual, and within two intervals with room for the timer."""
    assert backed_off(minutes * 60.0) == seconds


# --- a result under a lease


def lease(**more: Any) -> Lease:
    given = {"claimed_at": NOW - timedelta(seconds=10), "now": NOW, "is_edited": False, "is_deleted": False}
    return Lease(**{**given, **more})


def test_the_next_time_counts_from_the_claim() -> None:
    """Not from the end of the check: early, never late."""
    decision = decide(STANDING, OK, "scheduled", lease())
    assert decision.next_at == NOW - timedelta(seconds=10) + timedelta(seconds=300 * jitter(STANDING.id))
    assert (decision.settles, decision.logs, decision.log_status) == (True, True, "success")


def test_a_retry_after_counts_from_the_answer() -> None:
    """Retry-After counts from the reply: the duration of the check is not subtracted."""
    decision = decide(STANDING, replace(BUSY, retry_after_s=1800), "scheduled", lease())
    assert decision.next_at == NOW + timedelta(seconds=1800)


@pytest.mark.parametrize(("status", "due"), [("active", NOW), ("error", NOW), ("inactive", None)])
def test_an_edit_during_the_check_makes_it_due_again(status: str, due: datetime | None) -> None:
    """The result is logged as unknown, and changes neither status nor rejections; a disabled one stays disabled."""
    standing = STANDING._replace(status=status, rejections=2)
    decision = decide(standing, REJECTED, "scheduled", lease(is_edited=True))
    assert (decision.next_at, decision.settles, decision.logs, decision.log_status) == (due, False, True, "unknown")
    if due is not None:
        assert decision.rejections == 0


def test_a_deletion_during_the_check_is_final() -> None:
    """No next time, no status, no log."""
    decision = decide(STANDING, OK, "scheduled", lease(is_deleted=True))
    assert (decision.next_at, decision.settles, decision.logs) == (None, False, False)


# --- compared with the last success


def success(
    age_s: float = 60.0, *, version: int = 3, facts: Mapping[str, object] | None = None, **more: Any
) -> LastSuccess:
    """A success of that age."""
    metadata = LogMetadata("healthy", "ok", facts=facts or {}, config_version=version)
    return LastSuccess(metadata, NOW - timedelta(seconds=age_s), **more)


def throttled(outcome: Outcome, last: LastSuccess | None, minutes: int = 5) -> str:
    return apply_throttling(outcome, last, config_version=3, interval_minutes=minutes, now=NOW).code


PROVEN_LONG_AGO = {"proven_at": (NOW - timedelta(hours=2)).isoformat()}


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (None, "provider.busy"),
        (success(), "http.rate_limited"),
        (success(3600), "http.rate_limited"),
        (success(3601), "provider.busy"),
        (success(version=2), "provider.busy"),
        (success(-39), "http.rate_limited"),
        (success(-41), "provider.busy"),
        (success(failed_at=NOW), "provider.busy"),
        (success(failed_at=NOW - timedelta(seconds=60)), "provider.busy"),
        (success(off_at=NOW), "provider.busy"),
        (success(off_at=NOW - timedelta(days=1)), "http.rate_limited"),
        (success(facts=PROVEN_LONG_AGO), "provider.busy"),
        (success(facts={"proven_at": "soon"}), "provider.busy"),
        (success(facts={"proven_at": 5}), "provider.busy"),
        (success(facts={"proven_at": "2026-12-01"}), "provider.busy"),
        (LastSuccess(LogMetadata(config_version=3)), "provider.busy"),
    ],
)
def test_a_throttled_request_is_weighed_against_the_last_proof(last: LastSuccess | None, code: str) -> None:
    """Degraded for an hour after the last proof of this very config, if nothing changed since; else unknown."""
    assert throttled(BUSY, last) == code


def test_a_proof_holds_for_two_intervals() -> None:
    """Where checks are an hour apart, a proof of two hours ago still counts."""
    assert throttled(BUSY, success(7200), minutes=60) == "http.rate_limited"
    assert throttled(BUSY, success(7201), minutes=60) == "provider.busy"


def test_the_time_of_the_proof_is_handed_on() -> None:
    """A throttled success is no proof of its own: the time of the last real one stays."""
    first = apply_throttling(BUSY, success(600), config_version=3, interval_minutes=5, now=NOW)
    second = success(60, facts=dict(first.facts))
    found = apply_throttling(BUSY, second, config_version=3, interval_minutes=5, now=NOW)
    assert found.facts["proven_at"] == first.facts["proven_at"] == (NOW - timedelta(seconds=600)).isoformat()


@pytest.mark.parametrize(
    "outcome",
    [
        OK,
        REJECTED,
        Outcome("temporary", "api"),
        Outcome("http.rate_limited", "api", facts={"token_exchanged": True}),
        Outcome("quota.exhausted"),
    ],
)
def test_what_proves_something_is_left_alone(outcome: Outcome) -> None:
    """An accepted login or token proves the credential, whatever comes after it."""
    assert throttled(outcome, None) == as_unverified(outcome).code == outcome.code


@pytest.mark.parametrize(
    ("code", "account", "found"),
    [
        ("ok", "B", "account.changed"),
        ("quota.high", "B", "account.changed"),
        ("quota.exhausted", "B", "quota.exhausted"),
        ("ok", "A", "ok"),
        ("quota.high", "A", "quota.high"),
    ],
)
def test_another_account_is_a_warning(code: str, account: str, found: str) -> None:
    """The warning is given once, so it precedes a high quota; an exhausted quota precedes it."""
    judged = compare_with_last_success(Outcome(code, facts={"account": account}), success(facts={"account": "A"}), 3)
    assert judged.code == found


@pytest.mark.parametrize(
    ("code", "known", "version", "found"),
    [
        ("credential.uncompared", True, 3, "ok"),
        ("credential.uncompared", False, 3, "credential.unproven"),
        ("ok", False, 3, "credential.unproven"),
        ("ok", False, 2, "ok"),
        ("tls.expires_soon", False, 3, "tls.expires_soon"),
        ("credential.uncompared", None, 3, "credential.uncompared"),
    ],
)
def test_what_a_url_says_without_the_credential_stays_known(
    code: str, known: bool | None, version: int, found: str
) -> None:
    """A comparison counts for the same config only; a new one replaces the old one."""
    last = success(version=version, facts={} if known is None else {"credential_proven": known})
    judged = compare_with_last_success(Outcome(code), last, 3)
    assert judged.code == found
    assert judged.facts.get("credential_proven") == (known if version == 3 else None)
    assert credential_proven(last, 3) == (known if version == 3 else None)
    fresh = Outcome("ok", facts={"credential_proven": True})
    assert compare_with_last_success(fresh, last, 3) == fresh


@pytest.mark.parametrize(
    ("outcome", "provider", "needed"),
    [
        (OK, "http", True),
        (OK, "smtp", False),
        (Outcome("ok", facts={"account": "A"}), "zoom", True),
        (Outcome("server.error", facts={"account": "A"}), "zoom", False),
        (REJECTED, "http", False),
    ],
)
def test_the_last_success_is_read_only_where_it_counts(outcome: Outcome, provider: str, needed: bool) -> None:
    """A success with an account, or one of the provider http."""
    assert needs_last_success(outcome, provider) == needed


CLAIMED = Lease(NOW - timedelta(seconds=10), NOW, False, False)


@pytest.mark.case("reliability 1")
@pytest.mark.parametrize("outcome", [OK, TIMEOUT, REJECTED, BUSY, Outcome("http.rate_limited", retry_after_s=1800)])
@pytest.mark.parametrize("minutes", [1, 60])
def test_a_result_that_cannot_be_recorded_is_repeated_within_a_minute(outcome: Outcome, minutes: int) -> None:
    """A locked row delays its check by a minute from the claim, whatever the result was."""
    postponed = postpone(STANDING._replace(interval_minutes=minutes), outcome, "scheduled", CLAIMED)
    assert postponed.next_at is not None
    assert 44 <= (postponed.next_at - NOW).total_seconds() <= 50
    assert postponed.rejections == (1 if outcome is REJECTED else 0)


@pytest.mark.case("reliability 1")
@pytest.mark.parametrize(
    ("standing", "lease", "next_at"),
    [
        (STANDING._replace(rejections=2, status="error"), CLAIMED, None),
        (STANDING._replace(rejections=2), CLAIMED, NOW + timedelta(seconds=60 * jitter(STANDING.id) - 10)),
        (STANDING._replace(status="inactive"), CLAIMED, None),
        (STANDING, CLAIMED._replace(is_deleted=True), None),
        (STANDING, CLAIMED._replace(is_edited=True), NOW),
        (STANDING, CLAIMED._replace(claimed_at=NOW - timedelta(seconds=70)), NOW),
    ],
)
def test_a_result_that_cannot_be_recorded_stops_only_what_may_stop(
    standing: Standing, lease: Lease, next_at: datetime | None
) -> None:
    """Scheduled logins stop if the integration is in error already; else no one would learn that it is broken."""
    assert postpone(standing, REJECTED, "scheduled", lease).next_at == next_at


@pytest.mark.case("reliability 1")
def test_a_check_that_a_lock_prevented_is_repeated_within_a_minute() -> None:
    """`self.row_locked` changes no status; its next check follows within 60 seconds, or the interval."""
    settled = settle(STANDING._replace(interval_minutes=60), Outcome("self.row_locked"), "scheduled")
    assert (settled.status, settled.error_count, settled.next_in_s) == ("active", 0, 60 * jitter(STANDING.id))


@pytest.mark.case("reliability 2")
@pytest.mark.parametrize(
    ("minutes", "rejections", "last", "wait_s"),
    [
        (5, 0, LogMetadata(), 0),
        (5, 0, LogMetadata(code="ok"), 0),
        (5, 0, LogMetadata(retry_after_s=1800), 1800),
        (30, 0, LogMetadata(retry_after_s=1800), 0),
        (5, 0, LogMetadata(retry_after_s=10**9), 3600),
        (5, 1, LogMetadata(code="smtp.auth.rejected"), 1200),
        (5, 2, LogMetadata(), 3600),
        (5, 10**9, LogMetadata(), 3600),
        (60, 1, LogMetadata(), 0),
        (5, 0, LogMetadata(code="self.set_aside"), 3600),
    ],
)
def test_the_delays_longer_than_two_intervals(minutes: int, rejections: int, last: LogMetadata, wait_s: float) -> None:
    """Only a Retry-After, a refused login and a pause may delay a check beyond two intervals, up to one hour."""
    assert extra_wait_s(minutes, rejections, last) == wait_s


@pytest.mark.case("F02")
@pytest.mark.parametrize("code", [code for code, cause in CODES.items() if cause.slows])
def test_a_refusal_that_locks_no_account_never_stops_the_checks(code: str) -> None:
    """They become rare: four times as late each time, up to an hour, which the bound of a next time allows for."""
    waits = []
    standing = STANDING
    for _ in range(8):
        settled = settle(standing, Outcome(code), "scheduled")
        assert settled.status == "error"
        assert settled.rejections == 0
        assert settled.next_in_s is not None
        waits.append(settled.next_in_s)
        standing = standing._replace(error_count=settled.error_count, status=settled.status)
    assert waits == [1200.0] + [PAUSE_S] * 7
    assert extra_wait_s(5, 0, LogMetadata(code=code)) == PAUSE_S
    assert extra_wait_s(5, 0, LogMetadata(code="server.error")) == 0
    assert settle(standing, OK, "scheduled").next_in_s == pytest.approx(300 * jitter(STANDING.id))


def test_only_refusals_of_a_credential_stop_the_checks() -> None:
    """What cannot lock an account is no rejection."""
    stops = {code for code, cause in CODES.items() if cause.rejection}
    assert stops == {"smtp.auth.rejected", "http.auth.rejected", "reauthorise"}
