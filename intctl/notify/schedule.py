"""When a failed notification is retried, and how often.

The default delays are the example schedule of Standard Webhooks
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md). A row in
`integration_retry_config` replaces them for its organisation.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from intctl.store.retry_config import RetryConfig

#: The delays after the first attempt and each retry, in seconds.
DEFAULT_DELAYS_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: The largest delay and number of retries that are accepted from the configuration.
MAX_DELAY_S = 7 * 86_400
MAX_RETRIES = 100
#: The share by which a delay is lengthened or shortened at most.
_JITTER = 0.2
# What the specification's table has as its defaults: its columns allow NULL.
_DEFAULTS = RetryConfig(3, "exponential", 5, 60, True, True)


class Schedule(NamedTuple):
    """The delays in seconds: one for each retry. `keeps_dead_letters`: what is not delivered is kept, and shown."""

    delays_s: tuple[float, ...]
    has_jitter: bool = False
    keeps_dead_letters: bool = True

    @property
    def attempts(self) -> int:
        """The number of attempts: the first one and the retries."""
        return len(self.delays_s) + 1

    def delay_after(self, attempt: int) -> float | None:
        """The seconds between this attempt, counted from 1, and the next one; None after the last."""
        if attempt > len(self.delays_s):
            return None
        share = random.uniform(1 - _JITTER, 1 + _JITTER) if self.has_jitter else 1.0  # noqa: S311 - no secret
        return self.delays_s[max(attempt, 1) - 1] * share


DEFAULT = Schedule(DEFAULT_DELAYS_S)


def schedule_of(config: RetryConfig | None) -> tuple[Schedule, str]:
    """The schedule of an organisation, and why its configuration is not used; "" if it is used or absent."""
    if config is None:
        return DEFAULT, ""
    given = RetryConfig._make(other if value is None else value for value, other in zip(config, _DEFAULTS, strict=True))
    if problem := _problem(given):
        return DEFAULT, problem
    assert given.max_retries is not None
    delays = tuple(_delay(given, retry) for retry in range(given.max_retries))
    return Schedule(delays, has_jitter=bool(given.enable_jitter), keeps_dead_letters=bool(given.enable_dlq)), ""


def _problem(given: RetryConfig) -> str:
    limits = (("max_retries", 0, MAX_RETRIES), ("fixed_delay_seconds", 1, MAX_DELAY_S))
    for name, least, most in (*limits, ("max_delay_seconds", 1, MAX_DELAY_S)):
        value = getattr(given, name)
        if not isinstance(value, int) or not least <= value <= most:  # SQLite stores any type in any column
            return f"{name} must be from {least} to {most}"
    if given.retry_strategy not in ("exponential", "linear", "fixed"):
        return "retry_strategy must be exponential, linear or fixed"
    return ""


def _delay(given: RetryConfig, retry: int) -> float:
    """The delay before a retry, counted from 0."""
    base, most = given.fixed_delay_seconds, given.max_delay_seconds
    assert base is not None and most is not None
    factor = {"exponential": 2**retry, "linear": retry + 1, "fixed": 1}[given.retry_strategy or ""]
    return float(min(base * factor, most))
