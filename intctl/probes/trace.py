"""One attempt of a probe: its phase clock, its facts, and its outcome.

A probe raises every failure as `ProbeFailed` with a code of `codes.CODES`. Only `bounded` turns
failures, deadlines and bugs into an `Outcome`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from intctl.health.codes import CODES
from intctl.health.outcome import Outcome
from intctl.probes.masking import HIDDEN_MIN, Masker
from intctl.text import Secret, clean

#: How much of a provider's text is shown, in characters.
WORDS_LIMIT = 200

#: How much of a provider's text is processed, in characters, beyond four times of what is shown. Less than a third of
#: it is masked, so that nothing near the cut is ever shown.
_PROCESSED = 8_192

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

    __slots__ = ("_masker", "_ms", "_secrets", "_since", "facts", "found", "phase", "received_any")

    def __init__(self) -> None:
        self.phase = ""
        self.facts: dict[str, object] = {}
        self.received_any = True
        self.found: Outcome | None = None
        self._ms: dict[str, float] = {}
        self._since = 0.0
        self._secrets: dict[str | bytes, bool] = {}
        self._masker: Masker | None = None

    def enter(self, phase: str) -> None:
        """Start or resume the clock of `phase`."""
        now = perf_counter()
        if self.phase:
            self._ms[self.phase] += (now - self._since) * 1000
        self._ms.setdefault(phase, 0.0)
        self.phase = phase
        self._since = now

    def add_secret(self, *secrets: str | bytes | Secret | None) -> None:
        """Make `sanitize` mask these, however they are spelled: servers repeat data of the request.

        Parts of a `Secret` are masked too. Text and bytes combine a secret with words that are none, such as a user
        name: they are masked as a whole.
        """
        for secret in secrets:
            raw = secret.reveal() if isinstance(secret, Secret) else secret
            if raw and len(raw) >= HIDDEN_MIN:
                self._secrets[raw] = self._secrets.get(raw, False) or isinstance(secret, Secret)
                self._masker = None

    def sanitize(self, text: object, limit: int = WORDS_LIMIT) -> str:
        """Return another party's text as it may be shown: no secret, one line, at most `limit` characters."""
        shown = clean(text, 4 * limit + _PROCESSED)
        if self._secrets:
            if self._masker is None:
                self._masker = Masker(self._secrets.items())
            shown = self._masker.apply(shown)
        return clean(shown, limit)

    def outcome(self, code: str, detail: str = "", *, retry_after_s: int | None = None) -> Outcome:
        """Stop the clock and return the outcome of this attempt."""
        phase = self.phase
        if phase:
            self.enter(phase)
        rounded = {name: round(ms, 1) for name, ms in self._ms.items()}
        self.found = Outcome(code, phase, rounded, dict(self.facts), detail, retry_after_s)
        return self.found


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
