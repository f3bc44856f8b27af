"""Uptime by its definition in docs/metrics.md, independent of the tested code.

For each moment: which check was the last one, does its finding still hold, and does the time count?
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

Check = tuple[float, str]
Change = tuple[float, bool, float, int]  # from when on: enabled, interval in seconds, config version
Range = tuple[float, float]


class Answer(NamedTuple):
    """Seconds."""

    up: float
    down: float
    counted: float


def gravest(statuses: Sequence[str]) -> str:
    """Of several checks at one moment: a failure before a success before anything else."""
    return "failure" if "failure" in statuses else "success" if "success" in statuses else "unknown"


def state_at(moment: float, checks: Sequence[Check], changes: Sequence[Change], interval_s: float) -> str:
    """`success`, `failure` or `unknown`."""
    before = [at for at, _ in checks if at <= moment]
    if not before:
        return "unknown"
    last = max(before)
    found = gravest([status for at, status in checks if at == last])
    held = 2 * interval_s
    if changes:
        in_force = [change for change in changes if change[0] <= last] or changes[:1]
        held = 2 * in_force[-1][2]
    later = [at for at, _ in checks if at > last]
    following = gravest([status for at, status in checks if at == min(later)]) if later else ""
    if found == following == "failure" and min(later) - last <= 7200.0:
        held = 7200.0
    for one, other in pairwise(changes):
        if last < other[0] <= moment and (one[1] != other[1] or one[3] != other[3]):
            return "unknown"
    return found if moment < last + held else "unknown"


def on_at(moment: float, changes: Sequence[Change]) -> bool:
    """Whether it was enabled; before the first known change, it was."""
    known = [change for change in changes if change[0] <= moment]
    return known[-1][1] if known else True


def uptime(
    checks: Sequence[Check],
    changes: Sequence[Change],
    interval_s: float,
    maintenance: Sequence[Range],
    start: float,
    end: float,
) -> Answer:
    """The seconds between two moments that are up, down, and counted."""
    holds = {2 * interval_s, 7200.0, *(2 * change[2] for change in changes)}
    points = {start, end, *(change[0] for change in changes), *(edge for one in maintenance for edge in one)}
    points |= {at for at, _ in checks} | {at + hold for at, _ in checks for hold in holds}
    ordered = sorted(point for point in points if start <= point <= end)
    up = down = counted = 0.0
    for since, until in pairwise(ordered):
        middle = (since + until) / 2
        if not on_at(middle, changes) or any(begins <= middle < ends for begins, ends in maintenance):
            continue
        counted += until - since
        state = state_at(middle, checks, changes, interval_s)
        up += (until - since) * (state == "success")
        down += (until - since) * (state == "failure")
    return Answer(up, down, counted)
