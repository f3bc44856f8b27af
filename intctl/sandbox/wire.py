"""Faulty connections: silent, slow, or reset."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

#: How long a faulty server keeps the connection open, in seconds: longer than any check may take.
HOLD_S = 90.0
#: The time between two bytes of a slow reply, in seconds, and their number.
_PAUSE_S = 0.05
_BYTES = int(HOLD_S / _PAUSE_S)


async def silent(read: Callable[[], Awaitable[bytes]]) -> None:
    """Read everything and send nothing, until the client closes or HOLD_S is over."""
    async with asyncio.timeout(HOLD_S):
        while await read():
            pass


async def drip(write: Callable[[bytes], Awaitable[None]], start: bytes) -> None:
    """Send `start`, then a line that never ends, byte by byte."""
    await write(start)
    for _ in range(_BYTES):
        await asyncio.sleep(_PAUSE_S)
        await write(b"z")


def reset(writer: asyncio.StreamWriter) -> None:
    """Reset the connection (RST)."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
