"""The metadata of a health log: written values are read again; another program's metadata causes no error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from intctl.health import log_entry
from intctl.health.log_entry import NO_METADATA
from intctl.health.outcome import Outcome

OUTCOME = Outcome(
    "tls.expires_soon", "api", {"api": 3.0, "dns": 1.0, "tcp": 2.0}, {"b": 2, "a": 1}, "it ends on 2026-12-24"
)


def test_what_is_written_is_read_again() -> None:
    """Every part of an outcome is there, phases in the order of an exchange and facts by name."""
    document = log_entry.write(OUTCOME, "host", 3, was="active", became="error")
    assert document["agent"] == "host"
    for stored in (document, json.dumps(document)):
        known = log_entry.read(stored)
        assert (known.verdict, known.code, known.phase, known.detail) == (
            "degraded",
            OUTCOME.code,
            "api",
            OUTCOME.detail,
        )
        assert (known.config_version, known.was, known.became) == (3, "active", "error")
        assert list(known.ordered_phases_ms.items()) == [("dns", 1.0), ("tcp", 2.0), ("api", 3.0)]
        assert list(known.ordered_facts.items()) == [("a", 1), ("b", 2)]
        assert log_entry.read_code(stored) == OUTCOME.code


def test_nothing_is_written_of_what_did_not_happen() -> None:
    """Without a detail or a change of status, their keys are absent."""
    document = log_entry.write(Outcome("ok"), "host", 1)
    assert set(document) == {"verdict", "code", "phase", "phases_ms", "facts", "agent", "config_version"}


@pytest.mark.parametrize("document", [None, "", "[1]", "no JSON", [], 7, True, {}])
def test_what_is_no_document_says_nothing(document: object) -> None:
    """NULL, broken JSON and values of another kind read as an empty document."""
    assert log_entry.read(document) == NO_METADATA
    assert log_entry.read_code(document) == ""


@pytest.mark.parametrize(
    "odd",
    [
        {"verdict": "splendid"},
        {"verdict": ["healthy"]},
        {"code": 7},
        {"phase": None},
        {"phases_ms": [1]},
        {"facts": "none"},
        {"detail": {}},
        {"config_version": "1"},
        {"was": 1, "became": []},
    ],
)
def test_a_value_of_another_kind_reads_as_absent(odd: dict[str, Any]) -> None:
    """Another program's document breaks no list: only valid values are read."""
    assert log_entry.read(odd) == NO_METADATA
