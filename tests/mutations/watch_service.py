"""Mutations of intctl.watch.service."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "end: nothing is noted over a new connection",
        "intctl.watch.service:Watch._note",
        "noted = persist(database, finish, until)",
        "noted = finish(False)",
        "tests/chaos/test_database.py::test_a_reply_that_is_lost",
    ),
)
