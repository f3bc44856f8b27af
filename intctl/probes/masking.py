"""Masks credentials in another party's words, however they are spelled there.

Text and credential are compared in a normal form: compatibility form and case are undone, and all that is not a letter
or a digit is left out, shown or not. The text is also read with its escapes undone and its base64, base32 and hex
decoded, up to three times. Each reading knows the place of its characters in the text.
"""

from __future__ import annotations

import re
import unicodedata
from binascii import a2b_base64
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from intctl.probes.escapes import ESCAPES, unescaped
from intctl.text import MASK

#: Shorter secrets are not masked: they would match in too many places.
HIDDEN_MIN = 4

#: Replaces a text of which too much would be masked: a pattern of masks describes the credential, not the problem.
REPEATED = "the reply repeated the credential"

# A part of a secret is masked from this length on, if the secret is at least so long. By chance, 12 characters of a
# key are in no vendor's sentence.
_PART = 12
_LONG = 20
# Each stretch of _PART characters contains one of these grams, taken from every _STRIDE-th character of the secret.
_GRAM = 6
_STRIDE = _PART - _GRAM + 1

# From this length on, the letters and digits alone identify a secret, whatever stands between them in the text.
_CERTAIN = 12
# A secret with fewer letters and digits, and one of words, is compared with its punctuation, if it has any: "admin!" is
# not every "admin" of a text.
_ENOUGH = 8

_DEPTH = 3
#: The most characters in all readings of one text.
_BUDGET = 600_000

# Characters without a shape of their own that are letters or symbols to Unicode: the fillers of Hangul, and the blank
# of Braille. Marks are kept where they distinguish letters; variation selectors and joiners are not such marks.
_UNSEEN = frozenset("\u034f\u115f\u1160\u2800")
_MARKS = re.compile("[\u0300-\u034e\u0350-\u036f]")
_SHAPELESS = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})

_ASCII_UNSEEN = re.compile("[\x00-\x20\x7f]+")
_ASCII_OTHER = re.compile("[^0-9a-z]+")

_PEM = re.compile(r"-----(?:BEGIN|END) [A-Z0-9 ]+-----")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]*\.(?=[A-Za-z0-9_-]+\.)")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]*", re.IGNORECASE)

_BASE64 = str.maketrans("-_", "+/")
_BASE32 = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHIJKLMNOPQRSTUV")
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]+")
_BASE32_RUN = re.compile(r"[A-Z2-7]+|[a-z2-7]+")
_HEX_RUN = re.compile(r"(?:(?:0x|0X|#)?[0-9A-Fa-f]{2}[ \t,:;._|-]{0,3})+")
_HEX_DIGITS = re.compile(r"(?:0x|0X)?([0-9A-Fa-f]{2})")


class _Form(NamedTuple):
    """One form of a secret that is searched for.

    `spelled` is the secret with its punctuation, which is looked at only where the letters are found.
    """

    needle: str
    with_punctuation: bool
    spelled: str = ""


class _Reading(NamedTuple):
    """A text as decoded, with the functions from its characters to their first and last place in the shown text."""

    text: str
    start: Callable[[int], int]
    end: Callable[[int], int]


class _TooMuchError(Exception):
    """The readings of a text exceed the budget."""


