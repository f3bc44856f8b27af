"""The table of causes and the code that uses it say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from intctl.health.codes import CODES
from intctl.health.outcome import Outcome
from intctl.health.status import LOG_STATUS

SOURCES = sorted((Path(__file__).parents[2] / "intctl").rglob("*.py"))
PREFIXES = sorted({code.partition(".")[0] for code in CODES if "." in code})
#: A quoted word with one of the table's first parts: a code, whether or not the table has it.
_CODE = re.compile(rf'"((?:{"|".join(PREFIXES)})(?:\.[a-z_]+)+)"')
#: Quoted words that look like codes: host and file names.
_NAME = re.compile(r"\.(com|net|pem|log)$")


def used() -> dict[str, set[str]]:
    """Each code-like literal outside the table, with the files that have it."""
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        if path.name != "codes.py":
            for code in _CODE.findall(path.read_text("utf-8")):
                found.setdefault(code, set()).add(path.name)
    return {code: files for code, files in found.items() if not _NAME.search(code)}


def test_every_code_that_is_used_is_in_the_table() -> None:
    """Every code of a verdict is in the table."""
    found = used()
    assert len(found) > 30
    assert {code: files for code, files in found.items() if code not in CODES} == {}


def test_every_code_of_the_table_is_used() -> None:
    """The table has no unused code."""
    texts = "".join(path.read_text("utf-8") for path in SOURCES if path.name != "codes.py")
    assert [code for code in CODES if f'"{code}"' not in texts] == []


@pytest.mark.parametrize("code", CODES)
def test_every_cause_says_what_who_and_what_next(code: str) -> None:
    """Meaning, actor, next step: one line each, fit for a person, and consistent with the verdict."""
    cause = CODES[code]
    assert cause.verdict in LOG_STATUS
    assert cause.actor in ("nobody", "you", "provider", "us")
    if cause.actor == "nobody":  # no action is needed for a healthy or unchecked integration
        assert cause.verdict in ("healthy", "unknown")
    else:
        assert cause.verdict != "healthy"
    for text in (cause.meaning, cause.next_step):
        assert text.strip() == text and len(text) > 10 and text.isprintable()
    assert not cause.meaning.endswith(".") and cause.next_step.endswith(".")
    assert re.fullmatch(r"[a-z_0-9]+(\.[a-z_0-9]+)*", code)
    if cause.rejection:
        assert cause.verdict in ("misconfigured", "down") and not cause.transient
    if cause.transient:
        assert cause.verdict in ("down", "unknown")
    if code.startswith("self."):
        assert cause.verdict in ("unknown", "degraded")


def test_an_outcome_of_an_unknown_code_has_no_verdict() -> None:
    """A code that is not in the table is never taken for a verdict."""
    with pytest.raises(KeyError):
        _ = Outcome("no.such").verdict
