"""Applying manifests: compare them with the store, test the changes, then save them in one commit.

`add`, `edit` and `apply` are the same three steps: `diff` compares, `test` proves what is new or changed, `save`
writes all changes or none.
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
