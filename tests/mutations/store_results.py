"""Mutations of intctl.store.results."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "record: no token clause (fence)",
        "intctl.store.results:_own",
        "if row and row.lease_token == result.claimed.lease_token]",
        "if row]",
        "tests/store/test_claims.py::test_the_token_decides_even_for_the_same_owner",
    ),
    Mutation(
        "record: no config_version guard",
        "intctl.store.results:_lease",
        "row.config_version != claimed.config_version,",
        "False,",
        "tests/store/test_claims.py::test_an_edit_during_the_probe_keeps_its_status_and_is_checked_again_at_once",
    ),
    Mutation(
        "record: a deletion is not looked at",
        "intctl.store.results:_lease",
        "row.deleted_at is not None)",
        "False)",
        "tests/store/test_claims.py::test_a_deletion_during_the_probe_is_final",
    ),
    Mutation(
        "record: the rows are not locked",
        "intctl.store.results:_record",
        'locked="s, i"',
        'locked=""',
        "tests/store/test_claims.py::test_a_change_that_is_under_way_is_kept",
    ),
    Mutation(
        "record: a locked row is a lost lease",
        "intctl.store.results:record",
        "_locked(database, owner, [one for one in results if one.claimed.id not in recorded])",
        "frozenset()",
        "tests/store/test_locked_rows.py::test_a_locked_row_delays_only_its_own_result",
    ),
    Mutation(
        "hold back: the lease stays",
        "intctl.store.results:_HOLD_BACK",
        "{lease.GIVE_BACK}, rejections",
        "rejections",
        "tests/store/test_locked_rows.py::test_a_result_is_held_back",
    ),
    Mutation(
        "set aside: a locked row is waited for",
        "intctl.store.results:set_aside",
        '_STUCK + lease.lock(database.dialect, "s, i")',
        "_STUCK",
        "tests/store/test_locked_rows.py::test_a_stuck_row_is_paused_when_its_lock_has_ended",
    ),
    Mutation(
        "record: attempts are not forgotten",
        "intctl.store.results:_WRITE_POSTGRESQL",
        "{lease.RELEASE}, attempts = 0,\n         rejections = g.rejections",
        "{lease.RELEASE},\n         rejections = g.rejections",
        "tests/store/test_claims.py::test_a_result_is_recorded_with_log_and_status_together",
    ),
    Mutation(
        "record: the status stays",
        "intctl.store.results:_WRITE_POSTGRESQL",
        "FROM given g WHERE i.id = g.id AND g.settles)",
        "FROM given g WHERE i.id = g.id AND NOT g.settles)",
        "tests/store/test_claims.py::test_a_result_is_recorded_with_log_and_status_together",
    ),
    Mutation(
        "record: what an earlier try wrote is not looked for",
        "intctl.store.results:record",
        "    if again:\n        recorded |=",
        "    if False:\n        recorded |=",
        "tests/chaos/test_database.py::test_a_commit_of_results_whose_reply_is_lost",
    ),
    Mutation(
        "record: one bad result ends all",
        "intctl.store.results:record",
        "    except _ITS_OWN_FAULT:\n        recorded = {}",
        "    except ZeroDivisionError:\n        recorded = {}",
        "tests/store/test_claims.py::test_a_result_that_is_not_taken_spoils_no_other",
    ),
    Mutation(
        "set aside: < for <= in the lease that must be over",
        "intctl.store.results:_STUCK",
        "AND (s.lease_expires_at IS NULL OR s.lease_expires_at <= {{now}})",
        "",
        "tests/store/test_claims.py::test_what_is_still_being_checked_is_not_set_aside",
    ),
    Mutation(
        "set aside: the attempts stay",
        "intctl.store.results:_SET_ASIDE",
        "{lease.RELEASE}, attempts = 0,\n       next_check_at = CASE",
        "{lease.RELEASE},\n       next_check_at = CASE",
        "tests/store/test_claims.py::test_three_claims_without_a_result_are_set_aside",
    ),
)
