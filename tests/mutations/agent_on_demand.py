"""Mutations of intctl.agent.on_demand."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "check: a verdict on an earlier config",
        "intctl.agent.on_demand:_recorded",
        "if not log.current:",
        "if False:",
        "tests/cli/test_agent.py::test_a_verdict_on_an_earlier_config_is_no_answer",
    ),
)
