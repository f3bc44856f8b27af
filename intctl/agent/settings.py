"""The settings of a pass, and the signal that ends it."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from intctl.probes.guard import AddressPolicy


class PassSettings(NamedTuple):
    """The settings of a pass. `deadline_s` limits each probe, `budget_s` the whole pass (None: no limit of its own)."""

    host: str
    policy: Callable[[], AddressPolicy | None] = lambda: None
    concurrency: int = 50
    deadline_s: float = 20.0
    org_id: str | None = None
    witness: str = ""  # INTCTL_WITNESS, unparsed
    budget_s: float | None = None


class Stop:
    """Set by SIGTERM or SIGINT: nothing new is claimed, and claims under way are given back."""

    def __init__(self) -> None:
        self.signal = 0
        self.at = math.inf  # time of the signal, on the monotonic clock
        self._wake: Callable[[], object] | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._set)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self.signal != 0

    def wake(self, call: Callable[[], object] | None) -> None:
        """Set a function that is called when the signal comes."""
        self._wake = call

    def _set(self, number: int, _frame: object) -> None:
        if self.signal:
            os._exit(130)  # second signal: exit at once; the leases expire
        self.signal, self.at = number, time.monotonic()
        if self._wake:
            self._wake()
