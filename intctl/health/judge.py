"""How an outcome changes an integration: the rules of health, as functions on values without a database.

An outcome is judged in three steps: a throttled reply is weighed against the last proof (`apply_throttling`), a
success is compared with the previous one (`compare_with_last_success`), and the result becomes a status and the
time of the next check (`settle`).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from intctl.health.codes import CODES
from intctl.health.log_entry import NO_METADATA, LogMetadata
from intctl.health.outcome import Outcome
from intctl.health.status import LOG_STATUS, is_enabled

#: A pause after claims that never completed, and the longest delay of a refused login or a Retry-After, in seconds.
PAUSE_S = 3600.0
#: Scheduled logins stop after this many definite rejections, until a person acts.
MAX_REJECTIONS = 3
#: Consecutive scheduled timeouts and resets that put an integration into error.
FAILURE_THRESHOLD = 2
#: Below that threshold, the next check follows within this many seconds.
RECHECK_S = 60.0
#: A check whose result could not be recorded, because its row is locked, is repeated within this many seconds.
HELD_BACK_S = 60.0
#: Consecutive failures from which an outage counts as long and is checked less often.
LONG_OUTAGE = 10
# The codes of a check that did not ask the relay.
_RELAY = ("relay.unproven", "tls.expires_soon")
#: Replies that neither prove nor disprove a credential.
NO_PROOF = frozenset({"http.rate_limited", "temporary"})
#: How long the last proof holds while there are only such replies, in seconds; or two intervals, if that is longer.
PROOF_HOLDS_S = 3600.0
#: How far in the future a proof may lie, in seconds: beyond that, the clock was set back.
CLOCK_TOLERANCE_S = 40.0
#: How often the schedule asks a relay to take a mail, in seconds.
RELAY_ASKED_EVERY_S = 3600.0
#: How much earlier than two intervals a throttled check comes, in seconds: the timer's minute and the check itself.
BACK_OFF_MARGIN_S = 90.0


class Standing(NamedTuple):
    """The state of an integration before an outcome is applied."""

    id: str
    status: str
    error_count: int
    error_message: str | None
    rejections: int
    interval_minutes: int


class LastSuccess(NamedTuple):
    """The last successful check: its log, its time, and the events after it.

    `failed_at` is the newest failure since; `off_at` is when the integration was last switched off. A time is None
    if it is not known or there was no such event.
    """

    metadata: LogMetadata = NO_METADATA
    checked_at: datetime | None = None
    failed_at: datetime | None = None
    off_at: datetime | None = None


class Settled(NamedTuple):
    """The new state of an integration. `next_in_s` counts from the claim; None means never."""

    status: str
    error_count: int
    error_message: str | None
    rejections: int
    next_in_s: float | None


class Lease(NamedTuple):
    """The lease that a check ran under, as the row shows it when its result is recorded.

    `is_edited`: the config is no longer the one that was checked. `is_deleted`: the integration is gone.
    """

    claimed_at: datetime
    now: datetime
    is_edited: bool
    is_deleted: bool


class Decision(NamedTuple):
    """What to write for the result of a claimed check: the schedule, and the integration if `settles` is true.

    `log_status` is the status in the health log. A deleted integration gets no log (`logs` is false).
    """

    settled: Settled
    rejections: int
    next_at: datetime | None
    settles: bool
    logs: bool
    log_status: str


class Postponed(NamedTuple):
    """What to write to the schedule alone, for a result that cannot be recorded."""

    rejections: int
    next_at: datetime | None


def settle(standing: Standing, outcome: Outcome, check_type: str) -> Settled:
    """Turn an outcome into a status and the time of the next check. Nothing else does this."""
    cause = CODES[outcome.code]
    interval_s = standing.interval_minutes * 60.0
    wait_s = interval_s
    status, count, message = standing.status, standing.error_count, standing.error_message
    rejections = 0 if check_type != "scheduled" else standing.rejections
    if outcome.code in ("http.rate_limited", "provider.busy"):
        wait_s = backed_off(interval_s)
    elif outcome.code == "self.row_locked":
        wait_s = min(interval_s, HELD_BACK_S)
    if cause.verdict in ("healthy", "degraded"):
        status, count, message, rejections = "active", 0, None, 0
    elif cause.verdict != "unknown":
        count, message = count + 1, outcome.message
        # A timeout or a reset may be temporary, but a check that a person runs reports it as an error at once.
        if check_type != "scheduled" or not cause.transient or count >= FAILURE_THRESHOLD:
            status = "error"
        else:
            wait_s = min(interval_s, RECHECK_S)
        if count >= LONG_OUTAGE:
            wait_s = backed_off(interval_s)
    next_in_s: float | None = max(wait_s * jitter(standing.id), float(outcome.retry_after_s or 0))
    if cause.rejection:
        # Repeated logins with a wrong password lock accounts: slow down, then stop.
        rejections += 1
        next_in_s = None if rejections >= MAX_REJECTIONS else _slowed_down(interval_s, rejections)
    elif cause.slows:
        next_in_s = max(_slowed_down(interval_s, min(count, MAX_REJECTIONS)), float(outcome.retry_after_s or 0))
    if not is_enabled(standing.status):
        status, next_in_s = standing.status, None
    return Settled(status, count, message, rejections, next_in_s)


def decide(standing: Standing, outcome: Outcome, check_type: str, lease: Lease) -> Decision:
    """Decide what to write for the result of a claimed check.

    An integration that was edited during the check keeps its status and is due again at once: the result says nothing
    about the new config.
    """
    settled = settle(standing, outcome, check_type)
    next_at = None if settled.next_in_s is None else lease.claimed_at + timedelta(seconds=settled.next_in_s)
    if next_at and outcome.retry_after_s:
        next_at = max(next_at, lease.now + timedelta(seconds=outcome.retry_after_s))
    rejections = settled.rejections
    if lease.is_edited and is_enabled(standing.status):
        next_at, rejections = lease.now, 0
    return Decision(
        settled=settled,
        rejections=rejections,
        next_at=None if lease.is_deleted else next_at,
        settles=not (lease.is_edited or lease.is_deleted),
        logs=not lease.is_deleted,
        log_status="unknown" if lease.is_edited else LOG_STATUS[outcome.verdict],
    )


def postpone(standing: Standing, outcome: Outcome, check_type: str, lease: Lease) -> Postponed:
    """Decide when a check is repeated whose result cannot be recorded.

    Refused logins count although they are not recorded, so that a locked row does not lock an account. They stop the
    check only where an earlier result shows the integration in error: else no one would learn that it is broken.
    """
    decision = decide(standing, outcome, check_type, lease)
    stops = decision.next_at is None and (lease.is_deleted or standing.status != "active")
    soon = max(lease.now, lease.claimed_at + timedelta(seconds=HELD_BACK_S * jitter(standing.id)))
    return Postponed(decision.rejections, None if stops else lease.now if lease.is_edited else soon)


def jitter(id: str) -> float:
    """Return a factor in 0.90 … 1.00, always the same for one id: it spreads the checks and delays none."""
    return 0.90 + 0.10 * (zlib.crc32(id.encode()) / 0xFFFFFFFF)


def backed_off(interval_s: float) -> float:
    """Return the longest delay that keeps a check within two intervals, and at least one interval."""
    return max(interval_s, 2 * interval_s - BACK_OFF_MARGIN_S)


def _slowed_down(interval_s: float, rejections: int) -> float:
    return min(interval_s * 4.0**rejections, PAUSE_S)


def extra_wait_s(interval_minutes: int, rejections: int, last: LogMetadata) -> float:
    """Return how long the next check may wait beyond two intervals, in seconds from now; 0 if it may not.

    `last` is the newest log: a refusal, a Retry-After and a pause have delays of their own. A check that is due
    later was scheduled by a clock that was ahead.
    """
    waits = [float(last.retry_after_s or 0)]
    if rejections > 0:
        waits.append(_slowed_down(interval_minutes * 60.0, min(rejections, MAX_REJECTIONS)))
    if last.code == "self.set_aside" or (last.code in CODES and CODES[last.code].slows):
        waits.append(PAUSE_S)
    longest_s = min(max(waits), PAUSE_S)
    return longest_s if longest_s > 120.0 * interval_minutes else 0.0


# --- comparison with the last success ------------------------------------------------------------


def needs_last_proof(outcome: Outcome) -> bool:
    """Return whether `apply_throttling`, or the account comparison, could change this outcome."""
    return _proves_nothing(outcome) or "account" in outcome.facts


def needs_last_success(outcome: Outcome, provider: str) -> bool:
    """Return whether `compare_with_last_success` could change this outcome."""
    kept = provider in ("http", "caldav") or outcome.code in _RELAY
    return outcome.verdict in ("healthy", "degraded") and ("account" in outcome.facts or kept)


def as_unverified(outcome: Outcome) -> Outcome:
    """Return the outcome for an unproven config: a throttled request says nothing about the credential."""
    return replace(outcome, code="provider.busy") if _proves_nothing(outcome) else outcome


def apply_throttling(
    outcome: Outcome, last: LastSuccess | None, *, config_version: int, interval_minutes: int, now: datetime
) -> Outcome:
    """Return the outcome of a throttled reply, given the last success.

    The integration is degraded while the last proof of the same config is recent and the integration has neither
    failed nor been off since; `facts["proven_at"]` keeps the time of the proof. Otherwise its health is unknown.
    """
    if not _proves_nothing(outcome):
        return outcome
    if last is None or last.metadata.config_version != config_version:
        return as_unverified(outcome)
    proven_at = _proven_at(last)
    if proven_at is None:
        return as_unverified(outcome)
    age_s = (now - proven_at).total_seconds()
    holds_s = max(PROOF_HOLDS_S, 120.0 * interval_minutes)
    since = [moment for moment in (last.failed_at, last.off_at) if moment is not None and moment >= proven_at]
    if since or not -CLOCK_TOLERANCE_S < age_s <= holds_s:
        return as_unverified(outcome)
    return replace(outcome, facts={**outcome.facts, "proven_at": proven_at.isoformat()})


def compare_with_last_success(outcome: Outcome, last: LastSuccess | None, config_version: int) -> Outcome:
    """Return the outcome of a healthy exchange, given the last success.

    A different account is a warning (`account.changed`). It is given only once, so it takes precedence over a high
    quota, which the next check reports too. The result of a request without the credential, and of a relay that was
    asked to take a mail, is kept for the same config until a later check repeats it.
    """
    before, account = _facts(last).get("account"), outcome.facts.get("account")
    if outcome.code in ("ok", "quota.high") and before is not None and account is not None and before != account:
        return replace(outcome, code="account.changed", detail=f"it was {before}, now it is {account}")
    is_relay = outcome.code == "relay.unproven" or "relay_asked_at" in _facts(last)
    if is_relay and outcome.code in _RELAY and "relay_proven" not in outcome.facts:
        return _with_relay(outcome, last, config_version)
    proven = credential_proven(last, config_version)
    if proven is None or "credential_proven" in outcome.facts:
        return outcome
    code = outcome.code
    if code in ("ok", "credential.uncompared"):
        code = "ok" if proven else "credential.unproven"
    return replace(outcome, code=code, facts={**outcome.facts, "credential_proven": proven})


def credential_proven(last: LastSuccess | None, config_version: int) -> object:
    """Return whether a check proved the credential of this version of the config; None if unknown."""
    if last is None or last.metadata.config_version != config_version:
        return None
    return _facts(last).get("credential_proven")


def _with_relay(outcome: Outcome, last: LastSuccess | None, config_version: int) -> Outcome:
    """Return the outcome of a check that the relay did not answer, with what it said when it was asked last.

    A 4xx at RCPT is no answer: the check is degraded, and the earlier proof holds for those that follow.
    """
    kept = {name: value for name, value in _facts(last).items() if name in ("relay_asked_at", "relay_proven")}
    if last is None or last.metadata.config_version != config_version or not kept:
        return outcome
    found = replace(outcome, facts={**kept, **outcome.facts})
    if outcome.code != "relay.unproven" or "relay_asked_at" in outcome.facts:
        return found
    if kept.get("relay_proven") is True:
        return replace(found, code="ok")
    return replace(found, detail=last.metadata.detail if last.metadata.code == "relay.unproven" else "")


def relay_was_asked(last: LastSuccess | None, config_version: int, status: str, now: float) -> bool:
    """Return whether the relay need not be asked now: it was within the last hour, and has not failed since.

    `now` is a UNIX time in seconds.
    """
    if last is None or last.metadata.config_version != config_version or status != "active":
        return False
    try:
        asked_at = datetime.fromisoformat(str(_facts(last).get("relay_asked_at"))).timestamp()
    except ValueError:
        return False
    return 0 <= now - asked_at < RELAY_ASKED_EVERY_S


def _proves_nothing(outcome: Outcome) -> bool:
    """Return whether the provider throttled the request before it accepted the login or issued a token.

    A token of a mail provider proves nothing: the mail server is another party.
    """
    if outcome.code == "temporary":
        return outcome.phase != "api"
    return outcome.code in NO_PROOF and not outcome.facts.get("token_exchanged")


def _proven_at(last: LastSuccess) -> datetime | None:
    """Return when the credential was last proved: a throttled success carries the time of the earlier proof."""
    handed_on = _facts(last).get("proven_at")
    if handed_on is None:
        return last.checked_at
    try:
        moment = datetime.fromisoformat(str(handed_on))
    except ValueError:  # another program's row
        return None
    return moment if moment.tzinfo else None


def _facts(last: LastSuccess | None) -> Mapping[str, Any]:
    return last.metadata.facts if last is not None else NO_METADATA.facts
