"""Load a manifest: from bytes to validated integrations, or to every problem at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from intctl.errors import Problem
from intctl.manifest import tree
from intctl.manifest.fields import SET, Reader, StoredConfig, read_config
from intctl.manifest.references import ValueSources
from intctl.manifest.tree import Node, Scalar, quoted
from intctl.manifest.values import Wrong, from_node, from_text
from intctl.providers import catalogue
from intctl.providers.base import TYPES, Field, Provider
from intctl.text import Secret, name_problem, nearest

_T = TypeVar("_T")

MAX_ITEMS = tree.MAX_ITEMS

_NAME = Field("name", "Name of the integration", required=True)
_PROVIDER = Field("provider", "Which service it is", kind="choice", required=True)
_TYPE = Field("type", "What it is for", kind="choice", choices=TYPES)
_ENABLED = Field("enabled", "Whether it is checked", kind="boolean")
_INTERVAL = Field("health_check_interval_minutes", "Minutes between checks", kind="integer", minimum=1, maximum=60)
#: The top-level keys of one integration, except `config`.
KEYS = (_NAME, _PROVIDER, _TYPE, _ENABLED, _INTERVAL)
_SETTABLE = (_NAME, _TYPE, _ENABLED, _INTERVAL)
_SCALAR_KEYS = {key.name: key for key in KEYS}


@dataclass(frozen=True, slots=True)
class Manifest:
    """One integration of a manifest. None means that the file does not set the value.

    `config` is validated and complete, secrets wrapped. `has_config` is False if the file has no `config` (only
    with `partial`). `kept` are the secrets that come from the stored config.
    """

    name: str | None
    provider: Provider
    type: str | None
    enabled: bool | None
    interval: int | None
    config: dict[str, object]
    has_config: bool = True
    kept: frozenset[str] = frozenset()
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Loaded:
    """The integrations of a file, and warnings for its author."""

    items: tuple[Manifest, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Overrides:
    """Values that override the file: `key=value` texts, and secrets by field."""

    assignments: tuple[str, ...] = field(default=(), repr=False)  # may hold a secret by mistake
    secrets: Mapping[str, Secret] = field(default_factory=dict)


NO_OVERRIDES = Overrides()


def load(
    data: bytes,
    *,
    file: str,
    sources: ValueSources,
    overrides: Overrides = NO_OVERRIDES,
    stored: StoredConfig | None = None,
    partial: bool = False,
) -> Loaded:
    """Load the integrations in `data`; `file` is its name in messages and the base of relative paths.

    With `stored`, the file edits that integration: it has one entry, may omit any top-level key, and `!keep`
    means the stored secret. With `partial`, an entry may omit `config` (apply keeps the stored one). Raises
    ManifestError with every problem at once.
    """
    root, problems = tree.parse(data, file)
    here = Reader(file, sources, _folder(file), stored, partial, problems)
    nodes = _items(here, root)
    if len(nodes) > 1 and (overrides.assignments or overrides.secrets or stored):
        here.at(None, "expected one integration: --set, --secret and edit do not work with a list")
        nodes = nodes[:1]
    found = [_item(here, node, overrides) for node in nodes]
    items = tuple(item for item in found if item is not None)
    here.problems += same_names(items)
    if not nodes and not here.problems:
        here.at(None, f"no integrations in {file}")
    here.finish()
    return Loaded(items, tuple(dict.fromkeys(here.warnings)))


def revise(
    stored: StoredConfig,
    *,
    environ: Mapping[str, str],
    assignments: Sequence[str] = (),
    secrets: Mapping[str, Secret] | None = None,
) -> Loaded:
    """Edit the stored integration without a file, by `assignments` and new `secrets`.

    Raises SecretsNeeded if the destination changes and a secret was not entered again, ManifestError for any
    other problem.
    """
    here = Reader(SET, ValueSources(environ), Path(), stored, True, [])
    item = _item(here, tree.Mapping(0, 0, ()), Overrides(tuple(assignments), secrets or {}))
    here.finish()
    return Loaded((item,) if item else (), tuple(here.warnings))


def same_names(items: Iterable[Manifest]) -> list[Problem]:
    """Return a problem for each repeated name, ignoring ASCII case."""
    problems: list[Problem] = []
    first: dict[str, Manifest] = {}
    for item in items:
        if item.name is None:
            continue
        folded = "".join(char.lower() if char.isascii() else char for char in item.name)
        other = first.setdefault(folded, item)
        if other is not item:
            where = f"{other.file}:{other.line}" if other.file != item.file else f"line {other.line}"
            message = f"name: {where} has the same name (case is ignored)"
            problems.append(Problem(item.file, item.line, 1, message, ("name",)))
    return problems


def _folder(file: str) -> Path:
    """The base of relative paths; the current folder is never asked for, because it may have been deleted."""
    return Path() if file.startswith(("/dev/", "/proc/")) else Path(file).parent


def _items(here: Reader, root: Node | None) -> list[tree.Mapping]:
    if root is None:
        return [tree.Mapping(0, 0, ())] if here.stored else []
    if not isinstance(root, tree.Mapping):
        here.at(root, "keys and values are expected at the top: name, provider, config, or a list under integrations")
        return []
    several = next((value for key, value in root.entries if key.text == "integrations"), None)
    if several is None:
        return [root]
    for key, _ in root.entries:
        if key.text != "integrations":
            here.at(key, f"{quoted(key.text)} is not allowed next to integrations: move it into the entries")
    if not isinstance(several, tree.Items):
        here.at(several, "integrations: a list is expected")
        return []
    found = []
    for node in several.items:
        if isinstance(node, tree.Mapping):
            found.append(node)
        else:
            here.at(node, "integrations: each entry must have keys and values: name, provider, config")
    return found


def _item(here: Reader, node: tree.Mapping, overrides: Overrides) -> Manifest | None:
    before = len(here.problems)
    values, nodes = _top(here, node)
    provider = here.stored.provider if here.stored else catalogue.get(str(values.get("provider", "")))
    if here.stored and provider and values.get("provider", provider.name) != provider.name:
        message = f"provider: can't be edited: it is {provider.name}; add a new integration instead"
        here.at(nodes["provider"], message, "provider")
    if provider is None:
        if "provider" not in nodes:
            here.at(node, "provider is missing", "provider")
        return None
    given, changed = _assigned(here, provider, overrides.assignments)
    values |= given
    for name in overrides.secrets:
        if name not in provider.secrets:
            here.on_line(f"{quoted(name)} is not a secret of {provider.name}{nearest(name, sorted(provider.secrets))}")
    if "name" not in values and "name" not in nodes and not here.stored:
        here.at(node, "name is missing", "name")
    if provider.type != "custom" and values.get("type", provider.type) != provider.type:
        here.at(nodes.get("type"), f"type: {provider.name} is of type {provider.type}", "type")
    config, kept = read_config(here, provider, node, nodes.get("config"), changed, overrides.secrets)
    if len(here.problems) > before:
        return None
    return Manifest(
        name=_as(str, values.get("name")),
        provider=provider,
        type=_as(str, values.get("type")),
        enabled=_as(bool, values.get("enabled")),
        interval=_as(int, values.get(_INTERVAL.name)),
        config=config,
        has_config="config" in nodes or bool(here.stored),
        kept=kept,
        file=here.file,
        line=node.line,
    )


def _as(kind: type[_T], value: object) -> _T | None:
    return value if isinstance(value, kind) else None


def _top(here: Reader, node: tree.Mapping) -> tuple[dict[str, object], dict[str, Node]]:
    values: dict[str, object] = {}
    nodes: dict[str, Node] = {}
    known = (*_SCALAR_KEYS, "config")
    for key, value in node.entries:
        nodes[key.text] = value
        if key.text == "config":
            continue
        if key.text not in _SCALAR_KEYS:
            here.at(key, f"unknown key {quoted(key.text)}{nearest(key.text[:100], known)}")
            continue
        try:
            one = _SCALAR_KEYS[key.text]
            one = one.replace(choices=catalogue.names()) if one is _PROVIDER else one
            found = from_node(one, _untagged(value), here.folder)
            if key.text == "name" and (problem := name_problem(str(found))):
                raise Wrong(problem)
            values[key.text] = found
        except Wrong as wrong:
            here.at(value, f"{key.text}: {wrong}", key.text)
    return values, nodes


def _untagged(node: Node) -> Node:
    if isinstance(node, Scalar) and node.tag:
        raise Wrong(f"{node.tag} is allowed in the fields of config only")
    return node


def _assigned(
    here: Reader, provider: Provider, assignments: Sequence[str]
) -> tuple[dict[str, object], dict[str, object]]:
    """Return the values of --set: top-level ones, and config ones (None removes a field)."""
    top: dict[str, object] = {}
    config: dict[str, object] = {}
    settable = {key.name: key for key in _SETTABLE}
    fields = {one.name: one for one in provider.fields}
    for text in assignments:
        name, equals, value = text.partition("=")
        one = settable.get(name) or fields.get(name)
        if not equals:
            here.on_line("key=value is expected")
        elif one is None:
            here.on_line(f"unknown key {quoted(name)}{nearest(name[:100], (*settable, *fields))}")
        elif one.secret:
            here.on_line(f"{name} is a secret: use --secret {name}, or a reference in a file", name)
        elif name in top or name in config:
            here.on_line(f"{name} is given twice", name)
        else:
            try:
                _assign(one, value, top if name in settable else config)
            except Wrong as wrong:
                here.on_line(f"{name}: {wrong}", name)
    return top, config


def _assign(one: Field, text: str, into: dict[str, object]) -> None:
    if one.kind == "json":
        raise Wrong("has several values: set it in a file")
    if not text and one not in KEYS:
        into[one.name] = None
        return
    value = from_text(one, text, Path())
    if one is _NAME and (problem := name_problem(text)):
        raise Wrong(problem)
    into[one.name] = value