class Masker:
    """The secrets of one attempt, in the forms that are searched for."""

    def __init__(self, secrets: Iterable[tuple[str | bytes, bool]]) -> None:
        """`secrets` holds each secret, and whether a part of it is masked too."""
        forms: dict[_Form, int] = {}
        parts: dict[str, None] = {}
        for raw, has_parts in secrets:
            for spelled in _spelled(raw):
                forms.update((form, min(len(form.needle), len(spelled))) for form in _forms(spelled))
                if has_parts:
                    parts.update(dict.fromkeys(_parts(spelled)))
        self._forms = tuple(forms)
        self._has_punctuation = any(form.with_punctuation for form in forms)
        self._grams = [
            (part[at : at + _GRAM], part, at) for part in parts for at in range(0, len(part) - _GRAM + 1, _STRIDE)
        ]
        self._shortest = min([*forms.values(), *([_PART] if parts else [])], default=0)

    def apply(self, text: str) -> str:
        """Return `text` with each secret masked; REPEATED if that is more than a third of it."""
        if not self._shortest or len(text) < self._shortest:
            return text
        covered = bytearray(len(text))
        try:
            for reading in _readings(text, self._shortest):
                self._cover(covered, reading)
        except _TooMuchError:
            return REPEATED  # encoded so often that a secret could not be ruled out
        hidden = sum(covered)
        if not hidden:
            return text
        if hidden * 3 > len(text):
            return REPEATED
        shown = ""
        for char, is_hidden, was_hidden in zip(text, covered, b"\0" + covered, strict=False):
            shown += ("" if was_hidden else MASK) if is_hidden else char
        return shown

    def _cover(self, covered: bytearray, reading: _Reading) -> None:
        """Mark in `covered` where this reading holds a secret or a part of one."""
        letters = normal_form(reading.text)
        visible = _visible(reading.text) if self._has_punctuation else ""
        found = []
        for form in self._forms:
            searched = visible if form.with_punctuation else letters
            if form.needle in searched:
                found.append((form, searched))
        grams = [(part, at) for gram, part, at in self._grams if gram in letters] if len(letters) >= _PART else []
        if not found and not grams:
            return
        spans = [span for form, text in found for span in _whole(form, text, reading.text)]
        if grams:
            places = _places(reading.text, _letters_of)
            spans += [(places[first], places[after - 1] + 1) for first, after in _stretches(grams, letters)]
        for first, after in spans:
            start, end = reading.start(first), reading.end(after - 1)
            covered[start:end] = b"\1" * (end - start)


# --- the normal form


def normal_form(text: str) -> str:
    """Return the letters and digits of `text` with compatibility form and case undone."""
    if text.isascii():
        return _ASCII_OTHER.sub("", text.lower())
    return "".join(map(_letters_of, text))


def _visible(text: str) -> str:
    if text.isascii():
        return _ASCII_UNSEEN.sub("", text.lower())
    return "".join(map(_shape_of, text))


@lru_cache(maxsize=4096)
def _letters_of(char: str) -> str:
    return "".join(one for one in _shape_of(char) if one.isalnum() or _MARKS.match(one))


