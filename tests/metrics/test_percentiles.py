"""Response times, packed and ranked."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from intctl.metrics.percentiles import packed, percentiles, unpacked

TIMES = st.lists(st.integers(0, 65_535), max_size=60)


@given(TIMES, TIMES)
def test_packed_texts_can_be_read_together(one: list[int], other: list[int]) -> None:
    """Packed times are unpacked in order, also from several concatenated days."""
    assert unpacked(packed(one) + packed(other)) == sorted(one + other)
    assert unpacked("") == []


def test_what_no_exchange_takes() -> None:
    """Odd values of another program are limited to the range, not rejected."""
    assert unpacked(packed([-5, 10**9])) == [0, 65_535]


@given(st.lists(st.integers(0, 65_535), min_size=1, max_size=300), st.integers(1, 100))
def test_percentiles_are_nearest_rank(times: list[int], percent: int) -> None:
    """A percentile is the smallest time that `percent` per cent do not exceed, by definition."""
    ordered = sorted(times)
    assert percentiles(ordered, (percent,)) == [ordered[math.ceil(percent * len(times) / 100) - 1]]


def test_percentiles_of_nothing() -> None:
    """No times have no percentile."""
    assert percentiles([], (50, 95)) == [None, None]
