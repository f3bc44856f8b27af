"""Response times of successful checks. Percentiles are nearest-rank, over every single check.

A folded day keeps the response time of each success as four hexadecimal digits, in order: the longest exchange
(60 s) fits exactly, and years of them are read at once.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence

_MOST = 0xFFFF


def packed(times: Iterable[int]) -> str:
    """Pack milliseconds as a folded day keeps them. A value above 65,535 counts as 65,535."""
    return "".join(f"{min(max(ms, 0), _MOST):04x}" for ms in sorted(times))


def unpacked(text: str) -> list[int]:
    """Unpack the milliseconds of one or more concatenated packed texts, in order."""
    found = array("H", bytes.fromhex(text))
    if sys.byteorder == "little":
        found.byteswap()
    return sorted(found)


def percentiles(times: Sequence[int], wanted: Sequence[int]) -> list[int | None]:
    """The nearest-rank percentiles of sorted times: the smallest time that `wanted` per cent of all do not exceed."""
    if not times:
        return [None] * len(wanted)
    return [times[max(-(-len(times) * percent // 100) - 1, 0)] for percent in wanted]