@lru_cache(maxsize=4096)
def _shape_of(char: str) -> str:
    """`char` with compatibility form and case undone; empty if it is a blank or not shown."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
    return "".join(one for one in folded if one not in _UNSEEN and unicodedata.category(one) not in _SHAPELESS)


def _places(text: str, form: Callable[[str], str]) -> list[int]:
    """The place in `text` of each character of its normal form."""
    if form is _letters_of and text.isascii():
        return [place for place, char in enumerate(text) if char.isalnum()]
    return [place for place, char in enumerate(text) for _ in form(char)]


# --- the forms of a secret


def _spelled(raw: str | bytes) -> Iterator[str]:
    """The texts that a secret may be read as: itself, its bytes one by one, and unescaped as a text would be."""
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    text = data.decode("utf-8", "replace")
    yield text
    if not text.isascii():
        yield data.decode("latin-1")
    for _ in range(_DEPTH):
        if not ESCAPES.search(text):
            return
        text = "".join(char for char, _, _ in unescaped(text))
        yield text


def _forms(text: str) -> Iterator[_Form]:
    letters, visible = normal_form(text), _visible(text)
    is_enough = len(letters) >= (_LONG if letters.isalpha() else _ENOUGH)
    if is_enough or (letters == visible and len(letters) >= HIDDEN_MIN):
        yield _Form(letters, False, text)
        if len(letters) >= _ENOUGH and letters != letters[::-1]:
            yield _Form(letters[::-1], False)
    elif len(visible) >= HIDDEN_MIN:
        yield _Form(visible, True)


def _parts(text: str) -> Iterator[str]:
    """The pieces of a long secret of which each part is secret: no armour, JWT header, scheme or host."""
    if len(normal_form(text)) < _LONG:
        return
    for mark, rule in (("-----", _PEM), ("eyJ", _JWT), ("://", _URL)):
        if mark in text:
            text = rule.sub("\0", text)
    for piece in map(normal_form, text.split("\0")):
        if len(piece) >= _PART:
            yield piece
            yield piece[::-1]


# --- finding them


def _whole(form: _Form, text: str, reading: str) -> Iterator[tuple[int, int]]:
    """The spans of a reading, whose normal form is `text`, that hold the whole secret."""
    places = _places(reading, _shape_of if form.with_punctuation else _letters_of)
    own = _places(form.spelled, _letters_of)
    own_gaps = _gaps(form.spelled, own)
    left, right = (form.spelled[: own[0]].strip(), form.spelled[own[-1] + 1 :].strip()) if own else ("", "")
    at = text.find(form.needle)
    while at >= 0:
        inside = places[at : at + len(form.needle)]
        if form.with_punctuation or _is_meant(form.needle, own_gaps, _gaps(reading, inside), len(set(inside))):
            first, after = inside[0], inside[-1] + 1
            if left and reading[:first].endswith(left):
                first -= len(left)
            if right and reading.startswith(right, after):
                after += len(right)
            yield first, after
            at = text.find(form.needle, at + len(form.needle))
        else:
            at = text.find(form.needle, at + 1)


def _gaps(text: str, places: list[int]) -> set[int]:
    """The numbers of the letters before which `text` shows something else."""
    return {
        number
        for number, (left, right) in enumerate(pairwise(places), 1)
        if right > left + 1 and any(char.isspace() or _shape_of(char) for char in text[left + 1 : right])
    }


def _is_meant(needle: str, own: set[int], gaps: set[int], count: int) -> bool:
    """Whether `count` letters with these gaps are the secret, or the end of one word and the start of the next.

    `own` are the gaps of the secret itself. A secret with digits may be folded once, but not before
    them: "login 1" is not "login1". Of one that is spelled letter by letter, all are apart.
    """
    if len(needle) >= _CERTAIN or gaps <= own or len(gaps) == count - 1:
        return True
    if len(gaps) > 1 or needle.isalpha():
        return False
    fold = min(gaps)
    return needle[fold - 1].isalpha() == needle[fold].isalpha()


def _stretches(grams: list[tuple[str, int]], letters: str) -> Iterator[tuple[int, int]]:
    """The stretches of at least _PART characters that `letters` shares with the parts of these grams."""
    known = bytearray(len(letters))
    for part, place in grams:
        gram = part[place : place + _GRAM]
        at = letters.find(gram)
        while at >= 0:
            if all(known[at : at + _GRAM]):
                end = known.find(b"\0", at)
                at = letters.find(gram, end - _GRAM + 1) if end > 0 else -1
                continue
            first, after = _extended(part, place, letters, at)
            if after - first >= _PART:
                known[first:after] = b"\1" * (after - first)
                yield first, after
            at = letters.find(gram, at + 1)


def _extended(part: str, place: int, letters: str, at: int) -> tuple[int, int]:
    """The stretch around `at` in which `letters` is the part around `place`."""
    before = 0
    while before < min(place, at) and letters[at - before - 1] == part[place - before - 1]:
        before += 1
    after = 0
    while after < min(len(part) - place, len(letters) - at) and letters[at + after] == part[place + after]:
        after += 1
    return at - before, at + after


# --- the readings of a text


def _readings(text: str, shortest: int) -> Iterator[_Reading]:
    """`text` as it is, and decoded in each way up to _DEPTH times. Raises _TooMuchError."""
    turn = [_Reading(text, lambda place: place, lambda place: place + 1)]
    seen = {text}
    spent = 0
    for depth in range(_DEPTH + 1):
        following: list[_Reading] = []
        for reading in turn:
            yield reading
            if depth == _DEPTH:
                continue
            for found in _decoded(reading, shortest):
                if len(found.text) >= shortest and found.text not in seen:
                    seen.add(found.text)
                    following.append(found)
                    spent += len(found.text)
                    if spent > _BUDGET:
                        raise _TooMuchError
        turn = following


def _decoded(reading: _Reading, shortest: int) -> Iterator[_Reading]:
    text = reading.text
    if ESCAPES.search(text):
        chars = list(unescaped(text))
        yield _Reading(
            "".join(char for char, _, _ in chars),
            lambda place: reading.start(chars[place][1]),
            lambda place: reading.end(chars[place][2] - 1),
        )
    yield from _decoded_hex(reading, shortest)
    yield from _decoded_base64(reading, shortest * 8 // 6)
    least = shortest * 8 // 5
    spans = [token.span() for token in _BASE32_RUN.finditer(text)]
    words = [(int(text[a:b].upper().translate(_BASE32), 32), range(a, b)) for a, b in spans if b - a >= least]
    yield from _bits(reading, words, 5, 1)


def _decoded_hex(reading: _Reading, shortest: int) -> Iterator[_Reading]:
    tokens: list[tuple[int, list[int]]] = []
    for run in _HEX_RUN.finditer(reading.text):
        if run.end() - run.start() < 2 * shortest:
            continue
        pairs = list(_HEX_DIGITS.finditer(reading.text, *run.span()))
        places = [place for pair in pairs for place in range(*pair.span(1))]
        tokens.append((int("".join(pair[1] for pair in pairs), 16), places))
    yield from _bits(reading, tokens, 4, 4)


def _decoded_base64(reading: _Reading, least: int) -> Iterator[_Reading]:
    text = reading.text
    if not any(run.end() - run.start() >= least for run in _BASE64_RUN.finditer(text)):
        return
    # It is folded into lines, and the line breaks have become blanks.
    dense = [place for place, char in enumerate(text) if not char.isspace()]
    joined = "".join(text[place] for place in dense)
    spans = [run.span() for run in _BASE64_RUN.finditer(joined)]
    tokens = [(_base64(joined[a:b]), dense[a:b]) for a, b in spans if b - a >= least]
    yield from _bits(reading, tokens, 6, 2)


def _base64(token: str) -> int:
    padded = token.translate(_BASE64) + "A" * (-len(token) % 4)
    return int.from_bytes(a2b_base64(padded), "big") >> 6 * (-len(token) % 4)


def _bits(reading: _Reading, tokens: Sequence[tuple[int, Sequence[int]]], width: int, step: int) -> Iterator[_Reading]:
    """The bytes in these numbers, whose digits of `width` bits are at these places, from each possible first bit.

    Where in the digits the secret begins depends on the data before it.
    """
    if not tokens:
        return
    for skipped in range(0, 8, step):
        yield _from_bit(reading, tokens, width, skipped)


def _from_bit(reading: _Reading, tokens: Sequence[tuple[int, Sequence[int]]], width: int, skipped: int) -> _Reading:
    text, begins = "", []
    for number, places in tokens:
        begins.append(len(text))
        bits = width * len(places)
        count = max(bits - skipped, 0) // 8
        data = (number >> (bits - skipped - 8 * count)) & ((1 << 8 * count) - 1) if count else 0
        text += data.to_bytes(count, "big").decode("latin-1") + "\n"

    def place(of: int, *, last: bool) -> int:
        token = bisect_right(begins, of) - 1
        places = tokens[token][1]
        bit = skipped + 8 * (of - begins[token])
        return places[min((bit + 7 if last else bit) // width, len(places) - 1)]

    return _Reading(text, lambda of: reading.start(place(of, last=False)), lambda of: reading.end(place(of, last=True)))
