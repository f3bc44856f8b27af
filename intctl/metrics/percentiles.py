"""How long successful checks took. Percentiles are nearest-rank, over every single one.

A folded day keeps the response time of each success as four hexadecimal digits, in order: all that
an exchange can take (60 s at most) fits exactly, and years of them are read in one go.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence

_MOST = 0xFFFF


def packed(times: Iterable[int]) -> str:
    """Milliseconds as a folded day keeps them. What is longer than 65,535 counts as that."""
    return "".join(f"{min(max(ms, 0), _MOST):04x}" for ms in sorted(times))


def unpacked(text: str) -> list[int]:
    """The milliseconds of one or more packed texts behind each other, in order."""
    found = array("H", bytes.fromhex(text))
    if sys.byteorder == "little":
        found.byteswap()
    return sorted(found)


def percentiles(times: Sequence[int], wanted: Sequence[int]) -> list[int | None]:
    """The nearest-rank percentiles of times in order: the smallest that so many per cent of all don't exceed."""
    if not times:
        return [None] * len(wanted)
    return [times[max(-(-len(times) * percent // 100) - 1, 0)] for percent in wanted]
