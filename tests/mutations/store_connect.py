"""Mutations of intctl.store.connect."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "claim on SQLite: the write lock is taken late",
        "intctl.store.connect:Database.__init__",
        'self._begin = "BEGIN IMMEDIATE"',
        'self._begin = "BEGIN DEFERRED"',
        "tests/store/test_connect.py::test_who_has_read_in_a_transaction_can_still_write",
    ),
)
