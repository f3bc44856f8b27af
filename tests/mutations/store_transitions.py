"""Mutations of intctl.store.transitions."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "tell: a mark whose answer was lost is another's",
        "intctl.store.transitions:mark_delivered",
        "return again and database.row(_IS_TOLD, key) is not None",
        "return False",
        "tests/store/test_transitions.py::test_a_death_in_between_is_told_again",
    ),
    Mutation(
        "tell: in maintenance too",
        "intctl.store.transitions:_PENDING",
        '_PENDING = f"{_WAITING} AND (t.quiet_until IS NULL OR t.quiet_until <= {{now}})"',
        "_PENDING = _WAITING",
        "tests/notify/test_rules.py::test_maintenance_is_quiet_until_it_is_over",
    ),
)
