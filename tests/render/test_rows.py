"""Rows in every format: sanitized, parseable, and at most as wide as the terminal if possible."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import yaml

from intctl.render.rows import Column, as_csv, as_json, as_table, as_yaml, plain, render, shape
from intctl.text import rfc3339


@dataclass(frozen=True)
class Row:
    """A record with a nested record, and a key that is a keyword."""

    name: object
    x: object = None
    from_: object = None
    inner: object = None


class Pair(NamedTuple):
    """A record that is a tuple."""

    from_: int
    to: str


HOSTILE = 'x\x1b[31m\u202e\u200b,"\n=1+1'
ROW = {"name": HOSTILE, "when": datetime(2026, 1, 31, 9, 30, tzinfo=UTC), "facts": {"a\x1b": [1, None, {"b": True}]}}
RECORD = SimpleNamespace(**ROW)


def test_times_are_utc_with_milliseconds() -> None:
    """Times are ISO 8601 with Z, from any zone."""
    moment = datetime(2026, 1, 31, 11, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(moment) == "2026-01-31T09:30:00.123Z"


def test_plain_is_what_json_knows() -> None:
    """Texts and keys lose control characters at every depth; other values do not change."""
    assert plain(ROW) == {
        "name": 'x[31m,"\n=1+1'.replace("\n", " "),
        "when": "2026-01-31T09:30:00.000Z",
        "facts": {"a": [1, None, {"b": True}]},
    }
    assert plain((1, "a")) == [1, "a"]


def test_plain_of_a_record() -> None:
    """A dataclass and a NamedTuple become objects, and a key that is a keyword loses its underscore."""
    assert plain(Row("A", [Pair(1, "a\x1b")])) == {
        "name": "A",
        "x": [{"from": 1, "to": "a"}],
        "from": None,
        "inner": None,
    }


def test_every_format_parses_back_and_holds_nothing_harmful() -> None:
    """JSON, YAML and CSV of hostile text have one readable row without escapes."""
    keys = tuple(ROW)
    for text in (as_json([ROW]), as_yaml([ROW]), as_csv([RECORD], keys)):
        assert not set("\x1b\u202e\u200b") & set(text)
    assert json.loads(as_json([ROW])) == yaml.safe_load(as_yaml([ROW])) == [plain(ROW)]
    heading, row = list(csv.reader(io.StringIO(as_csv([RECORD], keys))))
    assert heading == list(keys) and row[0] == plain(ROW)["name"] and json.loads(row[2]) == plain(ROW["facts"])


def test_json_keeps_letters_and_the_order_of_the_keys() -> None:
    """JSON is readable, and stable for diffs."""
    assert as_json({"b": "ü", "a": None}) == '{\n  "b": "ü",\n  "a": null\n}\n'
    assert as_yaml({"b": "ü", "a": None}) == "b: ü\na: null\n"


def test_render_by_style() -> None:
    """Stable keys for scripts, columns for tables, names for loops; only a table has an empty message."""
    rows = [Row("A", 1, from_=2)]
    columns: list[Column[Row]] = [Column("Head", lambda row: row.x)]
    assert json.loads(render(rows, columns, ("name", "x"), "json")) == [{"name": "A", "x": 1}]
    assert render(rows, columns, ("name", "x"), "csv") == "name,x\nA,1\n"
    assert render(rows, columns, ("name", "x"), "yaml") == "- name: A\n  x: 1\n"
    assert render(rows, columns, ("name",), "name") == "A\n"
    assert render(rows, columns, ("name",), "table").splitlines() == ["Head", "------", "1"]
    assert render([], columns, ("name",), "table", empty="None.\n") == "None.\n"
    assert render([], columns, ("name",), "json", empty="None.\n") == "[]\n"


def test_numbers_in_a_table_are_not_rewritten() -> None:
    """A name like 007 or 1e3 stays as it is; None is blank."""
    columns: list[Column[Row]] = [Column("N", lambda row: row.name)]
    lines = as_table([Row("007"), Row("1e3"), Row(None)], columns, None).split("\n")
    assert [line.strip() for line in lines[2:5]] == ["007", "1e3", ""]


@pytest.mark.parametrize("width", [20, 24, 40, 60, 80, 120])
def test_a_narrow_terminal_cuts_the_widest_columns(width: int) -> None:
    """A table is truncated down to its headings; truncated text ends with an ellipsis."""
    columns: list[Column[Row]] = [
        Column("Name", lambda row: row.name),
        Column("Says", lambda row: row.x),
        Column("N", lambda _: 1),
    ]
    rows = [Row("short", "a rather long message " * 6), Row("n" * 30, "x")]
    lines = as_table(rows, columns, width).splitlines()
    assert all(len(line) <= width for line in lines)
    assert any("…" in line for line in lines)
    assert "…" not in as_table(rows, columns, None)


def test_a_terminal_narrower_than_the_headings_is_no_endless_loop() -> None:
    """Headings are never truncated, even if the table is wider than the terminal."""
    columns: list[Column[Row]] = [
        Column("A long heading", lambda row: row.name),
        Column("Another one", lambda row: row.name),
    ]
    assert "A long heading" in as_table([Row("value")], columns, 5)


def test_a_key_is_an_attribute_or_the_path_of_one() -> None:
    """The last word of a path is the key; a record inside is an object; `from` is the attribute `from_`."""
    record = Row("A", from_=1, inner=Row("B", x=HOSTILE, from_=2))
    found = shape(record, ("name", "from", "inner.from", "inner.x"))
    assert list(found.items()) == [("name", "A"), ("from", 2), ("x", HOSTILE)]
    assert plain(shape(record, ("inner",))) == {"inner": {"name": "B", "x": plain(HOSTILE), "from": 2, "inner": None}}
    assert as_csv([record], ("inner.name", "inner")).splitlines()[0] == "name,inner"
