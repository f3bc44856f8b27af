"""Parse YAML text into a small tree of nodes with positions.

The parser reads PyYAML's events instead of loading the document: it can stop at a limit, detects duplicate keys,
keeps positions, and leaves `no`, `017` and `12:30:45` as they were written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from intctl.errors import ManifestError, Problem

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_ITEMS = 10_000
#: Nodes of one document, including those that aliases repeat.
MAX_NODES = 500_000
MAX_KEYS = 1_000
#: The parser stops after this many problems.
MAX_PROBLEMS = 1_000

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DASHES = re.compile(r"^ *- ", re.MULTILINE)
_TOO_MANY = f"more than {MAX_ITEMS:,} entries in one list: split the file"
_TAG = "tag:yaml.org,2002:"
#: Tags that a scalar may have. `!` and `!!str` only mark it as text.
_TAGS = {"!env", "!file", "!keep"}

#: Parts of PyYAML's messages, and the message to show instead: PyYAML's own may quote the file.
_COMPLAINTS = (
    ("mapping values are not allowed", 'a ":" is not allowed here: quote the text, or check the indentation'),
    ("could not find expected ':'", 'a key without ":", or text that must be quoted'),
    ("'\\t'", "tabs are not allowed as indentation: use spaces"),
    ("cannot start any token", "this character can't begin a value: quote the text"),
    ("end of stream", "a quote or bracket is not closed"),
    ("<stream end>", "a quote or bracket is not closed"),
    ("expected ',' or", "a bracket is not closed, or a comma is missing"),
    ("expected <block end>", "the indentation is inconsistent"),
    ("undefined tag handle", "unknown tag"),
    ("expected ' ', but found", "a tag such as !keep must be followed by a space"),
    ("unknown escape", 'unknown escape: write \\\\ for a backslash in "…"'),
    ("anchor", "an anchor or alias without a valid name"),
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as it was written. `reads_as` is its type in YAML 1.1: str, int, bool, null, …"""

    line: int
    column: int
    text: str = field(repr=False)
    plain: bool = False
    tag: str = ""
    reads_as: str = "str"


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    line: int
    column: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order of the file, each key once."""

    line: int
    column: int
    entries: tuple[tuple[Scalar, Node], ...]


Node = Scalar | Items | Mapping


def quoted(key: str) -> str:
    """Return a key for a message. Text that does not look like a key is not shown: it may be a misplaced secret."""
    return f'"{key}"' if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,39}", key) else f"({len(key)} characters)"


def parse(data: bytes, file: str) -> tuple[Node | None, list[Problem]]:
    """Return the document's tree (None if it is empty) and the problems that did not stop the parser.

    Raises ManifestError for those that do: too large, not UTF-8, not YAML, too deep.
    """
    import yaml

    text = _decoded(data, file)
    # Only `integrations` is a list, and fields are single lines or PEM, so each match is an entry.
    # A list that is far too long is refused before the parser spends seconds on it.
    if len(_DASHES.findall(text)) > MAX_ITEMS:
        raise ManifestError([Problem(file, 0, 0, _TOO_MANY)])
    walk = _Walk(yaml.SafeLoader(text), file)
    try:
        return walk.document(), walk.problems
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or walk.loader.get_mark()
        said = str(getattr(error, "problem", ""))
        walk.stop(mark, next((ours for theirs, ours in _COMPLAINTS if theirs in said), "this is not valid YAML"))
    except (ValueError, OverflowError):
        # Python limits the values of escapes and directives.
        walk.stop(walk.loader.get_mark(), "a number or escape here is out of range")


def reads_as(text: str) -> str:
    """Return the type of unquoted `text` in YAML 1.1: str, int, float, bool, null, timestamp, …"""
    import yaml

    return _implicit(yaml.SafeLoader(""), text)


def _implicit(loader: Any, text: str) -> str:
    import yaml

    return str(loader.resolve(yaml.ScalarNode, text, (True, False))).removeprefix(_TAG)


def _decoded(data: bytes, file: str) -> str:
    if len(data) > MAX_BYTES:
        raise ManifestError([Problem(file, 0, 0, "larger than 1 MiB")])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        offset = error.start
        message = "not UTF-8: save the file as UTF-8"
    else:
        found = _UNPRINTABLE.search(text)
        if not found:
            return text.removeprefix("\ufeff")
        offset = len(text[: found.start()].encode())
        message = f"{'a NUL' if found[0] == chr(0) else 'a control character'} is not allowed in a manifest"
    before = data[:offset]
    line, column = before.count(b"\n") + 1, offset - before.rfind(b"\n")
    raise ManifestError([Problem(file, line, column, f"{message} (byte {offset})")])


class _Walk:
    """One pass over the events of one document."""

    def __init__(self, loader: Any, file: str) -> None:
        self.loader = loader  # PyYAML's parser has no type hints
        self.file = file
        self.problems: list[Problem] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.nodes = 0

    def wrong(self, mark: Any, message: str) -> None:
        self.problems.append(Problem(self.file, mark.line + 1, mark.column + 1, message))

    def stop(self, mark: Any, message: str) -> NoReturn:
        self.wrong(mark, message)
        raise ManifestError(self.problems) from None

    def document(self) -> Node | None:
        import yaml

        self.loader.get_event()
        if isinstance(self.loader.get_event(), yaml.StreamEndEvent):
            return None
        root = self.node(self.loader.get_event(), 1)
        self.loader.get_event()
        after = self.loader.get_event()
        if not isinstance(after, yaml.StreamEndEvent):
            self.stop(after.start_mark, "a second document starts here: put several integrations under integrations:")
        if isinstance(root, Scalar) and root.plain and not root.text and not root.tag:
            return None
        return root

    def node(self, event: Any, depth: int) -> Node:
        import yaml

        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        before = self.nodes
        self.count(mark, 1)
        if len(self.problems) >= MAX_PROBLEMS:
            self.stop(mark, "too many problems: the rest of the file was not read")
        if depth > MAX_DEPTH:
            self.stop(mark, f"nested deeper than {MAX_DEPTH} levels")
        made: Node
        if isinstance(event, yaml.ScalarEvent):
            made = self.scalar(event)
        else:
            if event.tag is not None:
                self.wrong(mark, "a list or a mapping can't have a tag")
            mapping = isinstance(event, yaml.MappingStartEvent)
            made = self.mapping(mark, depth) if mapping else self.items(mark, depth)
        if event.anchor is not None:
            # Define the anchor only when its node is complete, so that an alias inside it is unknown.
            self.anchors[event.anchor] = (made, self.nodes - before)
        return made

    def count(self, mark: Any, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            self.stop(mark, "too many values in one file: split it (an alias counts as everything that it repeats)")

    def alias(self, event: Any) -> Node:
        known = self.anchors.get(event.anchor)
        if known is None:
            self.stop(event.start_mark, "unknown alias (*…): define its anchor above it")
        self.count(event.start_mark, known[1])
        return known[0]

    def scalar(self, event: Any) -> Scalar:
        mark, plain, tag = event.start_mark, event.style is None, event.tag or ""
        if tag in ("!", f"{_TAG}str"):
            plain, tag = False, ""
        elif tag and tag not in _TAGS:
            self.wrong(mark, "unknown tag: use !env, !file or !keep")
            tag = ""
        kind = _implicit(self.loader, event.value) if plain and not tag else "str"
        return Scalar(mark.line + 1, mark.column + 1, event.value, plain, tag, kind)

    def items(self, mark: Any, depth: int) -> Items:
        import yaml

        found: list[Node] = []
        while not isinstance(event := self.loader.get_event(), yaml.SequenceEndEvent):
            if len(found) == MAX_ITEMS:
                self.stop(event.start_mark, _TOO_MANY)
            found.append(self.node(event, depth + 1))
        return Items(mark.line + 1, mark.column + 1, tuple(found))

    def mapping(self, mark: Any, depth: int) -> Mapping:
        import yaml

        found: dict[str, tuple[Scalar, Node]] = {}
        while not isinstance(event := self.loader.get_event(), yaml.MappingEndEvent):
            if len(found) >= MAX_KEYS:
                self.stop(event.start_mark, f"more than {MAX_KEYS:,} keys in one mapping")
            key = self.node(event, depth + 1)
            value = self.node(self.loader.get_event(), depth + 1)
            if not isinstance(key, Scalar) or key.tag:
                self.wrong(event.start_mark, "a key must be a plain text")
            elif key.plain and key.text == "<<":
                for merged, what in self.merged(key, value):
                    self.enter(found, merged, what, key)
            else:
                self.enter(found, key, value, key)
        return Mapping(mark.line + 1, mark.column + 1, tuple(found.values()))

    def merged(self, key: Scalar, value: Node) -> list[tuple[Scalar, Node]]:
        parts = value.items if isinstance(value, Items) else (value,)
        entries: list[tuple[Scalar, Node]] = []
        for part in parts:
            if isinstance(part, Mapping):
                entries += part.entries
            else:
                self.problems.append(Problem(self.file, key.line, key.column, "<<: requires one or several mappings"))
        return entries

    def enter(self, found: dict[str, tuple[Scalar, Node]], key: Scalar, value: Node, at: Scalar) -> None:
        first = found.setdefault(key.text, (key, value))
        if first[0] is key and first[1] is value:
            return
        through = " through <<" if at is not key else ""
        self.problems.append(
            Problem(
                self.file,
                at.line,
                at.column,
                f"{quoted(key.text)} is given twice{through}: first on line {first[0].line}",
            )
        )
