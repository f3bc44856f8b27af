"""Mutations of intctl.notify.rules."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "tell: what came and went in maintenance",
        "intctl.notify.rules:_drop_passing",
        "left = [] if same else changes[-1:]",
        "left = changes[-1:]",
        "tests/notify/test_rules.py::test_what_came_and_went_in_maintenance_is_not_told",
    ),
    Mutation(
        "tell: not before the planned end of maintenance",
        "intctl.notify.rules:hold_back_in_maintenance",
        "if one.quiet_until != quiet and (quiet is not None or (one.quiet_until or now) > now):",
        "if one.quiet_until != quiet and quiet is not None:",
        "tests/notify/test_rules.py::test_maintenance_that_is_ended_early",
    ),
    Mutation(
        "deliver: a failure of one notifier is no failure",
        "intctl.notify.rules:_Claimed.failed",
        'if one.status in ("failed", "not_started")',
        'if one.status == "failed"',
        "tests/notify/test_rules.py::test_a_change_that_one_notifier_failed_to_deliver_is_retried_by_all",
    ),
    Mutation(
        "deliver: an agent that is killed in each attempt starts for ever",
        "intctl.notify.rules:Outbox._has_no_attempt_left",
        "return one.attempts > 1 and one.attempts > self._schedule(one.org_id, until)[0].attempts",
        "return False",
        "tests/notify/test_rules.py::test_an_agent_that_is_killed_in_each_attempt",
    ),
    Mutation(
        "deliver: dead letters that are not wanted are kept",
        "intctl.notify.rules:Outbox._retry",
        "if delay_s is None and not schedule.keeps_dead_letters:",
        "if False:",
        "tests/notify/test_rules.py::test_an_organisation_without_dead_letters",
    ),
)
