"""The schedule of retries: the default one, and that of an organisation's row."""

from __future__ import annotations

import json
from typing import Any

import pytest

from intctl.notify.event import LISTED_MISSED, MissedChange, document
from intctl.notify.schedule import DEFAULT, DEFAULT_DELAYS_S, Schedule, schedule_of
from intctl.store.retry_config import RetryConfig

from .rig import changed

pytestmark = pytest.mark.case("reliability notifications")


def test_without_a_row() -> None:
    """5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, exactly; then none."""
    hours = (2, 5, 10, 14, 20, 24)
    assert schedule_of(None) == (DEFAULT, "")
    assert (5, 300, 1800, *(3600 * one for one in hours)) == DEFAULT_DELAYS_S
    assert [DEFAULT.delay_after(attempt) for attempt in range(1, 11)] == [*DEFAULT_DELAYS_S, None]
    assert DEFAULT.attempts == 10 and DEFAULT.keeps_dead_letters


def test_columns_without_a_value_have_the_defaults_of_the_table() -> None:
    """NULL is allowed in every column: three retries after 5, 10 and 20 seconds, with jitter and dead letters."""
    schedule, problem = schedule_of(RetryConfig(None, None, None, None, None, None))
    assert (schedule, problem) == (Schedule((5, 10, 20), has_jitter=True, keeps_dead_letters=True), "")


def test_a_text_in_a_column_of_numbers() -> None:
    """SQLite stores any type in any column: such a row is not used either."""
    text: Any = "five"
    schedule, problem = schedule_of(RetryConfig(3, "fixed", text, 60, True, True))
    assert (schedule, problem) == (DEFAULT, "fixed_delay_seconds must be from 1 to 604800")


def test_jitter() -> None:
    """Each delay is between 20 % shorter and 20 % longer, and they differ."""
    schedule = Schedule((100.0,), has_jitter=True)
    delays = [schedule.delay_after(1) or 0.0 for _ in range(500)]
    assert 80 <= min(delays) < 85 and 115 < max(delays) <= 120
    assert schedule.delay_after(2) is None


def test_the_largest_values() -> None:
    """The largest values that are accepted do not overflow."""
    schedule, problem = schedule_of(RetryConfig(100, "exponential", 604_800, 604_800, False, True))
    assert problem == "" and set(schedule.delays_s) == {604_800.0} and schedule.attempts == 101


def test_the_document_lists_the_newest_of_many() -> None:
    """A command that reads its input late gets all of it: the document fits into a pipe."""
    event = changed()
    many = tuple(MissedChange(f"t{at}", "active", "error", event.occurred_at, "x" * 40) for at in range(900))
    shown = document(event._replace(missed=many))
    assert isinstance(shown["missed"], list)
    assert [one["id"] for one in shown["missed"]] == [f"t{at}" for at in range(900 - LISTED_MISSED, 900)]
    assert len(json.dumps(shown)) < 65_536
