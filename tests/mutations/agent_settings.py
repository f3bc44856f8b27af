"""Mutations of intctl.agent.settings."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "end: a second signal is ignored",
        "intctl.agent.settings:Stop._set",
        "            os._exit(130)",
        "            pass",
        "tests/cli/test_agent.py::test_a_second_sigterm_ends_at_once",
    ),
    Mutation(
        "end: a signal does not wake the pass",
        "intctl.agent.settings:Stop._set",
        "        if self._wake:\n            self._wake()",
        "        if self._wake:\n            pass",
        "tests/cli/test_agent.py::test_sigterm_gives_back_and_exits_0",
    ),
)
