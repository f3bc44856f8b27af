"""Secrets are masked in another party's words in any spelling, and nothing else is."""

from __future__ import annotations

import base64
import random
import string
import time
import unicodedata
from collections.abc import Callable
from urllib.parse import quote

import pytest

from intctl.health.codes import CODES
from intctl.probes.masking import REPEATED, normal_form
from intctl.probes.trace import Trace
from intctl.text import MASK, Secret
from tests.probes import AFTER, BEFORE, around, shown

KEY = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"


def fullwidth(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def mathematical(text: str) -> str:
    letters = string.ascii_uppercase + string.ascii_lowercase
    return "".join(chr(0x1D400 + letters.index(char)) if char in letters else char for char in text)


def escaped(form: str) -> Callable[[str], str]:
    """Each character in one form of escape."""
    return lambda text: "".join(form.format(ord(char)) for char in text)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


#: All the ways in which servers repeat what they were sent, or in which a reader still recognises it.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "upper case": str.upper,
    "lower case": str.lower,
    "hex": lambda text: text.encode().hex(),
    "hex, colons": lambda text: text.encode().hex(":"),
    "hex, upper case, blanks": lambda text: text.encode().hex(" ").upper(),
    "0x41,0x42": escaped("0x{:02x},"),
    "0x41, 0x42": escaped("0x{:02X}, "),
    "percent": lambda text: "%" + text.encode().hex("%"),
    "percent twice": lambda text: quote("%" + text.encode().hex("%")),
    "percent three times": lambda text: quote(quote("%" + text.encode().hex("%"))),
    "%u0041": escaped("%u{:04X}"),
    "=41": escaped("={:02X}"),
    "\\x41": escaped("\\x{:02x}"),
    "\\x{41}": escaped("\\x{{{:x}}}"),
    "\\u0041": escaped("\\u{:04x}"),
    "\\u{41}": escaped("\\u{{{:x}}}"),
    "\\U00000041": escaped("\\U{:08x}"),
    "\\101": escaped("\\{:03o}"),
    "&#65;": escaped("&#{};"),
    "&#65": escaped("&#{} "),
    "&#0000065;": escaped("&#{:07d};"),
    "&#x41;": escaped("&#x{:x};"),
    "&#x0000041;": escaped("&#x{:07X};"),
    "&amp;#65;": escaped("&amp;#{};"),
    "three deep": lambda text: quote(escaped("&amp;#{};")(text)),
    "base64": encoded,
    "base64, inside": lambda text: encoded(f'{{"token": "{text}", "x": 1}}'),
    "base64, url": lambda text: base64.urlsafe_b64encode(f"??>{text}??>".encode()).decode().rstrip("="),
    "base64, folded": lambda text: base64.encodebytes(f"{'x' * 50}{text}{'x' * 30}".encode()).decode(),
    "base64 twice": lambda text: encoded(encoded(text)),
    "base64 three times": lambda text: encoded(encoded(encoded(text))),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16")).decode(),
    "base64 of UTF-16, big": lambda text: base64.b64encode(text.encode("utf-16-be")).decode(),
    "percent of base64": lambda text: quote(encoded(f"user:{text}"), safe=""),
    "base64 of percent": lambda text: encoded("%" + text.encode().hex("%")),
    "base64 of hex": lambda text: encoded(text.encode().hex()),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "base32, inside, lower case": lambda text: base64.b32encode(f"x:{text}".encode()).decode().lower(),
    "reversed": lambda text: text[::-1],
    "base64, reversed": lambda text: encoded(text[::-1]),
    "fullwidth": fullwidth,
    "mathematical": mathematical,
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    **{
        f"{ord(between):04X} between": between.join
        for between in "\ufe0f\U000e0101\u034f\u3164\uffa0\u2800\u200b\u00ad\u202e-._|/*,\u00b7"
    },
    "blank between": " ".join,
    "two blanks between": "  ".join,
    "line break between": "\n".join,
    "folded": lambda text: text[:4] + "\r\n" + text[4:],
}  # fmt: skip


