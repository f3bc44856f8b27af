"""Rows as a table, JSON, YAML, CSV or bare names. Whatever came from outside is made harmless first."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from intctl.text import clean, rfc3339

FORMATS = ("table", "json", "yaml", "csv", "name")

#: Longest text of a cell or value that is shown, in characters.
_LONGEST = 2000

#: What tabulate makes a heading's column wider than the heading.
_PADDING = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, and the cell made of a row."""

    heading: str
    cell: Callable[[Mapping[str, Any]], object]


def plain(value: object) -> Any:
    """`value` as JSON knows it: times in UTC with a Z, texts without what a terminal would obey."""
    if isinstance(value, str):
        return clean(value, _LONGEST)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Mapping):
        return {clean(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def as_json(value: object) -> str:
    """Indented JSON with readable letters."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n"


def as_yaml(value: object) -> str:
    """YAML in the order of the keys."""
    import yaml

    return str(yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True))


def as_csv(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> str:
    """CSV with a heading line; what is nested stands as JSON."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(keys)
    for row in rows:
        cells = [plain(row[key]) for key in keys]
        writer.writerow(
            json.dumps(cell, ensure_ascii=False) if isinstance(cell, dict | list) else cell for cell in cells
        )
    return out.getvalue()


def as_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], width: int | None) -> str:
    """An aligned table; cut to `width` columns when it is given."""
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
    """Cuts the widest columns until the table fits; no column goes below its heading."""
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


def render_one(row: Mapping[str, Any], keys: Sequence[str], style: str, table: str, name: str) -> str:
    """One thing in one of FORMATS. `table` is its page for people, `name` what -o name shows."""
    shape = {key: row[key] for key in keys}
    if style == "json":
        return as_json(shape)
    if style == "yaml":
        return as_yaml(shape)
    if style == "csv":
        return as_csv([shape], keys)
    return f"{clean(name)}\n" if style == "name" else table


def render(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    keys: Sequence[str],
    style: str,
    *,
    name: str = "name",
    width: int | None = None,
    empty: str = "",
) -> str:
    """`rows` in one of FORMATS. `keys` are the stable ones that scripts rely on; `empty` is for an empty table."""
    if style == "json":
        return as_json([{key: row[key] for key in keys} for row in rows])
    if style == "yaml":
        return as_yaml([{key: row[key] for key in keys} for row in rows])
    if style == "csv":
        return as_csv(rows, keys)
    if style == "name":
        return "".join(f"{clean(row[name])}\n" for row in rows)
    return as_table(rows, columns, width) if rows else empty
