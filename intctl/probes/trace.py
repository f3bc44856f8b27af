"""One attempt of a probe: its phase clock, its facts, and its outcome.

A probe raises every failure as `ProbeFailed` with a code of `codes.CODES`. Only `bounded` turns
failures, deadlines and bugs into an `Outcome`.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, Iterator
from html import unescape
from time import perf_counter

from intctl.health.codes import CODES
from intctl.health.outcome import Outcome
from intctl.text import MASK, Secret, clean

#: How much of a provider's text is shown, in characters.
WORDS_LIMIT = 200

#: Shorter secrets are not masked in a provider's text: they would match in too many places.
HIDDEN_MIN = 4

#: How much of a provider's text is processed, in characters.
_CLEANED = 100_000

#: How much of it is unescaped, which takes longer, and how often: some servers escape twice.
_UNESCAPED = 32_000
_TIMES = 2
_ESCAPES = re.compile(
    r"(?:%[0-9A-Fa-f]{2})+|(?:\\x[0-9A-Fa-f]{2})+|(?:\\[0-3][0-7]{2})+|(?:\\u[0-9A-Fa-f]{4})+|\\u\{[0-9A-Fa-f]{1,6}\}"
    r"|\\[^uxX0-3]|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});"
)

_AT_DEADLINE = {"dns": "dns.timeout", "tcp": "connect.timeout", "tls": "tls.timeout"}


class ProbeFailed(Exception):
    """The end of an exchange by a failure. `code` is the cause; `detail` is intctl's own sentence."""

    def __init__(self, code: str, detail: str = "", *, retry_after_s: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


class Trace:
    """The current phase of an attempt, the duration of each phase, and the facts found.

    `received_any` is False while the attempt waits for the first byte of a reply: at the deadline
    it distinguishes a silent server from a slow one.
    """

    __slots__ = ("_ms", "_secrets", "_shortest", "_since", "_spellings", "facts", "found", "phase", "received_any")

    def __init__(self) -> None:
        self.phase = ""
        self.facts: dict[str, object] = {}
        self.received_any = True
        self.found: Outcome | None = None
        self._ms: dict[str, float] = {}
        self._since = 0.0
        self._secrets: set[bytes] = set()
        self._shortest = _CLEANED
        self._spellings: set[str] | None = None

    def enter(self, phase: str) -> None:
        """Start or resume the clock of `phase`."""
        now = perf_counter()
        if self.phase:
            self._ms[self.phase] += (now - self._since) * 1000
        self._ms.setdefault(phase, 0.0)
        self.phase = phase
        self._since = now

    def add_secret(self, *secrets: str | bytes | Secret | None) -> None:
        """Make `sanitize` mask these in every encoding: servers repeat data of the request."""
        for secret in secrets:
            raw = secret.reveal() if isinstance(secret, Secret) else secret
            if not raw or len(raw) < HIDDEN_MIN:
                continue
            data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
            self._secrets.add(data)
            self._shortest = min(self._shortest, len(data), len(_bare(data.decode("utf-8", "replace"))))
            self._spellings = None

    def sanitize(self, text: object, limit: int = WORDS_LIMIT) -> str:
        """Return external text that may be shown: no secret, one line, at most `limit` characters."""
        # Cleaned first: invisible characters between the letters of a secret must not prevent a match.
        shown = clean(text, _CLEANED)
        if len(_bare(shown)) >= self._shortest:  # rare, and no encoding is shorter than its secret
            if self._spellings is None:
                self._spellings = _spelled(self._secrets)
            shown = _masked(shown, self._spellings)
        return clean(shown, limit)

    def outcome(self, code: str, detail: str = "", *, retry_after_s: int | None = None) -> Outcome:
        """Stop the clock and return the outcome of this attempt."""
        phase = self.phase
        if phase:
            self.enter(phase)
        rounded = {name: round(ms, 1) for name, ms in self._ms.items()}
        self.found = Outcome(code, phase, rounded, dict(self.facts), detail, retry_after_s)
        return self.found


def _bare(text: str) -> str:
    """`text` for comparison: case-folded, without blanks and invisible characters."""
    return "".join(clean(text, len(text) + 1).split()).casefold()


def _spelled(secrets: Iterable[bytes]) -> set[str]:
    """Each secret as text, in hex and in base64, alone or inside longer data; all of them bare."""
    found: set[str] = set()
    for data in secrets:
        text, encoded = data.decode("utf-8", "replace"), b64encode(data).decode()
        found.update((text, text.replace(" ", "+"), data.decode("latin-1"), encoded, encoded.rstrip("=")))
        found.update((data.hex(), data.hex(":"), data.hex("-")))
        found.update(reading for reading, _ in _readings(text))  # a part of it may itself look like an escape
        for ahead in range(3):
            # The base64 characters that depend only on the secret, not on the data before and after it.
            first, end = -(-8 * ahead // 6), 8 * (ahead + len(data)) // 6
            inner = b64encode(bytes(ahead) + data).decode()[first:end]
            found.update((inner, inner.replace("+", "-").replace("/", "_")))
    return {bare for bare in map(_bare, found) if len(bare) >= HIDDEN_MIN}


def _masked(text: str, spellings: Iterable[str]) -> str:
    """`text` with each of these spellings masked, escaped or not."""
    covered = bytearray(len(text))
    for reading, ends in _readings(text):
        bare = _bare(reading)
        found = [spelling for spelling in spellings if spelling in bare]
        if found:
            _cover(covered, reading, ends, found)
    if not any(covered):
        return text
    shown = ""
    for char, hidden, hidden_before in zip(text, covered, b"\0" + covered, strict=False):
        shown += ("" if hidden_before else MASK) if hidden else char
    return shown


def _readings(text: str) -> Iterator[tuple[str, list[int]]]:
    """`text` as it is, unescaped once, and twice; each with the end of every character in `text`."""
    ends = list(range(1, len(text) + 1))
    yield text, ends
    reading, ends = text[:_UNESCAPED], ends[:_UNESCAPED]
    for _ in range(_TIMES):
        undone, undone_ends, done = "", [], 0
        for escape in _ESCAPES.finditer(reading):
            start, end = escape.span()
            undone += reading[done:start]
            undone_ends += ends[done:start]
            for char, length in _unescaped(escape[0]):
                start += length
                undone += char
                undone_ends += [ends[start - 1]] * len(char)
            done = end
        if not done:
            return
        reading, ends = undone + reading[done:], undone_ends + ends[done:]
        yield reading, ends


def _unescaped(escape: str) -> list[tuple[str, int]]:
    """The characters that an escape encodes, each with its length in the escape."""
    if escape[0] == "%":
        return _decoded(bytes.fromhex(escape.replace("%", "")), 3)
    if escape[0] == "&":
        meant = unescape(escape)
        return [(char, 1) for char in escape] if meant == escape else [(meant, len(escape))]
    if escape[1] == "x":
        return _decoded(bytes.fromhex(escape.replace("\\x", "")), 4)
    if escape[1:3] == "u{":
        number = int(escape[3:-1], 16)
        return [(chr(number) if number < 0x110000 else "", len(escape))]
    if escape[1] == "u":
        units = bytes.fromhex(escape.replace("\\u", ""))
        chars = units.decode("utf-16-be", "surrogatepass")
        return [(char, 12 if ord(char) > 0xFFFF else 6) for char in chars]
    if len(escape) > 2:
        return _decoded(bytes(int(octal, 8) for octal in escape[1:].split("\\")), 4)
    return [(escape[1], 2)]


def _decoded(data: bytes, length: int) -> list[tuple[str, int]]:
    """The characters of these bytes, each with its length in the text; `length` for each byte."""
    try:
        return [(char, length * len(char.encode())) for char in data.decode()]
    except UnicodeDecodeError:
        return [(char, length) for char in data.decode("latin-1")]


def _cover(covered: bytearray, reading: str, ends: list[int], spellings: Iterable[str]) -> None:
    """Mark in `covered` where the reading contains one of these spellings."""
    bare, places = "", []
    for place, char in enumerate(reading):
        folded = _bare(char)
        bare += folded
        places += [place] * len(folded)
    for spelling in spellings:
        at = bare.find(spelling)
        while at >= 0:
            after = at + len(spelling)
            first, last = places[at], places[after - 1]
            start, end = ends[first - 1] if first else 0, ends[last]
            covered[start:end] = b"1" * (end - start)
            at = bare.find(spelling, after)


Attempt = Callable[[Trace], Awaitable[Outcome]]


async def bounded(attempt: Attempt, deadline_s: float, *, retry: bool) -> Outcome:
    """Run `attempt` within `deadline_s` seconds, twice at most. Raises only CancelledError.

    Only timeouts and resets are retried, and never after a login has started: a credential that
    may have arrived is not sent twice.
    """
    trace = Trace()
    try:
        async with asyncio.timeout(deadline_s) as limit:
            outcome = await _once(attempt, trace)
            if retry and CODES[outcome.code].transient and outcome.phase != "auth":
                first, trace = trace, Trace()
                trace.facts["attempts"] = 2
                for done in ("token_exchanged", "refresh_token_replaced"):  # the second attempt uses that token
                    if first.facts.get(done):
                        trace.facts[done] = True
                outcome = await _once(attempt, trace)
        return outcome
    except TimeoutError as error:
        if not limit.expired():
            return trace.outcome("self.crash", type(error).__name__)
        if trace.found is not None:  # only the end of the session took too long
            return trace.found
        code = _AT_DEADLINE.get(trace.phase) or ("deadline" if trace.received_any else "reply.timeout")
        return trace.outcome(code, f"the check's deadline of {deadline_s:g} s has passed")
    except Exception as error:  # a bug in a probe must not end the pass
        return trace.outcome("self.crash", type(error).__name__)


async def _once(attempt: Attempt, trace: Trace) -> Outcome:
    try:
        return await attempt(trace)
    except ProbeFailed as fault:
        return trace.outcome(fault.code, fault.detail, retry_after_s=fault.retry_after_s)
