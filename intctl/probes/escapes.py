"""The escapes that servers write: of URLs, of quoted-printable, of HTML, and of programming languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

_BYTES = r"(?:%[0-9A-Fa-f]{2})+|(?:=[0-9A-Fa-f]{2})+|(?:\\x[0-9A-Fa-f]{2})+|(?:\\[0-3][0-7]{2})+"
_POINTS = r"(?:[\\%]u[0-9A-Fa-f]{4})+|\\U[0-9A-Fa-f]{8}|\\[uxUX]\{[0-9A-Fa-f]{1,8}\}"
_HTML = r"&(?:#[0-9]{1,12}|#[xX][0-9A-Fa-f]{1,12}|[A-Za-z][A-Za-z0-9]{1,30});?"

# What each begins with is tried first: most texts have no escapes.
ESCAPES = re.compile(rf"(?=[%=\\&])(?:{_BYTES}|{_POINTS}|\\[^uxUX0-3]|{_HTML})")


def unescaped(text: str) -> Iterator[tuple[str, int, int]]:
    """Each character of `text` with its escapes undone once, and its first place and the one after it in `text`."""
    done = 0
    for escape in ESCAPES.finditer(text):
        start, end = escape.span()
        yield from ((text[at], at, at + 1) for at in range(done, start))
        for chars, length in _meant(escape[0]):
            yield from ((char, start, start + length) for char in chars)
            start += length
        done = end
    yield from ((text[at], at, at + 1) for at in range(done, len(text)))


def _meant(escape: str) -> list[tuple[str, int]]:
    """The characters that an escape encodes, each with its length in the escape."""
    kind = escape[:2].lower()
    if kind in ("\\u", "%u", "\\x") and escape[2] == "{":
        return [(_character(escape[3:-1]), len(escape))]
    if escape[:2] == "\\U":
        return [(_character(escape[2:]), len(escape))]
    if kind in ("\\u", "%u"):
        units = bytes.fromhex(escape.replace(escape[:2], ""))
        chars = units.decode("utf-16-be", "surrogatepass")
        return [(char, 12 if ord(char) > 0xFFFF else 6) for char in chars]
    if escape[0] in "%=":
        return _decoded(bytes.fromhex(escape.replace(escape[0], "")), 3)
    if escape[0] == "&":
        meant = unescape(escape)
        return [(char, 1) for char in escape] if meant == escape else [(meant, len(escape))]
    if kind == "\\x":
        return _decoded(bytes.fromhex(escape.replace("\\x", "")), 4)
    if len(escape) > 2:
        return _decoded(bytes(int(octal, 8) for octal in escape[1:].split("\\")), 4)
    return [(escape[1], 2)]


def _character(digits: str) -> str:
    number = int(digits, 16)
    return chr(number) if number < 0x110000 else ""


def _decoded(data: bytes, length: int) -> list[tuple[str, int]]:
    """The characters of these bytes, each with its length in the text; `length` for each byte."""
    try:
        return [(char, length * len(char.encode())) for char in data.decode()]
    except UnicodeDecodeError:
        return [(char, length) for char in data.decode("latin-1")]
