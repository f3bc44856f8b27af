"""What the probes of one pass share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from intctl.probes.guard import AddressPolicy
from intctl.probes.names import Names


@dataclass(frozen=True, slots=True)
class Budgets:
    """The most that each phase may take, in seconds. The deadline of a probe stands above them."""

    dns_s: float = 3.0
    connect_s: float = 5.0
    tls_s: float = 5.0


class Network:
    """The way out for the probes of one pass, on one event loop: name cache, address policy, budgets.

    `clock` gives UNIX time in seconds; certificates and tokens are held against it.
    """

    def __init__(
        self,
        policy: AddressPolicy | None = None,
        *,
        budgets: Budgets | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.policy = policy or AddressPolicy()
        self.budgets = budgets or Budgets()
        self.names = Names(self.budgets.dns_s)
        self.clock = clock