@pytest.mark.case("security 20")
@pytest.mark.parametrize("secret", [KEY, "Tr0ub4dor&3-staple", "hunter2pw9", "0123456789abcdef0123456789abcdef"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_in_any_spelling(spelling: str, secret: str) -> None:
    """The whole secret is masked in every spelling, and what is around it stays."""
    left = around(SPELLINGS[spelling](secret), secret)
    assert MASK in left
    # Of base64 and the like of longer data, the digits before and after the secret stay.
    assert normal_form(secret) not in normal_form(left)
    if "inside" not in spelling and "url" not in spelling and "folded" not in spelling and "percent of" not in spelling:
        assert len(left.replace(MASK, "").strip(' ,;=&#xX0"')) <= 6


@pytest.mark.case("security 20")
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("cut", [slice(0, 16), slice(-16, None), slice(0, -1), slice(8, 24), slice(1, None)])
def test_a_part_of_a_long_secret(spelling: str, cut: slice) -> None:
    """Twelve characters of a long secret are enough: servers repeat half of it, or all but the end."""
    assert MASK in shown(f"{BEFORE}{SPELLINGS[spelling](KEY[cut])}{AFTER}", KEY)


@pytest.mark.case("security 20")
def test_less_than_a_part_stays() -> None:
    """Eleven letters and digits of a long secret are shown, twelve are not; of a short one, any part is."""
    assert around(KEY[9:21], KEY) == MASK
    assert around(KEY[8:19], KEY) == KEY[8:19]
    assert around("Tr0ub4dor&3-stapl", "Tr0ub4dor&3-staple") == "Tr0ub4dor&3-stapl"


PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.case("security 20")
@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (PEM, "-----BEGIN PRIVATE KEY----- expected, -----END PRIVATE KEY----- not found"),
        (PEM, "-----BEGIN RSA PRIVATE KEY----- is not supported"),
        (JWT, "the header eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9 is not allowed"),
        ("https://hooks.slack.com/services/T1/B2/x9y8z7w6v5", "https://hooks.slack.com/services/T0 not found"),
        ("https://hooks.slack.com/services/T1/B2/x9y8z7w6v5", "connect to HTTPS://HOOKS.SLACK.COM instead"),
    ],
)
def test_what_many_secrets_share_is_no_part_of_one(secret: str, text: str) -> None:
    """The armour of a key, the header of a JWT, and scheme and host of a URL are shown."""
    assert shown(text, secret) == text


@pytest.mark.case("security 20")
@pytest.mark.parametrize("part", [PEM[28:60], JWT[37:60], JWT[-22:]])
def test_the_rest_of_them_is_secret(part: str) -> None:
    """The body of a key, and payload and signature of a JWT, are masked in part too."""
    assert around(part, PEM, JWT) == MASK


@pytest.mark.case("security 20")
def test_a_reply_that_is_mostly_the_secret() -> None:
    """A text of which more than a third would be masked is left out; of a third, it is not."""
    assert shown(f"bad key {KEY}", KEY) == REPEATED
    assert shown("x" * 64 + KEY, KEY) == "x" * 64 + MASK
    assert shown("x" * 63 + KEY, KEY) == REPEATED


def sentences() -> list[str]:
    """About 500 sentences of vendors, mail servers and gateways."""
    subjects = (
        "The password you entered", "This application", "Your account", "The request", "Access token", "client_secret",
        "The API key", "The connection", "Integration Acme Payroll", "The administrator", "535 5.7.8 Error: login",
        "AADSTS7000215: Invalid client secret 12345678-1234-1234-1234-123456789012",
        "Trace ID: 00000000-0000-0000-0000-000000000000 Timestamp: 2026-12-01 00:00:00Z", "invalid_grant: Token",
        "The token eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "https://hooks.slack.com/services/T000",
        "https://acme.example.com/api/v1/users/me", "-----BEGIN PRIVATE KEY-----", "account acme-production",
        "550 5.1.1 <noreply@company.com>: Recipient", "Certificate of mail.example.com, serial 0A:1B:2C:3D:4E:5F:60,",
        "Request id 7f3a9c1e-0b2d-4c5e-8f6a-9d0e1f2a3b4c",
    )  # fmt: skip
    ends = (
        "is incorrect", "is not authorized for production", "has been suspended; contact support@example.com",
        "was rejected by the policy of your organization", "has expired on 2026-11-30T23:59:59Z", "not found",
        "is rate limited, retry after 3600 seconds", "requires the scope read:users and offline_access",
        "failed: authentication failed: UGFzc3dvcmQ6", "must be changed by an administrator before you log in",
        "is malformed: unexpected character at position 12", "does not exist", "is locked after 5 failed attempts",
        "could not be verified. See https://docs.example.com/errors/authentication#invalid_client",
        "is temporarily unavailable (421 4.7.0)", "is blocked: 192.0.2.1 is not on the allow list",
        "has no permission 'integrations.read' (code=40301)", "est invalide : vérifiez l'identifiant",
        "ist ungültig; bitte prüfen Sie das Kennwort", "expected",
        '{"error":"invalid_client","error_description":"Client authentication failed"}',
        "&lt;Error&gt;&lt;Code&gt;SignatureDoesNotMatch&lt;/Code&gt;", "%7B%22error%22%3A%22unauthorized%22%7D",
    )  # fmt: skip
    return [f"{subject} {end}" for subject in subjects for end in ends]


