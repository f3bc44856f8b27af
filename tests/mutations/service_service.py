"""Mutations of intctl.service.service."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "end: nothing is noted over a new connection",
        "intctl.service.service:PassRunner._note",
        "noted = persist(database, finish, until)",
        "noted = finish(False)",
        "tests/chaos/test_database.py::test_a_reply_that_is_lost",
    ),
)
