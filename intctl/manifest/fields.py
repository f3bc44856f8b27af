"""Read the `config` of one integration: fields, references, overrides and edits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from intctl.errors import ManifestError, Problem
from intctl.manifest import tree
from intctl.manifest.config import filled, needs_secret_again, revised
from intctl.manifest.references import ValueSources, from_environment, from_file
from intctl.manifest.tree import Node, Scalar, quoted
from intctl.manifest.values import Wrong, from_node, from_text
from intctl.providers.base import Field, Provider
from intctl.text import Secret, nearest
from intctl.trust import EXPOSED

#: The `file` of problems on the command line.
SET, SECRET = "--set", "--secret"


@dataclass(frozen=True, slots=True)
class StoredConfig:
    """The integration that a manifest edits. Its provider cannot change; its secrets can be kept."""

    provider: Provider
    config: Mapping[str, object]


class SecretsNeeded(ManifestError):
    """The only problem is that the destination changed: the secrets `fields` must be entered again."""

    def __init__(self, problems: Sequence[Problem], fields: frozenset[str]) -> None:
        super().__init__(problems)
        self.fields = fields


@dataclass(slots=True)
class Reader:
    """The state of one load: its sources, and the problems found so far."""

    file: str
    sources: ValueSources
    folder: Path
    stored: StoredConfig | None
    partial: bool
    problems: list[Problem]
    warnings: list[str] = field(default_factory=list)
    #: Secrets that an edit would send elsewhere.
    needed: set[str] = field(default_factory=set)

    def at(self, node: Node | None, message: str, *fields: str) -> None:
        """Add a problem at the position of `node`, about `fields`."""
        line, column = (node.line, node.column) if node else (0, 0)
        self.problems.append(Problem(self.file, line, column, message, fields))

    def on_line(self, message: str, *fields: str) -> None:
        """Add a problem of the command line, about `fields`."""
        self.problems.append(Problem(SET, 0, 0, message, fields))

    def finish(self) -> None:
        if self.problems and len(self.problems) == len(self.needed):
            raise SecretsNeeded(self.problems, frozenset(self.needed))
        if self.problems:
            raise ManifestError(sorted(self.problems)[: tree.MAX_PROBLEMS])


def read_config(
    here: Reader,
    provider: Provider,
    item: tree.Mapping,
    node: Node | None,
    changed: Mapping[str, object],
    secrets: Mapping[str, Secret],
) -> tuple[dict[str, object], frozenset[str]]:
    """Return the complete config and the names of the secrets that were kept; add problems to `here`.

    `item` is the whole integration, `node` its `config`. `changed` and `secrets` override both the file and the
    stored config; a None in `changed` removes a field.
    """
    values: dict[str, object] = {}
    nodes: dict[str, Node] = {}
    kept: set[str] = set()
    before = len(here.problems)
    changes = {**changed, **_entered(here, provider, secrets)}
    if node is None and here.stored:
        values = revised(provider, here.stored.config, changes)
        kept = {name for name in provider.secrets if name in values}
    elif node is None and here.partial and not changes:
        return {}, frozenset()
    elif isinstance(node, tree.Mapping):
        kept = _fields(here, provider, node, values, nodes)
    elif node is not None:
        here.at(node, "config: keys and values are expected")
        return {}, frozenset()
    values = {name: value for name, value in {**values, **changes}.items() if value is not None}
    kept -= set(changes)
    sound = len(here.problems) == before
    missing = [one.name for one in provider.fields if one.required and one.name not in values and one.name not in nodes]
    for name in missing:
        here.at(node or item, f"{name} is missing" if node or here.stored else f"config: {name} is missing", name)
    if sound:
        for found in provider.check({one.name: one.default for one in provider.fields if one.default} | values):
            if found.field not in missing:
                here.at(nodes.get(found.field, node or item), f"{found.field}: {found.message}", *found.fields)
    if len(here.problems) > before:
        return {}, frozenset()
    full = filled(provider, values)
    _warn_of_unusual(here, provider, full, kept)
    if here.stored:
        for name in sorted(needs_secret_again(provider, here.stored.config, full) & kept):
            here.needed.add(name)
            here.at(nodes.get(name), f"{name}: changing the destination requires re-entering the secret", name)
    return full, frozenset(kept)


def _warn_of_unusual(here: Reader, provider: Provider, full: Mapping[str, object], kept: Set[str]) -> None:
    """Warn of new values that are hardly what the vendor gives. Never shows a value."""
    for one in provider.fields:
        value = full.get(one.name)
        text = value.reveal() if isinstance(value, Secret) else value
        if not one.usual or not isinstance(text, str) or one.name in kept or "base_url" in full:
            continue
        if not re.fullmatch(one.usual, text):
            here.warnings.append(f"{here.file}: {one.name}: {one.unusual}")


def _entered(here: Reader, provider: Provider, secrets: Mapping[str, Secret]) -> dict[str, Secret]:
    """The secrets that were entered at a prompt or on standard input, under the rules of those in a file."""
    found: dict[str, Secret] = {}
    for one in provider.fields:
        if one.secret and one.name in secrets:
            try:
                found[one.name] = Secret(str(from_text(one, secrets[one.name].reveal(), here.folder)))
            except Wrong as wrong:
                here.problems.append(Problem(SECRET, 0, 0, f"{one.name}: {wrong}", (one.name,)))
    return found


def _fields(
    here: Reader, provider: Provider, node: tree.Mapping, values: dict[str, object], nodes: dict[str, Node]
) -> set[str]:
    """Read the fields of a config into `values` and `nodes`; return the names of those that are kept."""
    fields = {one.name: one for one in provider.fields}
    kept: set[str] = set()
    for key, value in node.entries:
        one = fields.get(key.text)
        if one is None:
            here.at(key, f"unknown key {quoted(key.text)}{nearest(key.text[:100], tuple(fields))}")
            continue
        nodes[one.name] = value
        try:
            if isinstance(value, Scalar) and value.tag == "!keep":
                values[one.name] = _stored_value(here, one, value)
                kept.add(one.name)
            else:
                found = _value(here, one, value)
                values[one.name] = Secret(str(found)) if one.secret else found
        except Wrong as wrong:
            here.at(value, f"{one.name}: {wrong}", one.name)
    return kept


def _stored_value(here: Reader, one: Field, node: Scalar) -> object:
    if not one.secret:
        raise Wrong("!keep is allowed for secrets only: write the value")
    if node.text:
        raise Wrong("!keep must not have a value")
    if here.stored is None or one.name not in here.stored.config:
        raise Wrong("!keep: there is no stored value to keep")
    return here.stored.config[one.name]


def _value(here: Reader, one: Field, node: Node) -> object:
    reference = _reference(one, node)
    if reference is None:
        if one.secret:
            _inline(here, one, node)
        return from_node(one, node, here.folder)
    kind, text = reference
    if kind == "env":
        return from_text(one, from_environment(text, here.sources), here.folder)
    content, warning = from_file(text, here.folder, here.sources, secret=one.secret)
    if warning:
        place = f"{here.file}:{node.line}:{node.column}: {one.name}: "
        here.warnings.append(warning if warning == EXPOSED else place + warning)
    return from_text(one, content, here.folder)


def _reference(one: Field, node: Node) -> tuple[str, str] | None:
    """Return ("env" | "file", its target), or None for a literal value. Raises Wrong."""
    if isinstance(node, Scalar):
        if not node.tag:
            return None
        kind, target = node.tag.removeprefix("!"), node.text
    elif isinstance(node, tree.Mapping) and one.kind != "json":
        if len(node.entries) != 1:
            raise Wrong("a reference must have exactly one key: env or file")
        key, value = node.entries[0]
        if key.text not in ("env", "file"):
            raise Wrong("a reference must have exactly one key: env or file")
        if not isinstance(value, Scalar) or value.tag or value.reads_as != "str":
            raise Wrong(f"{key.text} requires {'the name of a variable' if key.text == 'env' else 'a path'}")
        kind, target = key.text, value.text
    else:
        return None
    if one.kind == "json":
        raise Wrong("has several values: write them out")
    return kind, target


def _inline(here: Reader, one: Field, node: Node) -> None:
    """Check a plaintext secret: first the value, then whether plaintext is allowed."""
    from_node(one, node, here.folder)
    if not here.sources.allow_inline_secrets:
        raise Wrong("plaintext secrets are not allowed in the file: use {env: NAME} or {file: PATH}")
    here.warnings.append(
        f"{here.file}:{node.line}:{node.column}: {one.name}: plaintext secret in the file; use {{env: NAME}} instead"
    )
