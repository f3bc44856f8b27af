"""From checks to time, against the definition moment by moment."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intctl.metrics import timeline
from intctl.metrics.timeline import DOWN, UP, Change, Check, Segment

from . import oracle

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
STATUSES = st.sampled_from(["success", "success", "failure", "failure", "unknown", "strange"])


def moments(longest: float) -> st.SearchStrategy[float]:
    """Whole and fractional seconds, dense in places so that several are equal."""
    return st.one_of(
        st.integers(0, int(longest)).map(float),
        st.integers(0, int(longest) * 1000).map(lambda ms: ms / 1000),
        st.sampled_from([0.0, 60.0, 300.0, 600.0, 7200.0, longest]),
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[oracle.Check], list[oracle.Change], list[oracle.Range], float, float]:
    """Checks in any order, changes, maintenance, and a window: from minutes to days."""
    longest = draw(st.sampled_from([HOUR, 6 * HOUR, 2 * DAY]))
    checks = draw(st.lists(st.tuples(moments(longest * 1.5), STATUSES), max_size=25))
    intervals = st.sampled_from([60.0, 300.0, 3600.0])
    change = st.tuples(moments(longest), st.booleans(), intervals, st.integers(1, 3))
    changes = sorted({one[0]: one for one in draw(st.lists(change, max_size=4))}.values())
    ranges = st.tuples(moments(longest), moments(longest)).map(lambda pair: (min(pair), max(pair)))
    maintenance = draw(st.lists(ranges, max_size=3))
    start, end = sorted(draw(st.tuples(moments(longest), moments(longest))))
    return checks, changes, maintenance, start, end


def judged(
    checks: list[oracle.Check], changes: list[oracle.Change], maintenance: list[oracle.Range], start: float, end: float
) -> oracle.Answer:
    """The result of the code, combined as a report does."""
    known = [Change(*change) for change in changes]
    segments = timeline.states([Check(at, status) for at, status in checks], known, 300.0, end)
    excluded = timeline.union([*timeline.inactive(known, start, end), *maintenance])
    counting = timeline.counted(timeline.clipped(segments, start, end), excluded)
    seconds = {state: sum(one.end - one.start for one in counting if one.state == state) for state in (UP, DOWN)}
    return oracle.Answer(seconds[UP], seconds[DOWN], timeline.total(timeline.without(start, end, excluded)))


@given(histories())
@settings(max_examples=400, deadline=None)
def test_time_agrees_with_its_definition(history: tuple) -> None:  # type: ignore[type-arg]
    """Up, down and counted time agree to a millisecond: any order, equal moments, gaps, switches, maintenance."""
    checks, changes, maintenance, start, end = history
    found = judged(*history)
    expected = oracle.uptime(checks, changes, 300.0, maintenance, start, end)
    assert found == pytest.approx(expected, abs=0.001)
    assert found.up + found.down <= found.counted + 0.001


@pytest.mark.slow
@given(histories())
@settings(max_examples=20_000, deadline=None)
def test_time_agrees_with_its_definition_for_long(history: tuple) -> None:  # type: ignore[type-arg]
    """The same over many more histories."""
    checks, changes, maintenance, start, end = history
    expected = oracle.uptime(checks, changes, 300.0, maintenance, start, end)
    assert judged(*history) == pytest.approx(expected, abs=0.001)


def test_what_a_check_found_holds_for_two_intervals() -> None:
    """A finding holds until the next check, or for two intervals; the time after that is unknown."""
    found = timeline.states([Check(0, "success"), Check(300, "success"), Check(5000, "success")], [], 300, 9000)
    assert found == [Segment(0, 900, UP), Segment(5000, 5600, UP)]


def test_an_outage_is_down_from_its_first_failure_on() -> None:
    """Time between failures up to two hours apart is down, because intctl checks less often; further apart, unknown."""
    checks = [Check(0, "success"), Check(300, "failure", "a"), Check(7500, "failure", "b")]
    checks.append(Check(7500 + 7201, "failure", "c"))
    found = timeline.states(checks, [], 300, 30_000)
    assert found == [Segment(0, 300, UP), Segment(300, 7500 + 600, DOWN, "a"), Segment(14_701, 15_301, DOWN, "c")]


def test_unknown_ends_what_was_known() -> None:
    """The time after an unknown check is unknown."""
    found = timeline.states([Check(0, "success"), Check(60, "unknown"), Check(120, "success")], [], 300, 130)
    assert found == [Segment(0, 60, UP), Segment(120, 130, UP)]


def test_another_config_ends_what_was_known() -> None:
    """After an edit the time is unknown until the next check; a changed interval alone ends nothing."""
    changes = [Change(0, True, 300, 1), Change(100, True, 600, 1), Change(200, True, 600, 2)]
    assert timeline.states([Check(50, "success")], changes, 300, 900) == [Segment(50, 200, UP)]
    assert timeline.states([Check(50, "success")], changes[:2], 300, 900) == [Segment(50, 650, UP)]
    assert timeline.states([Check(150, "success")], changes[:2], 300, 2000) == [Segment(150, 1350, UP)]
    assert timeline.states([Check(210, "success")], [*changes, Change(900, False, 600, 2)], 300, 400) == [
        Segment(210, 400, UP)
    ]


def test_incidents() -> None:
    """An incident lasts from the first failure to the first success; unknown time does not end it, disabling does."""
    segments = [
        Segment(0, 10, DOWN, "a"),
        Segment(30, 40, DOWN, "b"),
        Segment(50, 60, UP),
        Segment(60, 70, DOWN, "c"),
        Segment(90, 95, DOWN, "d"),
        Segment(95, 100, UP),
        Segment(100, 110, DOWN, "e"),
    ]
    found = timeline.incidents(segments, [(75, 80)], [(75, 80)], 0)
    assert [(one.start, one.end, one.cause, one.down_s) for one in found] == [
        (0, 50, "a", 20),
        (60, 75, "c", 10),
        (90, 95, "d", 5),
        (100, None, "e", 10),
    ]
    assert [one.before for one in found] == [True, False, False, False]
    assert timeline.incidents(segments[-1:], [(110, 120)], [(110, 120)], 0)[0].end == 110


def test_an_outage_in_maintenance_is_no_incident() -> None:
    """A failure only in maintenance is no incident; one that continues begins when time counts again."""
    during = [Segment(0, 10, UP), Segment(10, 20, DOWN, "a"), Segment(20, 30, UP)]
    assert timeline.incidents(during, [], [(5, 25)], 0) == []
    (longer,) = timeline.incidents(during, [], [(5, 15)], 0)
    assert (longer.start, longer.end, longer.down_s, longer.before) == (15, 20, 5, False)
    (before,) = timeline.incidents(during, [], [(15, 25)], 0)
    assert (before.start, before.end, before.down_s) == (10, 20, 5)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=6), st.integers(0, 50), st.integers(0, 50))
@settings(max_examples=200, deadline=None)
def test_taking_ranges_out(ranges: list[tuple[int, int]], start: int, end: int) -> None:
    """Every moment is left exactly if it is inside and in none of the ranges."""
    left = timeline.without(start, end, timeline.union(ranges))
    for moment in (half + 0.5 for half in range(51)):
        inside = start <= moment < end and not any(a <= moment < b for a, b in ranges)
        assert any(a <= moment < b for a, b in left) == inside
