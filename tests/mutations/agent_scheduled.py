"""Mutations of intctl.agent.scheduled."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "claim: suspects all at once",
        "intctl.agent.scheduled:_Due.claim",
        "        if self._suspects and not suspect:\n",
        "        if self._suspects:\n",
        "tests/test_agent.py::test_what_was_never_finished_twice_is_taken_one_at_a_time",
    ),
    Mutation(
        "claim: suspects never",
        "intctl.agent.scheduled:_Due.__init__",
        "self._suspects = anomalies.suspects",
        "self._suspects = False",
        "tests/test_agent.py::test_what_was_never_finished_twice_is_taken_one_at_a_time",
    ),
    Mutation(
        "claim: what a lost answer took is kept",
        "intctl.agent.scheduled:_Due._claim",
        "claims.give_back_unknown(work.database, work.owner, known)",
        "pass",
        "tests/chaos/test_database.py::test_a_reply_that_is_lost",
    ),
    Mutation(
        "set aside: never",
        "intctl.agent.scheduled:_Due.__init__",
        "if anomalies.stuck:",
        "if False:",
        "tests/test_agent.py::test_three_checks_without_a_result_are_set_aside_and_said",
    ),
    Mutation(
        "trouble: a pass may last for ever",
        "intctl.agent.scheduled:fuse",
        "    fuse.start()\n",
        "",
        "tests/chaos/test_database.py::test_a_pass_that_the_database_holds_for_ever",
    ),
)
