"""Text that is safe to show: external text cleaned for terminals and log lines, and secrets masked."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

#: The longest external text that is kept or shown, in characters.
LIMIT = 500

#: How deeply JSON of a row may be nested; intctl itself writes three levels.
_MAX_DEPTH = 100
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
# Format (bidi, zero-width), control, surrogate, private use and line/paragraph separators.
_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def clean(text: object, limit: int = LIMIT) -> str:
    """Return `text` on one line, without control, bidi and zero-width characters, at most `limit` long."""
    shown = str(text)[: limit * 4]
    if not shown.isprintable() and any(unicodedata.category(char) in _UNSHOWN for char in shown):
        shown = "".join(
            " " if char in "\t\r\n" else char
            for char in shown
            if char in "\t\r\n" or unicodedata.category(char) not in _UNSHOWN
        )
        shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def safe(text: str) -> str:
    """Return output as it may leave the program: its lines without control, bidi and zero-width characters.

    A terminal, a log and a CI runner execute what they are shown. GitHub Actions runs lines that begin with `::`
    ("Workflow commands"), Azure Pipelines `##vso[` and TeamCity `##teamcity[` anywhere in a line ("Logging commands",
    "Service messages"): a blank makes them text.
    """
    lines = text.split("\n")
    return "\n".join(
        line if line.isprintable() and "##" not in line and "::" not in line else _inert(line) for line in lines
    )


def one_line(text: str) -> str:
    """Return a message as it may leave the program: safe, and on one line, so that no value in it begins another."""
    return safe(" ".join(text.splitlines()))


def _inert(line: str) -> str:
    shown = "".join(" " if char in "\t\r" else char for char in line if char in "\t\r" or not _is_hidden(char))
    shown = re.sub(r"##(?=[A-Za-z]*\[)", "# #", shown)
    return re.sub(r"^(\s*):(?=:)", r"\1: ", shown)


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in _UNSHOWN


def stored_json(text: str | bytes) -> object:
    """Decode JSON that another program may have written. Raises ValueError if it is none, or nested too deeply.

    Python's decoder, and whatever walks the result, would end with a RecursionError for one odd row.
    """
    import json

    shown = text.decode() if isinstance(text, bytes) else text
    if shown.count("[") + shown.count("{") > _MAX_DEPTH and _depth(shown) > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    return json.loads(shown)


def _depth(text: str) -> int:
    """The depth of the brackets outside strings."""
    depth = deepest = 0
    for found in _BRACKETS.finditer(text):
        if (mark := found[0][0]) != '"':
            depth += 1 if mark in "[{" else -1
            deepest = max(deepest, depth)
    return deepest


def rfc3339(moment: datetime) -> str:
    """Format a time for JSON documents: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def name_problem(name: str) -> str | None:
    """Return why `name` is not a valid name, or None: 1–100 printable characters, NFC, no leading "-"."""
    if not name:
        return "a name must have at least one character"
    if len(name) > 100:
        return "a name must have at most 100 characters"
    if name != name.strip():
        return "a name must not start or end with whitespace"
    if name.startswith("-"):
        return 'a name must not start with "-": it would be read as an option'
    if name.startswith("::") or "##" in name:
        return 'a name must not start with "::" or contain "##": CI runners would run it as a command'
    if any(_is_hidden(char) for char in name):
        return "a name must not contain control, bidi or zero-width characters"
    if unicodedata.normalize("NFC", name) != name:
        return "a name must be in Unicode's composed form (NFC)"
    return None


def fold(name: str) -> str:
    """Return `name` with ASCII letters in lower case, for comparisons as both databases make them."""
    return "".join(char.lower() if char.isascii() else char for char in name)


def nearest(word: str, choices: list[str] | tuple[str, ...]) -> str:
    """Return `; did you mean "x"?` for the closest of `choices`, or an empty text."""
    from difflib import get_close_matches

    found = get_close_matches(word.lower(), choices, n=1, cutoff=0.6)
    return f'; did you mean "{found[0]}"?' if found else ""


class Secret:
    """A secret value that no repr, format, log or JSON shows. Only `reveal()` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, for the wire and for sealing only."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


#: Replaces a secret wherever a config is shown. A manifest that contains it is refused.
MASK = "********"
