"""One attempt under way: its phase clock, its evidence, and how it ends.

Whatever goes wrong below is raised as a `Fault`, a code of `codes.CODES`; `bounded` is the one
place where faults, deadlines and our own bugs become an `Outcome`.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable
from time import perf_counter
from urllib.parse import quote, quote_plus

from intctl.codes import CODES
from intctl.probes.outcome import Outcome
from intctl.text import MASK, Secret, clean

#: How much of another party's words is shown, in characters.
WORDS_LIMIT = 200

#: Shorter secrets are not masked in another party's words: they would mask half the alphabet.
HIDDEN_MIN = 4

#: How much of another party's words is looked at, in characters.
_CLEANED = 100_000

_AT_DEADLINE = {"dns": "dns.timeout", "tcp": "connect.timeout", "tls": "tls.timeout"}


class Fault(Exception):
    """The exchange ended early. `code` says why; `detail` is one sentence of ours."""

    def __init__(self, code: str, detail: str = "", *, retry_after_s: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


class Trace:
    """Where an attempt is, how long each phase took, and what it showed.

    `heard` is False while we wait for a reply of which no byte has come: at the deadline it tells
    a silent server from a slow one.
    """

    __slots__ = ("_ms", "_secrets", "_shortest", "_since", "_spellings", "facts", "found", "heard", "phase")

    def __init__(self) -> None:
        self.phase = ""
        self.facts: dict[str, object] = {}
        self.heard = True
        self.found: Outcome | None = None
        self._ms: dict[str, float] = {}
        self._since = 0.0
        self._secrets: set[bytes] = set()
        self._shortest = _CLEANED
        self._spellings: set[str] | None = None

    def enter(self, phase: str) -> None:
        """The exchange is now in `phase`. A phase entered again goes on where it was."""
        now = perf_counter()
        if self.phase:
            self._ms[self.phase] += (now - self._since) * 1000
        self._ms.setdefault(phase, 0.0)
        self.phase = phase
        self._since = now

    def hide(self, *secrets: str | bytes | Secret | None) -> None:
        """From now on `words` masks these, however they are spelled: servers repeat what they are told."""
        for secret in secrets:
            raw = secret.reveal() if isinstance(secret, Secret) else secret
            if not raw or len(raw) < HIDDEN_MIN:
                continue
            data = raw.encode() if isinstance(raw, str) else raw
            self._secrets.add(data)
            self._shortest = min(self._shortest, len(data), len(_bare(data.decode("utf-8", "replace"))))
            self._spellings = None

    def words(self, text: object, limit: int = WORDS_LIMIT) -> str:
        """Text from outside, fit to be shown: no secret of ours, one line, at most `limit` characters."""
        # Cleaned first: what is between the letters of a secret and not shown must not keep it from being found.
        shown = clean(text, _CLEANED)
        bare = _bare(shown)
        if len(bare) >= self._shortest:  # nearly never, and no spelling is shorter than what it spells
            if self._spellings is None:
                self._spellings = _spelled(self._secrets)
            found = [spelling for spelling in self._spellings if spelling in bare]
            if found:
                shown = _masked(shown, found)
        return clean(shown, limit)

    def outcome(self, code: str, detail: str = "", *, retry_after_s: int | None = None) -> Outcome:
        """The finding of this attempt, its clock stopped."""
        phase = self.phase
        if phase:
            self.enter(phase)
        rounded = {name: round(ms, 1) for name, ms in self._ms.items()}
        self.found = Outcome(code, phase, rounded, dict(self.facts), detail, retry_after_s)
        return self.found


def _bare(text: str) -> str:
    """`text` for comparing: upper and lower case are the same, and what is not shown or blank is not there."""
    return "".join(clean(text, len(text) + 1).split()).casefold()


def _spelled(secrets: Iterable[bytes]) -> set[str]:
    """Each secret as text, in hex, as in a URL, once or twice, and in base64, alone or in the midst of something;
    all of them bare."""
    found: set[str] = set()
    for data in secrets:
        encoded = b64encode(data).decode()
        found.update((data.decode("utf-8", "replace"), data.hex(), encoded, encoded.rstrip("=")))
        urls = {quoted(data, safe=safe) for quoted in (quote, quote_plus) for safe in ("", "/")}
        found.update(urls, (quote(text, safe="") for text in urls))
        for ahead in range(3):
            # The characters that hold nothing but the secret, whatever stands before it and after it.
            first, end = -(-8 * ahead // 6), 8 * (ahead + len(data)) // 6
            inner = b64encode(bytes(ahead) + data).decode()[first:end]
            found.update((inner, inner.replace("+", "-").replace("/", "_")))
    return {bare for bare in map(_bare, found) if len(bare) >= HIDDEN_MIN}


def _masked(text: str, spellings: Iterable[str]) -> str:
    """`text` with a mask in the place of what is spelled so in it."""
    bare, places = "", []
    for place, char in enumerate(text):
        folded = "" if char.isspace() else char.casefold()
        bare += folded
        places += [place] * len(folded)
    covered = bytearray(len(text))
    for spelling in spellings:
        at = bare.find(spelling)
        while at >= 0:
            end = at + len(spelling)
            start, length = places[at], places[end - 1] + 1 - places[at]
            covered[start : start + length] = b"1" * length
            at = bare.find(spelling, end)
    shown = ""
    for char, hidden, hidden_before in zip(text, covered, b"\0" + covered, strict=False):
        shown += ("" if hidden_before else MASK) if hidden else char
    return shown


Attempt = Callable[[Trace], Awaitable[Outcome]]


async def bounded(attempt: Attempt, deadline_s: float, *, retry: bool) -> Outcome:
    """What `attempt` finds within `deadline_s` seconds, tried twice at most. Raises only CancelledError.

    Only time-outs and resets are tried again, and never once a login was under way: a credential
    that may have arrived is not sent twice.
    """
    trace = Trace()
    try:
        async with asyncio.timeout(deadline_s) as limit:
            outcome = await _once(attempt, trace)
            if retry and CODES[outcome.code].transient and outcome.phase != "auth":
                first, trace = trace, Trace()
                trace.facts["attempts"] = 2
                for done in ("token_exchanged", "refresh_token_replaced"):  # the second attempt goes on with that token
                    if first.facts.get(done):
                        trace.facts[done] = True
                outcome = await _once(attempt, trace)
        return outcome
    except TimeoutError as error:
        if not limit.expired():
            return trace.outcome("self.crash", type(error).__name__)
        if trace.found is not None:  # only the goodbye took too long
            return trace.found
        code = _AT_DEADLINE.get(trace.phase) or ("deadline" if trace.heard else "reply.timeout")
        return trace.outcome(code, f"the check's time of {deadline_s:g} s was up")
    except Exception as error:  # a probe that breaks is our fault, and one result like any other
        return trace.outcome("self.crash", type(error).__name__)


async def _once(attempt: Attempt, trace: Trace) -> Outcome:
    try:
        return await attempt(trace)
    except Fault as fault:
        return trace.outcome(fault.code, fault.detail, retry_after_s=fault.retry_after_s)
