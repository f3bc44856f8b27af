"""Each finding about an earlier version has a test with its right value."""

from __future__ import annotations

from . import cases


def test_each_finding_has_a_test() -> None:
    """No finding is without a test, and no test names an unknown one."""
    assert set(cases.marked()) == set(cases.CASES)


def test_the_document_is_up_to_date() -> None:
    """tests/cases.md is written by python tests/cases.py."""
    assert cases.DOCUMENT.read_text("utf-8") == cases.document()
