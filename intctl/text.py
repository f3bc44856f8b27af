"""What may be shown: text that came from outside, made harmless for a terminal and a log line."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

#: Longest text from outside that is kept or shown, in characters.
LIMIT = 500

# Format (bidi, zero-width), control, surrogate, private use and line/paragraph separators.
_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def clean(text: object, limit: int = LIMIT) -> str:
    """`text` on one line, without control, bidi and zero-width characters, at most `limit` long."""
    shown = str(text)[: limit * 4]
    if not shown.isprintable() and any(unicodedata.category(char) in _UNSHOWN for char in shown):
        shown = "".join(
            " " if char in "\t\r\n" else char
            for char in shown
            if char in "\t\r\n" or unicodedata.category(char) not in _UNSHOWN
        )
        shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def rfc3339(moment: datetime) -> str:
    """A time as every JSON document has it: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def name_problem(name: str) -> str | None:
    """Why `name` can't name an integration, or None: 1–100 printable characters, NFC, no leading "-"."""
    if not name:
        return "a name has at least one character"
    if len(name) > 100:
        return "a name has at most 100 characters"
    if name != name.strip():
        return "a name has no blank at its start or end"
    if name.startswith("-"):
        return 'a name does not start with "-": it would read as an option'
    if any(unicodedata.category(char) in _UNSHOWN for char in name):
        return "a name has no control, bidi or zero-width characters"
    if unicodedata.normalize("NFC", name) != name:
        return "a name is written in Unicode's composed form (NFC)"
    return None


def fold(name: str) -> str:
    """`name` for comparing: upper and lower case are the same for ASCII letters only, as in both databases."""
    return "".join(char.lower() if char.isascii() else char for char in name)


def nearest(word: str, choices: list[str] | tuple[str, ...]) -> str:
    """`; did you mean "x"?` for the closest of `choices`, or nothing."""
    from difflib import get_close_matches

    found = get_close_matches(word.lower(), choices, n=1, cutoff=0.6)
    return f'; did you mean "{found[0]}"?' if found else ""


class Secret:
    """A secret value that no repr, format, log or JSON shows. Only `reveal()` gives it up."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself: for the wire and for sealing, nothing else."""
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


#: What stands for a secret wherever a config is shown. A manifest that holds it is refused.
MASK = "********"
