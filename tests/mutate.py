"""Break the agent's protocol on purpose, one rule at a time: each break must turn a directed test red.

    python tests/mutate.py                 all of them; exits 1 when one survives
    python tests/mutate.py --only fence    those whose name or place holds this word
    python tests/mutate.py --changed       those of claims, judge and lease that changed since they were last red
    python tests/mutate.py --write         write tests/mutations.md

A mutation is anchored to an object of a module (a function, a class, a constant), not to a file: when the object
moves, only the anchor changes. The tables are in tests/mutations/, one for each module. A run in which every
mutation of a module was red is noted in tests/mutations/red.txt, with a digest of the module, its table and the
files of its tests.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "tests" / "mutations.md"
TABLES = ROOT / "tests" / "mutations"
RED = TABLES / "red.txt"

#: The modules whose mutations `--changed` runs again: they decide who may check and what a result means.
GUARDED = ("intctl.store.claims", "intctl.store.results", "intctl.health.judge", "intctl.db.lease")


@dataclass(frozen=True)
class Mutation:
    """`old` occurs exactly once in the source of the object `at`; with `new` instead, `test` must fail.

    `at` is `module:object`; an object inside a class or a function has a dotted name.
    """

    name: str
    at: str
    old: str
    new: str
    test: str

    @property
    def module(self) -> str:
        return self.at.partition(":")[0]

    @property
    def test_file(self) -> str:
        return self.test.partition("::")[0]


def tables() -> dict[str, tuple[Mutation, ...]]:
    """Every table by its module, in the order of their names."""
    return {table(path)[0].module: table(path) for path in sorted(TABLES.glob("[a-z]*.py"))}


def table(path: Path) -> tuple[Mutation, ...]:
    """The table in a file of tests/mutations/."""
    found: tuple[Mutation, ...] = import_module(f"tests.mutations.{path.stem}").MUTATIONS
    return found


def module_file(module: str, root: Path = ROOT) -> Path:
    """The file of a module, by its dotted name."""
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def span(source: str, name: str) -> tuple[int, int]:
    """The start and end of the object `name` in `source`, in characters. Raises LookupError."""
    body: Sequence[ast.stmt] = ast.parse(source).body
    found: ast.stmt | None = None
    for part in name.split("."):
        found = next((node for node in body if part in _names(node)), None)
        if found is None:
            raise LookupError(f"there is no {name}")
        body = getattr(found, "body", [])
    assert found is not None
    assert found.end_lineno is not None
    first = min([found.lineno, *(one.lineno for one in getattr(found, "decorator_list", []))])
    lines = source.splitlines(keepends=True)
    return sum(map(len, lines[: first - 1])), sum(map(len, lines[: found.end_lineno]))


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def object_source(mutation: Mutation) -> str:
    """The source of the object that a mutation is anchored to. Raises LookupError if it does not exist."""
    source = module_file(mutation.module).read_text("utf-8")
    start, end = span(source, mutation.at.partition(":")[2])
    return source[start:end]


def mutated(mutation: Mutation) -> str:
    """The whole file with the mutation."""
    source = module_file(mutation.module).read_text("utf-8")
    start, end = span(source, mutation.at.partition(":")[2])
    return source[:start] + source[start:end].replace(mutation.old, mutation.new) + source[end:]


# --- running -------------------------------------------------------------------------------------


def survives(mutation: Mutation) -> str:
    """The output of the tests if they did not fail under this mutation, else ""."""
    with tempfile.TemporaryDirectory(prefix="intctl-mutant-") as folder:
        copy = Path(folder) / "tree"
        ignored = shutil.ignore_patterns(".venv*", ".git", "*_cache", "__pycache__", "dist", "build", ".coverage*")
        shutil.copytree(ROOT, copy, ignore=ignored)
        module_file(mutation.module, copy).write_text(mutated(mutation), "utf-8")
        done = _run(copy, [mutation.test])
    # 1: tests failed. 2 and more: not collected, which proves nothing.
    return "" if done.returncode == 1 else done.stdout[-2000:]


def _run(tree: Path, tests: list[str]) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests]
    return subprocess.run(words, cwd=tree, env=environ, capture_output=True, text=True)


def run(chosen: Sequence[Mutation], jobs: int) -> set[str]:
    """Run these mutations and print the result of each. Returns the names of the survivors."""
    survivors: set[str] = set()
    with ThreadPoolExecutor(jobs) as threads:
        for mutation, said in zip(chosen, threads.map(survives, chosen), strict=True):
            print(f"{'SURVIVED' if said else 'red':<9} {mutation.name}", flush=True)
            if said:
                survivors.add(mutation.name)
                print(said)
    print(f"{len(chosen)} mutations, {len(survivors)} survived")
    return survivors


# --- earlier runs --------------------------------------------------------------------------------


def digest(module: str, table: Sequence[Mutation]) -> str:
    """The digest of a module's source, its table and its tests, which decide whether its mutations are red."""
    found = hashlib.sha256(module_file(module).read_bytes())
    for mutation in table:
        found.update(repr(mutation).encode())
    for name in sorted({mutation.test_file for mutation in table}):
        found.update((ROOT / name).read_bytes())
    return found.hexdigest()[:16]


