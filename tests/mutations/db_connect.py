"""Mutations of intctl.db.connect."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "claim on SQLite: the write lock is taken late",
        "intctl.db.connect:Database.__init__",
        'self._begin = "BEGIN IMMEDIATE"',
        'self._begin = "BEGIN DEFERRED"',
        "tests/db/test_connect.py::test_who_has_read_in_a_transaction_can_still_write",
    ),
)
