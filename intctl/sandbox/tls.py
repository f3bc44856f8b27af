"""The server's end of a TLS connection over asyncio's plain streams.

asyncio's own TLS closes the connection without an alert when it refuses a client certificate.
Vendors send the alert, and so does this module.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

_CHUNK = 64 * 1024
_LINGER_SECONDS = 1.0

T = TypeVar("T")


class TlsStream:
    """Reads and writes through TLS. Raises ssl.SSLError if the client breaks or refuses it."""

    def __init__(self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def handshake(self) -> None:
        """Perform the handshake. Must be called first."""
        await self._carry_out(self._tls.do_handshake)

    async def read(self) -> bytes:
        """Return the next bytes, at least one; none at the end."""
        return await self._carry_out(lambda: self._tls.read(_CHUNK))

    async def write(self, data: bytes) -> None:
        """Send all bytes."""
        await self._carry_out(lambda: self._tls.write(data))

    async def close(self) -> None:
        """Send close_notify and close. Safe after an error, and twice."""
        with suppress(ssl.SSLError, OSError):
            self._tls.unwrap()  # leaves close_notify in the buffer, and does not wait for the client's
        with suppress(OSError):
            await self._flush()
            await self._linger()
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _linger(self) -> None:
        # Closing with unread bytes in the buffer resets the connection, and the alert may be lost.
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                self._writer.write_eof()
                while await self._reader.read(_CHUNK):
                    pass

    async def _carry_out(self, step: Callable[[], T]) -> T:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                await self._flush()
                if data := await self._reader.read(_CHUNK):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                await self._flush()
                return done

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            self._writer.write(data)
            await self._writer.drain()
