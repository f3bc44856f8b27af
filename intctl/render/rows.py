"""Records as a table, JSON, YAML, CSV or bare names. Control characters are removed first."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from keyword import iskeyword
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from intctl.text import clean, rfc3339

FORMATS = ("table", "json", "yaml", "csv", "name")

#: Maximum length of a displayed text, in characters.
_LONGEST = 2000

#: The number of characters by which tabulate makes a column wider than its heading.
_PADDING = 2


# What begins a formula, also in full width, and after blanks or quotes that a spreadsheet ignores.
_FORMULA = re.compile("[\\s\"']*[=+@\\-\u2212\uff0b\uff0d\uff1d\uff20]")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")

T = TypeVar("T")


class Column(NamedTuple, Generic[T]):
    """A column of a table: its heading, and a function from a record to its cell."""

    heading: str
    cell: Callable[[T], object]


def shape(record: object, keys: Sequence[str]) -> dict[str, object]:
    """The machine-readable form of a record: the value of each key, in order.

    A key is an attribute or the path of one; `integration.id` is shown as `id`. A key that is a keyword of Python,
    such as `from`, reads the attribute `from_`.
    """
    return {label: value(record) for label, value in _getters(keys)}


def _getters(keys: Sequence[str]) -> list[tuple[str, Callable[[object], object]]]:
    found: list[tuple[str, Callable[[object], object]]] = []
    for key in keys:
        label = key.rpartition(".")[2]
        found.append((label, attrgetter(f"{key}_" if iskeyword(label) else key)))
    return found


def plain(value: object) -> Any:
    """Convert `value` for JSON: times in UTC with a Z, texts without control characters, records as objects."""
    if isinstance(value, str):
        return clean(value, _LONGEST)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Mapping):
        return {clean(key): plain(item) for key, item in value.items()}
    if is_dataclass(value):
        return {field.name.rstrip("_"): plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a NamedTuple
        return {name.rstrip("_"): plain(item) for name, item in zip(value._fields, value, strict=True)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def as_json(value: object) -> str:
    """Indented JSON with unescaped Unicode. No CI runner finds a command in it (`text.safe`)."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False).replace("##", "#\\u0023") + "\n"


def as_yaml(value: object) -> str:
    """YAML in the order of the keys."""
    import yaml

    return str(yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True))


def as_csv(rows: Sequence[object], keys: Sequence[str]) -> str:
    """CSV with a heading line; nested values are JSON. An apostrophe begins what a spreadsheet would run."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(label for label, _ in _getters(keys))
    for row in rows:
        cells = [plain(value) for value in shape(row, keys).values()]
        writer.writerow(
            json.dumps(cell, ensure_ascii=False) if isinstance(cell, dict | list) else _quoted(cell) for cell in cells
        )
    return out.getvalue()


def _quoted(cell: object) -> object:
    """Mark a text as text for spreadsheets (OWASP, "CSV Injection"); a plain number is none."""
    if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def as_table(rows: Sequence[T], columns: Sequence[Column[T]], width: int | None) -> str:
    """An aligned table, truncated to `width` columns if given."""
    cells = [[_cell(column.cell(row)) for column in columns] for row in rows]
    return _grid(cells, [column.heading for column in columns], width)


def _cell(value: object) -> str:
    return "" if value is None else str(plain(value))


def _grid(cells: list[list[str]], headings: list[str], width: int | None) -> str:
    from tabulate import tabulate

    if width:
        _narrow(cells, headings, width)
    return tabulate(cells, headers=headings, tablefmt="simple", disable_numparse=True) + "\n"


def _narrow(cells: list[list[str]], headings: list[str], width: int) -> None:
    """Truncate the widest columns until the table fits; no column gets narrower than its heading."""
    least = [len(heading) + _PADDING for heading in headings]
    widths = [max([least[i], *(len(row[i]) for row in cells)]) for i in range(len(headings))]
    while sum(widths) + 2 * (len(widths) - 1) > width:
        i = max(range(len(widths)), key=lambda n: widths[n] - least[n])
        if widths[i] <= least[i]:
            break
        widths[i] -= 1
    for row in cells:
        for i, cell in enumerate(row):
            if len(cell) > widths[i]:
                row[i] = cell[: max(widths[i] - 1, 1)] + "…"


def render_one(record: object, keys: Sequence[str], style: str, table: str, name: str) -> str:
    """One record in one of FORMATS. `table` is its text page, `name` the text for -o name."""
    if style == "json":
        return as_json(shape(record, keys))
    if style == "yaml":
        return as_yaml(shape(record, keys))
    if style == "csv":
        return as_csv([record], keys)
    return f"{clean(name)}\n" if style == "name" else table


def render(
    rows: Sequence[T],
    columns: Sequence[Column[T]],
    keys: Sequence[str],
    style: str,
    *,
    name: str = "name",
    width: int | None = None,
    empty: str = "",
) -> str:
    """`rows` in one of FORMATS.

    `keys` are the stable keys that scripts rely on (see `shape`), `name` is the key that -o name shows, and `empty` is
    the text of an empty table.
    """
    if style == "json":
        return as_json([shape(row, keys) for row in rows])
    if style == "yaml":
        return as_yaml([shape(row, keys) for row in rows])
    if style == "csv":
        return as_csv(rows, keys)
    if style == "name":
        return "".join(f"{clean(attrgetter(name)(row))}\n" for row in rows)
    return as_table(rows, columns, width) if rows else empty
