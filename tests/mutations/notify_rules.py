"""Mutations of intctl.notify.rules."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "tell: what came and went in maintenance",
        "intctl.notify.rules:_drop_passing",
        "left = [] if same else changes[-1:]",
        "left = changes[-1:]",
        "tests/notify/test_rules.py::test_what_came_and_went_in_maintenance_is_not_told",
    ),
    Mutation(
        "tell: not before the planned end of maintenance",
        "intctl.notify.rules:hold_back_in_maintenance",
        "if one.quiet_until != quiet and (quiet is not None or (one.quiet_until or now) > now):",
        "if one.quiet_until != quiet and quiet is not None:",
        "tests/notify/test_rules.py::test_maintenance_that_is_ended_early",
    ),
)
