"""Lines for people and for machines."""

from __future__ import annotations

import json

from intctl.service.journal import Journal


def heard(style: str) -> tuple[Journal, list[tuple[bool, str]]]:
    lines: list[tuple[bool, str]] = []
    return Journal(style, lambda data, line: lines.append((data, line)), lambda: 1769850000.25), lines


def test_lines_for_people() -> None:
    """Data goes to stdout without a prefix, warnings and errors to stderr with one; quiet lines are omitted."""
    journal, lines = heard("text")
    journal.say("info", "pass", "checked 1", checked=1)
    journal.say("info", "started", "intctl started", quiet=True)
    journal.say("warning", "on_change", "it ended with 3.")
    journal.say("error", "pass_failed", "The database is away.")
    assert lines == [
        (True, "checked 1"),
        (False, "warning: it ended with 3."),
        (False, "intctl: The database is away."),
    ]


def test_lines_for_machines() -> None:
    """Each line is a JSON object with time, level, event, message and fields, also for quiet lines."""
    journal, lines = heard("json")
    journal.say("info", "started", "intctl\nstarted\x1b[0m", quiet=True, version="1.0")
    journal.say("error", "pass_failed", "The database is away.", exit_code=5)
    assert [data for data, _ in lines] == [True, False]
    assert [json.loads(line) for _, line in lines] == [
        {
            "time": "2026-01-31T09:00:00.250Z",
            "level": "info",
            "event": "started",
            "message": "intctl started[0m",
            "version": "1.0",
        },
        {
            "time": "2026-01-31T09:00:00.250Z",
            "level": "error",
            "event": "pass_failed",
            "message": "The database is away.",
            "exit_code": 5,
        },
    ]
    assert all("\n" not in line for _, line in lines)


def test_faults_of_our_own() -> None:
    """People get one line; machines get one for each code, with the number of affected checks."""
    journal, lines = heard("text")
    journal.local_issues({}, "")
    journal.local_issues({"dns.failure": 2}, "The resolver could not answer.")
    assert lines == [(False, "warning: The resolver could not answer.")]
    journal, lines = heard("json")
    journal.local_issues({"dns.failure": 2, "self.no_route": 1}, "whatever")
    found = [json.loads(line) for _, line in lines]
    assert [(one["event"], one["code"], one["checks"]) for one in found] == [
        ("fault", "dns.failure", 2),
        ("fault", "self.no_route", 1),
    ]
