"""A provider's text is shown without the secrets sent to it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from intctl.probes.masking import HIDDEN_MIN, normal_form
from intctl.probes.trace import Trace
from intctl.text import MASK
from tests.probes import around, shown

SECRET = "S3cret/Wörd +plus"


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET.upper(),
        SECRET.lower(),
        SECRET[:5] + "\r\n" + SECRET[5:],
        " ".join(SECRET),
        "\u200b".join(SECRET),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        quote(SECRET),
        quote(SECRET, safe="").lower(),
        quote(quote(SECRET, safe=""), safe=""),
        quote(SECRET).replace("%20", "+"),
        SECRET.replace("ö", "Ö"),
        quote(SECRET, safe="+/"),
        quote(SECRET, safe="+/ ").replace("S3", "S%33"),
        "%" + SECRET.encode().hex("%"),
        quote(SECRET, encoding="latin-1", safe=""),
        SECRET.replace("/", "\\/").replace("ö", "\\u00f6"),
        SECRET.replace("ö", "Ã¶"),
        SECRET.replace("ö", "\\xc3\\xb6"),
        SECRET.replace("ö", "\\303\\266"),
        SECRET.replace("ö", "\\u{f6}"),
        SECRET.encode().hex(":"),
        SECRET.replace("/", "&#x2F;").replace("+", "&#43;").replace("ö", "&ouml;"),
        "S%33cret&#47;W\\xf6rd +plus",
    ],
)
def test_a_secret_however_it_is_spelled(spelled: str) -> None:
    """A secret is masked in any case, over lines, with invisible characters inside, in hex, and escaped."""
    assert around(spelled, SECRET) == MASK


@pytest.mark.parametrize(
    ("secret", "spelled"),
    [
        ("aB%2fT/9x", "aB%2fT\\/9x"),
        ('p%41ss"word', 'p%41ss\\"word'),
        ("C:\\new<x9", "C:\\new&lt;x9"),
        ("pass\U0001f600word7", "pass\\ud83d\\ude00word7"),
        ("pass\U0001f600word7", "pass\\u{1f600}word7"),
        ("a&token;b", "a&amp;token;b"),
        ("under\\u00e9", "under%5Cu00e9"),
        ("!?!?!?", "!?!? !?"),
        ("a!b?c&d", "A!b?c&amp;d"),
        ("Passwort!!", "Passwort!!"),
        ("(Passwort)", "(Passwort)"),
    ],
)
def test_a_secret_that_looks_escaped_itself(secret: str, spelled: str) -> None:
    """A secret that looks like an escape is unescaped in the same way as the text; its punctuation is masked too."""
    assert around(spelled, secret) == MASK


@pytest.mark.parametrize("secret", [SECRET, "~~??>>~~~???>>>\xff\xff"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", [b"", b"x", b"Bearer ", b"user:", b'{"token": "'])
@pytest.mark.parametrize("after", [b"", b"y", b'"}', b" and more"])
def test_base64_of_something_that_holds_it(
    encode: Callable[[bytes], bytes], before: bytes, after: bytes, secret: str
) -> None:
    """In base64 at any offset, at most a fraction of one character remains at each end of the secret."""
    text = encode(before + secret.encode() + after).decode()
    told = around(text, secret)
    assert MASK in told
    assert len(told.replace(MASK, "")) <= len(text) - 8 * len(secret.encode()) // 6 + 2


def test_two_that_touch_and_one_inside_another() -> None:
    """One mask replaces each covered stretch; the text around it stays unchanged."""
    assert around("a user:password1 b", "password1", "user:password1") == f"a {MASK} b"
    assert around("a onesecret-twosecret b", "onesecret", "twosecret") == f"a {MASK}-{MASK} b"
    assert around("xxxxxxxxxx", "xxxx") == f"{MASK}xx"
    assert around(b"\x01auth".decode(), b"\x01auth") == MASK


def test_what_is_no_secret_stays() -> None:
    """Short secrets mask nothing, and similar text is shown unchanged."""
    assert shown("the cat", "cat") == "the cat"
    assert shown("S3cret Word, plus", SECRET) == "S3cret Word, plus"
    assert shown("x", SECRET) == "x"
    assert Trace().sanitize("anything") == "anything"


@given(
    st.text(min_size=HIDDEN_MIN, max_size=40),
    st.text(max_size=30),
    st.text(max_size=30),
    st.sampled_from((str, str.upper, str.lower, quote, "\n".join, lambda text: text.encode().hex())),
)
@example("ßßßß", "s", "s", str.upper)
@example("İİİİ", "", "", str.lower)
def test_whatever_the_secret_is(secret: str, before: str, after: str, spell: Callable[[str], str]) -> None:
    """Nothing of a secret remains if enough of it is present to be recognised."""
    try:
        text = spell(secret)
    except UnicodeEncodeError:
        return
    if len(normal_form(secret)) < HIDDEN_MIN:
        return
    if spell in (str.upper, str.lower) and normal_form(secret) != normal_form(text):
        return  # it has no lower case of its own, such as the dotless i
    assert normal_form(text) not in normal_form(shown(before + "|" + text + "|" + after, secret).replace(MASK, "|"))
