"""Hostile servers: slow, flooding, resetting, silent, lying, stripping. Each is one handler for `raw_server`."""

from __future__ import annotations

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from tests.servers import RawServer

Handler = Callable[[StreamReader, StreamWriter, RawServer], Awaitable[None]]

#: How long a hostile server keeps a connection, in seconds; probes end long before.
FOREVER = 30.0


def silent() -> Handler:
    """Accept the connection and never reply."""

    async def handler(reader: StreamReader, writer: StreamWriter, server: RawServer) -> None:
        while data := await reader.read(4096):
            server.got += data

    return handler


def says(*parts: bytes, listen: bool = True, hold: bool = False) -> Handler:
    """Wait for a request if `listen`, send the parts, then close, or keep the connection open."""

    async def handler(reader: StreamReader, writer: StreamWriter, server: RawServer) -> None:
        if listen:
            server.got += await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
        await writer.drain()
        if hold:
            await asyncio.sleep(FOREVER)

    return handler


def hangs_up(after: bytes = b"") -> Handler:
    """Send `after` and close the server's half of the connection before any request."""

    async def handler(reader: StreamReader, writer: StreamWriter, server: RawServer) -> None:
        writer.write(after)
        writer.write_eof()
        server.got += await reader.read(4096)

    return handler


def drips(text: bytes, *, first: bytes = b"", listen: bool = True, pause: float = 0.02) -> Handler:
    """Send `first` at once, then `text` over and over, one byte at a time."""

    async def handler(reader: StreamReader, writer: StreamWriter, server: RawServer) -> None:
        if listen:
            server.got += await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        while True:
            for byte in text:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(pause)

    return handler


def floods(block: bytes, *, first: bytes = b"", listen: bool = True) -> Handler:
    """Send `first`, then `block` endlessly, as fast as the client reads."""

    async def handler(reader: StreamReader, writer: StreamWriter, server: RawServer) -> None:
        if listen:
            server.got += await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        while True:
            writer.write(block)
            await writer.drain()

    return handler


def resets(after: bytes = b"", *, listen: bool = True) -> Handler:
    """Send `after`, then reset the connection."""

    async def handler(reader: StreamReader, writer: StreamWriter, server: RawServer) -> None:
        if listen:
            server.got += await reader.read(4096)
        if after:
            writer.write(after)
            await writer.drain()
        await asyncio.sleep(0.05)  # let the client notice the connection
        sock: Any = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return handler


def mail(
    replies: Iterable[tuple[bytes, bytes | None]] = (),
    *,
    banner: bytes | None = b"220 mail.example ESMTP\r\n",
    ehlo: bytes = b"250-mail.example\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n",
) -> Handler:
    """A mail server by script: `replies` by the start of the command. None closes the connection."""
    script: dict[bytes, bytes | None] = {
        b"EHLO": ehlo,
        b"NOOP": b"250 ok\r\n",
        b"QUIT": b"221 bye\r\n",
        **dict(replies),
    }

    async def handler(reader: StreamReader, writer: StreamWriter, server: RawServer) -> None:
        if banner is None:
            return
        writer.write(banner)
        while line := await reader.readline():
            server.got += line
            found = next((start for start in script if line.upper().startswith(start)), None)
            reply = b"502 what?\r\n" if found is None else script[found]
            if reply is None:
                return
            writer.write(reply)
            await writer.drain()

    return handler
