"""Mutations of intctl.health.judge."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "judge: a refused login does not count while its row is locked",
        "intctl.health.judge:postpone",
        "return Postponed(decision.rejections,",
        "return Postponed(standing.rejections,",
        "tests/health/test_judge.py::test_a_result_that_cannot_be_recorded_is_repeated_within_a_minute",
    ),
    Mutation(
        "judge: a Retry-After is no reason for a long wait",
        "intctl.health.judge:extra_wait_s",
        "waits = [float(last.retry_after_s or 0)]",
        "waits = [0.0]",
        "tests/store/test_claims.py::test_a_delay_of_its_own_is_kept",
    ),
    Mutation(
        "record: uptime for an earlier config",
        "intctl.health.judge:decide",
        '"unknown" if lease.is_edited else LOG_STATUS',
        "LOG_STATUS",
        "tests/store/test_claims.py::test_an_edit_during_the_probe_keeps_its_status_and_is_checked_again_at_once",
    ),
    Mutation(
        "record: a throttled integration is healthy again",
        "intctl.health.judge:apply_throttling",
        "if since or not -CLOCK",
        "if not -CLOCK",
        "tests/store/test_claims.py::test_who_is_put_off_is_not_well_again",
    ),
    Mutation(
        "record: a proof of another config",
        "intctl.health.judge:apply_throttling",
        "if last is None or last.metadata.config_version != config_version:",
        "if last is None:",
        "tests/store/test_claims.py::test_who_is_put_off_knows_nothing_new",
    ),
    Mutation(
        "record: a proof for ever",
        "intctl.health.judge:apply_throttling",
        "if since or not -CLOCK_TOLERANCE_S < age_s <= holds_s:",
        "if since:",
        "tests/store/test_claims.py::test_who_is_put_off_knows_nothing_new",
    ),
    Mutation(
        "record: a login that was accepted proves nothing",
        "intctl.health.judge:_proves_nothing",
        'return outcome.phase != "api"',
        "return True",
        "tests/store/test_claims.py::test_who_is_put_off_after_the_login_has_proved_it",
    ),
    Mutation(
        "record: > for >= in the failures that make an error",
        "intctl.health.judge:settle",
        "or count >= FAILURE_THRESHOLD:",
        "or count > FAILURE_THRESHOLD:",
        "tests/health/test_judge.py::test_what_an_outcome_makes_of_the_status",
    ),
    Mutation(
        "record: > for >= in the refused logins",
        "intctl.health.judge:settle",
        "rejections >= MAX_REJECTIONS",
        "rejections > MAX_REJECTIONS",
        "tests/store/test_claims.py::test_a_dead_password_stops_after_three_logins",
    ),
    Mutation(
        "record: the next time counts from the end",
        "intctl.health.judge:decide",
        "None if settled.next_in_s is None else lease.claimed_at +",
        "None if settled.next_in_s is None else lease.now +",
        "tests/health/test_judge.py::test_the_next_time_counts_from_the_claim",
    ),
    Mutation(
        "record: a back-off beyond two intervals",
        "intctl.health.judge:backed_off",
        "2 * interval_s - BACK_OFF_MARGIN_S)",
        "2 * interval_s + BACK_OFF_MARGIN_S)",
        "tests/health/test_judge.py::test_when_it_is_checked_next",
    ),
    Mutation(
        "record: no second look soon",
        "intctl.health.judge:settle",
        "wait_s = min(interval_s, RECHECK_S)",
        "pass",
        "tests/health/test_judge.py::test_when_it_is_checked_next",
    ),
)
