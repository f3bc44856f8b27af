"""Records, not dictionaries: values from `store` have attributes that mypy knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: The rooms that use stored rows.
ROOMS = ("store", "views", "render", "cli", "plan", "agent", "metrics", "vault")
#: Mappings that hide the names and the types of their values.
_MAPPINGS = ("dict", "Mapping", "MutableMapping")

#: Signatures with such a mapping through which no stored row passes, each with its reason.
ALLOWED = {
    "intctl.vault:seal": "an envelope, as JSON goes into the column",
    "intctl.vault:open_plain": "the plaintext of an envelope: JSON, of which the provider's fields say what is in it",
    "intctl.store.tokens:SealedTokens._open": "the plaintext of a token's envelope",
    "intctl.store.tokens:SealedTokens._sealed": "the plaintext of a token's envelope",
    "intctl.store.tokens:_secret": "the plaintext of a token's envelope",
    "intctl.cli.agent:AgentOptions.of": "click's options by the names of their parameters",
}
#: The rooms in which a subscript with a text once read a column, and how many subscripts may be left in all of them.
SUBSCRIBERS = ("cli", "render", "views", "notify", "service", "plan", "agent")
SUBSCRIPTS = 50

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def modules() -> dict[str, ast.Module]:
    """The modules of the package by name, parsed."""
    found = {}
    for path in sorted((ROOT / "intctl").glob("**/*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text("utf-8"))
    return found


def functions(node: ast.AST, path: str = "") -> Iterator[tuple[str, Function]]:
    """Every function below `node`, with its dotted path."""
    for child in ast.iter_child_nodes(node):
        name = path
        if isinstance(child, Function | ast.ClassDef):
            name = f"{path}.{child.name}" if path else child.name
        if isinstance(child, Function):
            yield name, child
        yield from functions(child, name)


def parameters(function: Function) -> list[ast.arg]:
    """The named parameters of a function but `self` and `cls`."""
    arguments = function.args
    found = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [one for one in found if one.arg not in ("self", "cls")]


def is_loose(node: ast.AST) -> bool:
    """Whether a type is `dict[str, Any]`, or alike."""
    if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple)):
        return False
    kind = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
    return kind in _MAPPINGS and [getattr(one, "id", "") for one in node.slice.elts] == ["str", "Any"]


@cache
def aliases() -> frozenset[tuple[str, str]]:
    """The names that modules give to such a type: module and name."""
    return frozenset(
        (module, target.id)
        for module, tree in modules().items()
        for node in tree.body
        if isinstance(node, ast.Assign) and is_loose(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    )


def loose_names(module: str) -> set[str]:
    """What such a type is called in a module: by its own aliases, and by those that it imports."""
    found = {name for where, name in aliases() if where == module}
    for node in ast.walk(modules()[module]):
        if isinstance(node, ast.ImportFrom):
            found |= {one.asname or one.name for one in node.names if (node.module, one.name) in aliases()}
    return found


def loose_signatures() -> set[str]:
    """The functions of ROOMS that take or return such a mapping."""
    found = set()
    for module, tree in modules().items():
        if module.split(".")[1:2] and module.split(".")[1] in ROOMS:
            names = loose_names(module)
            for path, function in functions(tree):
                types = [*(one.annotation for one in parameters(function)), function.returns]
                parts = [part for one in types if one is not None for part in ast.walk(one)]
                if any(is_loose(part) or (isinstance(part, ast.Name) and part.id in names) for part in parts):
                    found.add(f"{module}:{path}")
    return found


def test_no_stored_row_passes_a_signature_as_a_mapping() -> None:
    """Rows leave `store` as records: only the listed signatures have a mapping of anything."""
    found = loose_signatures()
    assert found == ALLOWED.keys()


def test_columns_are_attributes() -> None:
    """`row["last_helth_check"]` passes mypy: the rooms that use rows have hardly any subscript with a text."""
    counts = dict.fromkeys(SUBSCRIBERS, 0)
    for module, tree in modules().items():
        room = (module.split(".")[1:2] or [""])[0]
        if room in counts:
            subscripts = (node for node in ast.walk(tree) if isinstance(node, ast.Subscript))
            texts = [
                one for one in subscripts if isinstance(one.slice, ast.Constant) and isinstance(one.slice.value, str)
            ]
            counts[room] += len(texts)
    assert sum(counts.values()) <= SUBSCRIPTS, counts


@pytest.mark.parametrize("module", [name for name in modules() if name.startswith("intctl.store.")])
def test_records_are_frozen(module: str) -> None:
    """Every dataclass of `store` is frozen and has slots: a read record can't be changed."""
    for node in modules()[module].body:
        if isinstance(node, ast.ClassDef):
            written = [ast.unparse(decorator) for decorator in node.decorator_list]
            assert [one for one in written if "dataclass" in one] in ([], ["dataclass(frozen=True, slots=True)"])