def known_red() -> dict[str, str]:
    """The digest under which all mutations of a module were last red, by module."""
    if not RED.exists():
        return {}
    return dict(line.split() for line in RED.read_text("utf-8").splitlines() if line and not line.startswith("#"))


def note_red(found: Mapping[str, Sequence[Mutation]], survivors: set[str], ran: set[str]) -> None:
    """Record the modules of which every mutation ran and was red."""
    known = {module: value for module, value in known_red().items() if module in found}
    for module, table in found.items():
        names = {mutation.name for mutation in table}
        if names & survivors:
            known.pop(module, None)
        elif names <= ran:
            known[module] = digest(module, table)
    head = "# Written by make mutations: every mutation of these modules was red under this digest.\n"
    RED.write_text(head + "".join(f"{module} {value}\n" for module, value in sorted(known.items())), "utf-8")


def document() -> str:
    """The text of tests/mutations.md."""
    lines = [
        "# Mutations of the agent's protocol",
        "",
        "Written by `python tests/mutate.py --write`. `make mutations` breaks each rule in a copy of the tree and runs",
        "the test in its row, which must turn red.",
        "",
        "| rule broken | in | seen by |",
        "|---|---|---|",
    ]
    for table in tables().values():
        for mutation in table:
            _, _, test = mutation.test.partition("::")
            shown = mutation.name.replace("|", "\\|")
            lines.append(f"| {shown} | `{mutation.at}` | `{Path(mutation.test_file).name}::{test}` |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="those whose name or place holds this word")
    parser.add_argument("--changed", action="store_true", help="of the guarded modules, those that changed")
    parser.add_argument("--write", action="store_true", help="write tests/mutations.md")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default 2)")
    options = parser.parse_args()
    if options.write:
        DOCUMENT.write_text(document(), "utf-8")
        return 0
    found = tables()
    chosen = [one for table in found.values() for one in table if options.only in f"{one.name} {one.at}"]
    if options.changed:
        known = known_red()
        changed = [module for module in GUARDED if known.get(module) != digest(module, found[module])]
        print(f"changed since their mutations were last red: {', '.join(changed) or 'none'}", flush=True)
        chosen = [mutation for mutation in chosen if mutation.module in changed]
    if not chosen:
        if options.only:
            print(f"no mutation is called {options.only}")
        return 1 if options.only else 0
    whole = _run(ROOT, sorted({mutation.test for mutation in chosen}))
    if whole.returncode != 0:
        print(f"without any mutation the tests are not green:\n{whole.stdout[-3000:]}")
        return 1
    survivors = run(chosen, options.jobs)
    if "CI" not in os.environ:
        note_red(found, survivors, {mutation.name for mutation in chosen})
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    # The tables import Mutation by this module's own name, not as __main__.
    sys.exit(import_module("tests.mutate").main())
