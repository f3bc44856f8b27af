"""docs/architecture.md names the rooms that exist, and their order is the one that import-linter checks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: A line of the list starts with one name or more: `store/` is a package, `text.py` a module.
_NAMES = re.compile(r"(?:\w+(?:/|\.py)(?:\s+|$))+")


def rooms() -> str:
    """The section "Rooms" of docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    found = re.search(r"^## Rooms\n(.*?)(?=^## )", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_rooms_in_the_document_are_those_of_the_package() -> None:
    """Each package and module of intctl/ is in the list once, and the list has no others."""
    block = re.search(r"^```\w*\n(.*?)^```", rooms(), re.DOTALL | re.MULTILINE)
    assert block is not None
    starts = [_NAMES.match(line) for line in block[1].splitlines()]
    listed = [name for start in starts if start for name in start[0].split()]
    package = ROOT / "intctl"
    # A folder that holds only __pycache__ is left over from an earlier checkout.
    present = [f"{path.name}/" for path in package.iterdir() if path.is_dir() and any(path.glob("*.py"))]
    present += [path.name for path in package.glob("*.py") if path.stem not in ("__init__", "__main__")]
    assert sorted(set(present) - set(listed)) == [], "missing in docs/architecture.md"
    assert sorted(listed) == sorted(present)


def test_the_layers_in_the_document_are_those_of_the_import_contract() -> None:
    """The line of rooms names the layers of pyproject.toml in the same order; siblings may be in any order."""
    orders = [paragraph for paragraph in rooms().split("\n\n") if "→" in paragraph]
    assert len(orders) == 1
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    checked = [set(re.findall(r"\w+", layer)) for layer in layers if layer != "__main__"]
    assert [set(re.findall(r"\w+", layer)) for layer in orders[0].split("→")] == checked
