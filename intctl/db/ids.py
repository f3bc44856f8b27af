"""Identifiers: random ones for rows that people refer to, time-ordered ones for history."""

from __future__ import annotations

import os
import time
import uuid

_last = 0


def new_id() -> str:
    """Return a random UUID (version 4) in canonical form."""
    return str(uuid.uuid4())


def new_log_id() -> str:
    """Return a time-ordered UUID (version 7, RFC 9562): rows written together are together in the index.

    Within a process the ids rise even if the clock stops or goes back.
    """
    global _last  # noqa: PLW0603 - the counter that makes the order strict
    # 48 bits of milliseconds and 12 bits below them, as RFC 9562 §6.2 method 3 allows.
    ticks = max((time.time_ns() << 12) // 1_000_000, _last + 1)
    _last = ticks
    value = (ticks >> 12) << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64
    value |= 0b10 << 62 | int.from_bytes(os.urandom(8), "big") >> 2
    return str(uuid.UUID(int=value))


def new_owner(host: str) -> str:
    """Return a lease owner's name that no other process has or had."""
    return f"{host}:{os.getpid()}:{os.urandom(4).hex()}"
