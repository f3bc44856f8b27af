"""One attempt under way: its phase clock, its evidence, and how it ends.

Whatever goes wrong below is raised as a `Fault`, a code of `codes.CODES`; `bounded` is the one
place where faults, deadlines and our own bugs become an `Outcome`.
"""

from __future__ import annotations

import asyncio
import re
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

_ESCAPE = re.compile("%(?:25)?[0-9A-F]{2}")

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

    __slots__ = ("_ms", "_secrets", "_since", "_spellings", "facts", "found", "heard", "phase")

    def __init__(self) -> None:
        self.phase = ""
        self.facts: dict[str, object] = {}
        self.heard = True
        self.found: Outcome | None = None
        self._ms: dict[str, float] = {}
        self._since = 0.0
        self._secrets: set[bytes] = set()
        self._spellings: list[str] | None = None

    def enter(self, phase: str) -> None:
        """The exchange is now in `phase`. A phase entered again goes on where it was."""
        now = perf_counter()
        if self.phase:
            self._ms[self.phase] += (now - self._since) * 1000
        self._ms.setdefault(phase, 0.0)
        self.phase = phase
        self._since = now

    def hide(self, *secrets: str | bytes | Secret | None) -> None:
        """From now on `words` masks these, plain, in base64 and as in a URL: servers repeat what they are told."""
        for secret in secrets:
            raw = secret.reveal() if isinstance(secret, Secret) else secret
            if not raw or len(raw) < HIDDEN_MIN:
                continue
            self._secrets.add(raw.encode() if isinstance(raw, str) else raw)
            self._spellings = None

    def words(self, text: object, limit: int = WORDS_LIMIT) -> str:
        """Text from outside, fit to be shown: no secret of ours, one line, at most `limit` characters."""
        # Cleaned first: what is between the letters of a secret and not shown must not keep it from being found.
        shown = clean(text, _CLEANED)
        if self._spellings is None:
            self._spellings = _spelled(self._secrets)
        for hidden in self._spellings:
            shown = shown.replace(hidden, MASK)
        return clean(shown, limit)

    def outcome(self, code: str, detail: str = "", *, retry_after_s: int | None = None) -> Outcome:
        """The finding of this attempt, its clock stopped."""
        phase = self.phase
        if phase:
            self.enter(phase)
        rounded = {name: round(ms, 1) for name, ms in self._ms.items()}
        self.found = Outcome(code, phase, rounded, dict(self.facts), detail, retry_after_s)
        return self.found


def _spelled(secrets: Iterable[bytes]) -> list[str]:
    """Each secret as text, in base64, in hex, as in a URL, once or twice, with the digits of either case; and each
    of these as `clean` leaves it; the longest first."""
    found: set[str] = set()
    for data in secrets:
        encoded = b64encode(data).decode()
        found.update((data.decode("utf-8", "replace"), encoded, encoded.rstrip("="), data.hex(), data.hex().upper()))
        urls = {quote(data), quote(data, safe=""), quote_plus(data)}
        for text in urls | {quote(text, safe="") for text in urls}:
            found.update((text, _ESCAPE.sub(lambda escape: escape[0].lower(), text)))
    found.update(bare for bare in [clean(text, _CLEANED) for text in found] if len(bare) >= HIDDEN_MIN)
    return sorted(found, key=len, reverse=True)


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
