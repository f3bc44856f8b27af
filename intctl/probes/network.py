"""Name cache, address policy and time budgets that the probes of one pass share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from intctl.probes.guard import AddressPolicy
from intctl.probes.names import Names


@dataclass(frozen=True, slots=True)
class Budgets:
    """The time limit of each phase, in seconds. The probe's deadline applies as well."""

    dns_s: float = 3.0
    connect_s: float = 5.0
    tls_s: float = 5.0


class Network:
    """Network access for the probes of one pass, on one event loop: name cache, address policy, budgets.

    `clock` gives UNIX time in seconds; the expiry of certificates and tokens is compared with it.
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
