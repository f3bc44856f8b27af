"""Mutations of intctl.store.transitions."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "tell: a mark whose answer was lost is another's",
        "intctl.store.transitions:mark_delivered",
        "return again and database.row(",
        "return False and database.row(",
        "tests/store/test_transitions.py::test_a_death_in_between_is_told_again",
    ),
    Mutation(
        "tell: in maintenance too",
        "intctl.store.transitions:_PENDING",
        " AND (t.quiet_until IS NULL OR t.quiet_until <= {{now}})",
        "",
        "tests/notify/test_rules.py::test_maintenance_is_quiet_until_it_is_over",
    ),
    Mutation(
        "deliver: before the next attempt is due",
        "intctl.store.transitions:_PENDING",
        "AND {_IS_TIME} AND",
        "AND",
        "tests/notify/test_rules.py::test_the_schedule_then_a_dead_letter",
    ),
    Mutation(
        "deliver: a newer change beside an older one",
        "intctl.store.transitions:_NEWEST",
        ' OR NOT {lease.is_free("o")}',
        "",
        "tests/store/test_transitions.py::test_of_one_integration_the_newest_is_claimed",
    ),
    Mutation(
        "deliver: an older change on its own",
        "intctl.store.transitions:_NEWEST",
        "(o.failed_at IS NULL AND {_NEWER})",
        "FALSE",
        "tests/store/test_transitions.py::test_of_one_integration_the_newest_is_claimed",
    ),
    Mutation(
        "deliver: what was missed is not marked",
        "intctl.store.transitions:mark_delivered",
        'database.run(_TOLD_WITH, {"id": older.id, "newer": one.id})',
        "pass",
        "tests/notify/test_rules.py::test_a_newer_change_is_delivered_at_once_with_those_it_missed",
    ),
    Mutation(
        "deliver: what a dead letter missed starts again",
        "intctl.store.transitions:mark_failed",
        'database.run(_BURY_WITH, {"id": older.id, "error": failure.error})',
        "pass",
        "tests/notify/test_rules.py::test_a_dead_letter_takes_those_it_missed_along",
    ),
    Mutation(
        "deliver: a mark of a failure without its lease",
        "intctl.store.transitions:_OURS",
        " AND lease_token = :lease_token",
        "",
        "tests/store/test_transitions.py::test_an_earlier_lease_of_the_same_agent_marks_nothing",
    ),
    Mutation(
        "deliver: a next attempt in the far future",
        "intctl.store.transitions:_IS_TIME",
        "{lease.is_past('t.next_attempt_at', longest_s=LATEST_ATTEMPT_S)}",
        "t.next_attempt_at <= {{now}}",
        "tests/notify/test_rules.py::test_a_next_attempt_from_a_clock_that_was_set_back",
    ),
    Mutation(
        "prune: a pending change",
        "intctl.store.transitions:_PRUNE",
        "coalesce(t.told_at, t.failed_at) <",
        "coalesce(t.told_at, t.failed_at, t.changed_at) <",
        "tests/store/test_transitions.py::test_a_pending_change_is_never_too_old",
    ),
)
