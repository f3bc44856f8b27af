"""Mutations of intctl.db.lease."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "lease: locked rows are waited for",
        "intctl.db.lease:lock",
        " SKIP LOCKED",
        "",
        "tests/store/test_locked_rows.py::test_a_locked_row_delays_only_its_own_result",
    ),
    Mutation(
        "lease: a foreign key check conflicts",
        "intctl.db.lease:lock",
        "FOR NO KEY UPDATE OF",
        "FOR UPDATE OF",
        "tests/store/test_locked_rows.py::test_a_locked_row_delays_only_its_own_result",
    ),
    Mutation(
        "claim: > for <= in a lease that has run out",
        "intctl.db.lease:is_past",
        "{expiry} <= {now} OR",
        "{expiry} > {now} OR",
        "tests/store/test_claims.py::test_a_stale_result_is_dropped",
    ),
    Mutation(
        "claim: the token does not rise",
        "intctl.db.lease:take",
        "lease_token = {alias}.lease_token + 1",
        "lease_token = {alias}.lease_token + 0",
        "tests/store/test_claims.py::test_what_is_due_is_claimed_once",
    ),
    Mutation(
        "claim: attempts are not counted",
        "intctl.db.lease:take",
        "attempts = {alias}.attempts + 1",
        "attempts = {alias}.attempts + 0",
        "tests/store/test_claims.py::test_three_claims_without_a_result_are_set_aside",
    ),
    Mutation(
        "claim: a lease from the far future counts",
        "intctl.db.lease:is_past",
        ' OR {expiry} > {{after {longest_s}}}"',
        '"',
        "tests/store/test_claims.py::test_a_clock_that_went_back_stops_nothing",
    ),
    Mutation(
        "claim: the lease is counted from its answer",
        "intctl.db.lease:length",
        "return time.monotonic() + lease_s - SAFETY_S, lease_s",
        "return time.monotonic() + lease_s, lease_s",
        "tests/test_agent.py::test_a_lease_counts_from_before_it_was_asked_for",
    ),
    Mutation(
        "record: no owner clause (fence)",
        "intctl.db.lease:is_held",
        "{alias}.lease_owner = :owner AND",
        "{alias}.lease_owner IS NOT NULL AND",
        "tests/store/test_claims.py::test_the_owner_decides_even_for_the_same_token",
    ),
    Mutation(
        "record: no expiry clause (fence)",
        "intctl.db.lease:is_held",
        ' AND {alias}.lease_expires_at > {{now}}"',
        '"',
        "tests/store/test_claims.py::test_a_stale_result_is_dropped",
    ),
    Mutation(
        "give back: it counts as an attempt",
        "intctl.db.lease:GIVE_BACK",
        "attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END",
        "attempts = attempts + 0",
        "tests/store/test_claims.py::test_given_back_is_due_again_and_uncounted",
    ),
)
