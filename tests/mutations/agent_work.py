"""Mutations of intctl.agent.work."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "record: a lease that is nearly over is written under",
        "intctl.agent.work:Pass._record",
        "[result for result in results if now < result.claimed.valid_until]",
        "list(results)",
        "tests/test_agent.py::test_a_result_near_the_end_of_its_lease_is_not_even_tried",
    ),
    Mutation(
        "give back: never",
        "intctl.agent.work:Pass._end",
        "if ids := self.known():",
        "if ids := []:",
        "tests/test_agent.py::test_a_signal_before_the_first_check_gives_all_back",
    ),
    Mutation(
        "end: the budget is not looked at",
        "intctl.agent.work:Pass._over",
        "return bool(self._stop) or time.monotonic() >= self._probes_end",
        "return bool(self._stop)",
        "tests/test_agent.py::test_a_pass_ends_within_its_budget_and_leaves_the_rest_due",
    ),
    Mutation(
        "end: locked results are not tried again",
        "intctl.agent.work:Pass._settle_locked",
        "            await self._write()\n",
        "",
        "tests/test_agent.py::test_a_short_lock_delays_no_result",
    ),
    Mutation(
        "probe: a refused login is repeated while its row is locked",
        "intctl.agent.work:Pass._probe",
        "if claimed.rejections and not await",
        "if False and not await",
        "tests/test_agent.py::test_a_refused_login_is_not_repeated_while_its_row_is_locked",
    ),
    Mutation(
        "end: known results are not written",
        "intctl.agent.work:Pass._end",
        "                await self._write()\n                await self._settle_locked()",
        "                await self._settle_locked()",
        "tests/test_agent.py::test_what_is_known_at_the_end_is_written",
    ),
)
