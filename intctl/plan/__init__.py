"""Manifest against store: what to create, what to update, what is unchanged; then the tests, then one commit.

`add`, `edit` and `apply` are the same three steps: `diff` compares, `test` proves what is new or
changed, `save` writes all of it or nothing.
"""

from intctl.plan.changes import Action, Change, compare, creation, diff
from intctl.plan.commit import savable, save, withdraw
from intctl.plan.exchange import single_use, test
from intctl.plan.runtime import CONCURRENCY, Runtime

__all__ = [
    "CONCURRENCY",
    "Action",
    "Change",
    "Runtime",
    "compare",
    "creation",
    "diff",
    "savable",
    "save",
    "single_use",
    "test",
    "withdraw",
]
