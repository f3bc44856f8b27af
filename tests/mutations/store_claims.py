"""Mutations of intctl.store.claims."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "claim: no SKIP LOCKED",
        "intctl.store.claims:_CLAIM_POSTGRESQL",
        "FOR UPDATE OF s SKIP LOCKED)",
        "FOR UPDATE OF s)",
        "tests/store/test_claims.py::test_rows_that_somebody_has_locked_are_passed_over",
    ),
    Mutation(
        "claim: IN (SELECT … LIMIT …) instead of the CTE",
        "intctl.store.claims:_CLAIM_POSTGRESQL",
        """WITH due AS MATERIALIZED ({_CANDIDATES.replace("{wanted}", _INTEGRATION.replace("{i}", "i"))}
   FOR UPDATE OF s SKIP LOCKED)
UPDATE integration_schedules s SET {lease.take("s")} FROM due
 WHERE s.integration_id = due.id RETURNING""",
        """UPDATE integration_schedules s SET {lease.take("s")} FROM integrations due
 WHERE s.integration_id = due.id AND s.integration_id IN (
 {_CANDIDATES.replace("{wanted}", "s.integration_id")} FOR UPDATE OF s SKIP LOCKED) RETURNING""",
        "tests/store/test_claims.py::test_no_plan_takes_more_than_there_are_slots",
    ),
    Mutation(
        "claim: no limit",
        "intctl.store.claims:_CANDIDATES",
        "ORDER BY s.next_check_at LIMIT :free_slots",
        "ORDER BY s.next_check_at LIMIT :free_slots + 99",
        "tests/store/test_claims.py::test_the_longest_due_come_first_and_no_more_than_there_are_slots",
    ),
    Mutation(
        "claim: not the longest due first",
        "intctl.store.claims:_CANDIDATES",
        "ORDER BY s.next_check_at LIMIT",
        "ORDER BY s.next_check_at DESC LIMIT",
        "tests/store/test_claims.py::test_the_longest_due_come_first_and_no_more_than_there_are_slots",
    ),
    Mutation(
        "claim: > for <= in what is due",
        "intctl.store.claims:_CANDIDATES",
        "WHERE s.next_check_at <= {{start}}",
        "WHERE s.next_check_at > {{start}}",
        "tests/store/test_claims.py::test_what_is_off_or_not_due_is_left_alone",
    ),
    Mutation(
        "claim: a valid lease counts for nothing",
        "intctl.store.claims:_CANDIDATES",
        'AND {lease.is_free("s", now="{start}")} AND s.attempts {{attempts}}',
        "AND s.attempts {{attempts}}",
        "tests/store/test_claims.py::test_what_is_due_is_claimed_once",
    ),
    Mutation(
        "claim: by name a valid lease counts for nothing",
        "intctl.store.claims:_FREE",
        'WHERE s.integration_id = :id AND {lease.is_free("s", now="{start}")}',
        "WHERE s.integration_id = :id",
        "tests/store/test_claims.py::test_what_is_due_is_claimed_once",
    ),
    Mutation(
        "claim: the organisation is not looked at",
        "intctl.store.claims:claim_due",
        '"AND i.org_id = :org_id" if org_id else ""',
        '"AND :org_id = :org_id" if org_id else ""',
        "tests/store/test_claims.py::test_an_agent_may_be_kept_to_one_organisation",
    ),
    Mutation(
        "claim: what is off too",
        "intctl.store.claims:_CANDIDATES",
        "AND i.deleted_at IS NULL AND i.status IN ({_ENABLED}) {{scope}}",
        "{{scope}}",
        "tests/store/test_claims.py::test_what_another_program_switched_off_is_left_alone",
    ),
    Mutation(
        "claim: <= for < in the attempts of the many",
        "intctl.store.claims:claim_due",
        'else f"< {MAX_ATTEMPTS - 1}"',
        'else f"<= {MAX_ATTEMPTS - 1}"',
        "tests/store/test_claims.py::test_three_claims_without_a_result_are_set_aside",
    ),
    Mutation(
        "claim: a time in the far future is not pulled forward",
        "intctl.store.claims:_PULL_FORWARD",
        "AND s.next_check_at > {after :bound_s}",
        "AND s.next_check_at < {after :bound_s}",
        "tests/store/test_claims.py::test_a_clock_that_went_back_stops_nothing",
    ),
    Mutation(
        "claim: the bound of a next time is the same for all",
        "intctl.store.claims:_ahead",
        "bound_s = wait_s or row.two_intervals_s",
        "bound_s = 7500.0",
        "tests/store/test_claims.py::test_a_clock_that_was_ahead_delays_no_check",
    ),
    Mutation(
        "claim: a locked row is not tried again",
        "intctl.store.claims:_given_back",
        "if database.dialect != POSTGRESQL or database.row(left, parameters) is None:",
        "if True:",
        "tests/store/test_locked_rows.py::test_a_lease_is_given_back_when_a_short_lock_ends",
    ),
    Mutation(
        "give back: another owner's too",
        "intctl.store.claims:_GIVE_BACK",
        " WHERE s.lease_owner = :owner AND {{which}}",
        " WHERE {{which}} AND :owner = :owner",
        "tests/store/test_claims.py::test_given_back_is_due_again_and_uncounted",
    ),
)
