"""The layout of the code: imports, packages, the size of files and of signatures."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "intctl"

# Exceptions to the rules. An entry that no longer breaks its rule is an error too, so that each tuple only shrinks.

#: Import cycles, each as its modules in alphabetical order.
KNOWN_CYCLES: tuple[tuple[str, ...], ...] = ()
#: Packages whose `__init__` holds a program.
KNOWN_PROGRAMS: tuple[str, ...] = ()
#: The longest file allowed, in lines. The table of causes is data and stays in one file.
MAX_LINES = 400
TABLE = "intctl/health/codes.py"
KNOWN_LONG_FILES: tuple[str, ...] = ()
#: The most named parameters a function may have, besides `self` and `cls`.
MAX_PARAMETERS = 7
KNOWN_LONG_SIGNATURES: tuple[str, ...] = ()


def test_no_module_imports_itself_through_others() -> None:
    """There is no import cycle between modules; imports inside functions and for type checkers count."""
    graph = grimp.build_graph("intctl", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 150
    assert cycles(imports) == sorted(KNOWN_CYCLES)


def test_cycles_are_found() -> None:
    """A cycle counts once with all its modules, however it is entered; a module that only leads to one does not."""
    imports = {"a": {"b"}, "b": {"c", "d"}, "c": {"b", "e"}, "d": {"f"}, "e": {"c"}, "f": {"g"}, "g": {"f"}}
    assert cycles(imports) == [("b", "c", "e"), ("f", "g")]
    assert cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_an_init_holds_no_program() -> None:
    """A package's `__init__` re-exports: a docstring, imports, `__all__` and plain constants, nothing else."""
    found = [name(path) for path in sources() if path.name == "__init__.py" and any(program(path))]
    assert found == sorted(KNOWN_PROGRAMS)


def test_no_file_is_long() -> None:
    """A file holds one idea and stays short; the table of causes is the one exception."""
    lengths = {name(path): len(path.read_text("utf-8").splitlines()) for path in sources()}
    assert [file for file, lines in lengths.items() if lines > MAX_LINES and file != TABLE] == sorted(KNOWN_LONG_FILES)


def test_no_signature_is_long() -> None:
    """A function that needs many values takes one that names them together."""
    found = [
        f"{name(path)}: {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and len(parameters(node)) > MAX_PARAMETERS
    ]
    assert sorted(found) == sorted(KNOWN_LONG_SIGNATURES)


def sources() -> list[Path]:
    """Every file of the package, by name."""
    return sorted(SOURCE.rglob("*.py"))


def name(path: Path) -> str:
    """The path from the root of the repository."""
    return path.relative_to(ROOT).as_posix()


def program(path: Path) -> Iterator[ast.stmt]:
    """The statements of a file that do more than document, import, list exports or name a constant."""
    for place, node in enumerate(ast.parse(path.read_text("utf-8")).body):
        match node:
            case ast.Import() | ast.ImportFrom():
                continue
            case ast.Expr(value=ast.Constant(value=str())) if place == 0:
                continue
            case ast.Assign(targets=[ast.Name(id="__all__")]) | ast.Assign(targets=[ast.Name()], value=ast.Constant()):
                continue
        yield node


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """The named parameters of a function, without `self` and `cls`."""
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [one.arg for one in every if one.arg not in ("self", "cls")]


def cycles(imports: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """The groups of modules that reach each other: the strongly connected components of more than one (Tarjan)."""
    found: list[tuple[str, ...]] = []
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for other in sorted(imports[module]):
            if other not in number:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], number[other])
        if lowest[module] == number[module]:
            start = stack.index(module)
            if len(stack) - start > 1:
                found.append(tuple(sorted(stack[start:])))
            del stack[start:]

    for module in sorted(imports):
        if module not in number:
            visit(module)
    return sorted(found)
