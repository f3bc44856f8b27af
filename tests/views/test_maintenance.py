"""Integrations in maintenance, and the states of windows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from intctl.views.maintenance import maintenance_until
from intctl.views.planned import planned

from ..records import NOW, window

HOUR = timedelta(hours=1)


def test_the_later_end_counts() -> None:
    """Maintenance ends with the later of the integration's own window and that of all."""
    ends = {"1": NOW + HOUR, None: NOW + 2 * HOUR}
    assert maintenance_until(ends, "1") == maintenance_until(ends, "2") == NOW + 2 * HOUR
    assert maintenance_until({"1": NOW + HOUR}, "1") == NOW + HOUR
    assert maintenance_until({"1": NOW + HOUR}, "2") is maintenance_until({}, "1") is None


@pytest.mark.parametrize(
    ("starts", "ends", "stopped", "state"),
    [
        (-1, 1, None, "running"),
        (1, 2, None, "planned"),
        (-2, -1, None, "over"),
        (-2, 2, -1, "over"),
        (1, 2, 0, "cancelled"),
    ],
)
def test_the_state_of_a_window(starts: int, ends: int, stopped: int | None, state: str) -> None:
    """Running, planned, over, or ended before it began; the planned times stay."""
    stopped_at = None if stopped is None else NOW + stopped * HOUR
    one = planned(window(NOW + starts * HOUR, NOW + ends * HOUR, stopped_at=stopped_at), NOW)
    assert (one.state, one.is_open) == (state, state in ("running", "planned"))
    assert (one.from_, one.to) == (NOW + starts * HOUR, NOW + ends * HOUR)
    assert one.next_to == NOW + (ends if state != "over" or stopped is None else stopped) * HOUR
