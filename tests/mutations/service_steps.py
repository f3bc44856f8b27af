"""Mutations of intctl.service.steps."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "end: nothing is noted over a new connection",
        "intctl.service.steps:note",
        "one.noted = persist(one.database, finish, one.until(ends))",
        "one.noted = finish(False)",
        "tests/chaos/test_database.py::test_a_reply_that_is_lost",
    ),
    Mutation(
        "budget: the notifications come on top",
        "intctl.service.steps:tell",
        "ends = min(ends, one.telling_ends - around.reporter.change_limit_s)",
        "pass",
        "tests/cli/test_watch.py::test_the_budget_covers_the_notifications",
    ),
)
