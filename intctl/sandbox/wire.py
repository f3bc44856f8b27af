"""Connections that go wrong: held without a word, dripped on, reset."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

#: How long a faulty server holds the line, in seconds: longer than any check may take.
HOLD_S = 90.0
#: The time between two bytes of a drip, in seconds, and their number.
_PAUSE_S = 0.05
_BYTES = int(HOLD_S / _PAUSE_S)


async def silent(read: Callable[[], Awaitable[bytes]]) -> None:
    """Takes everything and says nothing, until the other side leaves or HOLD_S is over."""
    async with asyncio.timeout(HOLD_S):
        while await read():
            pass


async def drip(write: Callable[[bytes], Awaitable[None]], start: bytes) -> None:
    """`start`, then a byte now and then of a line that does not end."""
    await write(start)
    for _ in range(_BYTES):
        await asyncio.sleep(_PAUSE_S)
        await write(b"z")


def reset(writer: asyncio.StreamWriter) -> None:
    """Breaks the connection without a goodbye (RST)."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
