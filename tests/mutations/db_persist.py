"""Mutations of intctl.db.persist."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "trouble: nothing is tried again",
        "intctl.db.persist:patiently",
        "if not _passing(error):",
        "if True:",
        "tests/chaos/test_database.py::test_read_only_for_a_while",
    ),
    Mutation(
        "trouble: tried again over the same connection",
        "intctl.db.persist:persist",
        "if again or database.lost:",
        "if False:",
        "tests/chaos/test_database.py::test_an_immediate_restart_during_the_probes",
    ),
)