def keys(count: int) -> list[str]:
    """Keys as vendors make them: hex, base62, UUIDs, with prefixes."""
    chance = random.Random(20)

    def some(alphabet: str, length: int) -> str:
        return "".join(chance.choice(alphabet) for _ in range(length))

    base62 = string.ascii_letters + string.digits
    made = []
    for number in range(count):
        kinds = (
            some("0123456789abcdef", 32),
            f"sk_live_{some(base62, 24)}",
            f"xoxb-{some(string.digits, 13)}-{some(base62, 24)}",
            f"SG.{some(base62, 22)}.{some(base62 + '-_', 43)}",
            some(base62, 12),
            "-".join(some("0123456789abcdef", length) for length in (8, 4, 4, 4, 12)),
        )
        made.append(kinds[number % len(kinds)])
    return made


@pytest.mark.case("security 20")
def test_no_sentence_of_a_vendor_is_masked_by_chance() -> None:
    """Of 500 sentences, 1,000 random keys mask nothing."""
    trace = Trace()
    trace.add_secret(*map(Secret, keys(1000)))
    assert len(sentences()) >= 500
    for sentence in sentences():
        assert trace.sanitize(sentence, 1000) == sentence


WEAK = [
    word + suffix
    for word in (
        "password", "changeme", "production", "administrator", "secret", "login", "admin", "test", "token", "letmein",
        "acme", "welcome", "default", "example", "company", "support", "account", "access", "request", "qwerty",
    )
    for suffix in ("", "1", "123", "!", "2026", "-key", "01", "#1", "s", "_prod")
]  # fmt: skip


@pytest.mark.case("security 20")
@pytest.mark.parametrize("part", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_weak_secrets_mask_only_themselves(part: int) -> None:
    """Of 200 weak secrets in 500 sentences, only the whole secret is masked. By default, a sixth of the pairs."""
    assert len(WEAK) == 200
    plain = [sentence for sentence in sentences() if "UGFzc3dv" not in sentence]
    masked = 0
    for number, secret in enumerate(WEAK):
        trace = Trace()
        trace.add_secret(Secret(secret))
        for sentence in plain[number % part :: part]:
            told = trace.sanitize(sentence, 1000)
            if told == sentence:
                continue
            masked += 1
            assert secret in sentence.lower()
            if told != REPEATED:
                assert secret not in told.lower()
                assert len(told) >= len(sentence) - sentence.lower().count(secret) * len(secret)
    assert masked > 100 / part


@pytest.mark.case("security 20")
def test_a_weak_secret_is_masked_where_it_is_whole() -> None:
    """The secret "password" is masked in a vendor's sentence, and the words around it are not."""
    sentence = "The password you entered for this account is incorrect"
    assert shown(sentence, "password") == sentence.replace("password", MASK)
    assert shown("You must first pass. Word of it reaches us later", "password").startswith("You must first pass. Word")
    assert shown("5.7.8 the internal error", "hein") == "5.7.8 the internal error"


@pytest.mark.case("security 20")
def test_only_another_partys_words_are_masked() -> None:
    """No word of intctl's own, no code of a reply and no user name is masked, whatever the secret is."""
    trace = Trace()
    trace.add_secret(Secret("fails"), "administrator@company.com:fails")
    assert all(trace.outcome(code, CODES[code].meaning).detail == CODES[code].meaning for code in CODES)
    text = "550 administrator@company.com is not known here"
    assert trace.sanitize(text) == text


HOSTILE = {
    "the letter": "a" * 65_536,
    "near misses": (KEY[:11] + ".") * 5_000,
    "percents": "%25" * 21_000,
    "ampersands": "&amp;" * 13_000,
    "backslashes": "\\" * 65_536,
    "base64 of itself": encoded(encoded(encoded("xyzzy" * 5_000))),
    "hex": "4141" * 16_000,
    "blanks": "s " * 32_000,
    "marks": "a" + "\u0301" * 65_000,
    "expanding": "\ufdfa" * 60_000,
    "variation selectors": "s\ufe0f" * 30_000,
    "secrets": (KEY + "x" * 65) * 700,
    "base32": base64.b32encode(b"xyzzy" * 8_000).decode(),
}


@pytest.mark.case("security 20")
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("secret", [KEY, "a" * 3_000, "sasasasa", PEM + "x1y2" * 500], ids=["key", "a", "sa", "long"])
def test_a_hostile_reply_costs_no_time(text: str, secret: str) -> None:
    """64 KiB of anything is judged within a second, and shows no secret."""
    trace = Trace()
    trace.add_secret(Secret(secret))
    began = time.process_time()
    told = trace.sanitize(text)
    assert time.process_time() - began < 1
    assert normal_form(secret) not in normal_form(told)
