"""Displayed text, valid names, and Secrets that never show their value."""

from __future__ import annotations

import copy
import json
import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intctl.text import LIMIT, MASK, Secret, clean, fold, name_problem, nearest


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand\r\nmore", "two lines and more"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x1b]0;title\x07rest", "]0;titlerest"),
        ("\u202eevil\u202c", "evil"),
        ("ze\u200bro\ufeff", "zero"),
        ("a\u2028b\u2029c", "abc"),
        ("bell\x07 del\x7f c1\x9b", "bell del c1"),
        ("\ud800lone", "lone"),
        ("\ue000private", "private"),
        ("ünïcödé 日本", "ünïcödé 日本"),
        (12, "12"),
        (None, "None"),
        ("", ""),
    ],
)
def test_clean_leaves_nothing_that_a_terminal_obeys(text: object, shown: str) -> None:
    """Control, bidi, zero-width, surrogate and private characters are removed; lines are joined."""
    assert clean(text) == shown


@given(st.text(max_size=2000))
def test_clean_text_is_one_short_harmless_line(text: str) -> None:
    """Any input becomes one line of UTF-8, at most LIMIT characters, without characters of a hidden category."""
    shown = clean(text)
    assert len(shown) <= LIMIT
    assert all(unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for char in shown)
    shown.encode()
    assert clean(shown) == shown


def test_clean_of_a_megabyte_is_short_and_says_that_it_was_cut() -> None:
    """A megabyte is truncated to the limit, with an ellipsis, without processing all of it."""
    assert clean("x" * 1_000_000) == "x" * (LIMIT - 1) + "…"
    assert len(clean("\u202e" * 1_000_000 + "end")) <= LIMIT
    assert clean("abcdef", 3) == "ab…"
    assert clean("abc", 3) == "abc"


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("", "at least one"),
        ("x" * 101, "at most 100"),
        (" x", "start or end"),
        ("x ", "start or end"),
        ("\u00a0x", "start or end"),
        ("-x", 'start with "-"'),
        ("a\x1bb", "control"),
        ("a\nb", "control"),
        ("a\0b", "control"),
        ("a\u202eb", "bidi"),
        ("a\u200bb", "zero-width"),
        ("e\u0301", "NFC"),
        ("a\ud800", "control"),
    ],
)
def test_names_that_are_none_are_told_why(name: str, word: str) -> None:
    """Each rule of a name has its own message."""
    problem = name_problem(name)
    assert problem is not None and word in problem


@pytest.mark.parametrize("name", ["x", "x" * 100, "E-mail", "Ünï 日本", "a'b\"c", "%", "100 %", "a/b", "📧"])
def test_names_that_are_fine(name: str) -> None:
    """Printable text is a valid name: quotes, inner blanks, other alphabets and emoji too."""
    assert name_problem(name) is None


@given(st.text(max_size=120))
def test_a_good_name_is_shown_as_it_is(name: str) -> None:
    """A valid name is displayed unchanged."""
    if name_problem(name) is None:
        assert clean(name) == name


def test_fold_knows_ascii_only() -> None:
    """Both databases fold ASCII letters alike, so nothing else is folded."""
    assert fold("EMAIL Ä ß İ") == "email Ä ß İ"


def test_nearest() -> None:
    """A similar word is suggested, a different one is not."""
    assert nearest("SENDGRDI", ["sendgrid", "smtp"]) == '; did you mean "sendgrid"?'
    assert nearest("xyz", ["sendgrid"]) == ""


def test_a_secret_shows_nothing() -> None:
    """repr, str, format, JSON, pickle and copy: a mask or an error, never the value."""
    secret = Secret("hunter2")
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", "%s" % secret, repr([secret])):  # noqa: UP031
        assert "hunter2" not in shown and MASK in shown
    with pytest.raises(TypeError):
        json.dumps(secret)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(secret)
    with pytest.raises(AttributeError):
        secret.__dict__  # noqa: B018


def test_secrets_compare_by_value() -> None:
    """Equal values are equal and hash alike; a str never equals a secret."""
    assert Secret("a") == Secret("a") and hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b") and Secret("a") != "a"
    assert Secret("a").reveal() == "a"
