"""A small HTTPS server: one request per connection, dispatched to one vendor's routes."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

from intctl.sandbox import wire
from intctl.sandbox.tls import TlsStream

_HEAD_LIMIT = 64 * 1024
_BODY_LIMIT = 1024 * 1024
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """A client's request. Header names are lower case; `path` has no query."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to a request: `body` is sent as JSON, bytes unchanged, and nothing if it is None.

    With a `manner` the reply never arrives: "silent" and "drip" keep the connection open, "reset" resets it.
    """

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: Literal["", "silent", "drip", "reset"] = ""


async def serve(
    answer: Callable[[Request], Reply],
    context: ssl.SSLContext,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Read one request, write its reply, close. A client that stalls or uses no HTTPS is dropped."""
    stream = TlsStream(context, reader, writer)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await stream.handshake()
            request = await _read(stream)
            reply = answer(request)
            if not reply.manner:
                await stream.write(_written(reply, head_only=request.method == "HEAD"))
        if reply.manner == "silent":
            await wire.silent(stream.read)
        elif reply.manner == "drip":
            await wire.drip(stream.write, b"HTTP/1.1 200 OK\r\nX-Slow: ")
        elif reply.manner == "reset":
            wire.reset(writer)
    except (OSError, ValueError, TimeoutError):
        pass  # the client's failure: it sees a closed connection
    finally:
        await stream.close()


async def _read(stream: TlsStream) -> Request:
    data = await _until(stream, b"", lambda data: b"\r\n\r\n" in data, _HEAD_LIMIT)
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _version = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = int(headers.get("content-length", "0"))
    body = await _until(stream, rest, lambda data: len(data) >= length, _BODY_LIMIT)
    path, _, query = target.partition("?")
    return Request(method, path, query, headers, body)


async def _until(stream: TlsStream, data: bytes, enough: Callable[[bytes], bool], limit: int) -> bytes:
    while not enough(data):
        more = await stream.read()
        if not more or len(data) + len(more) > limit:
            raise ValueError("truncated, or too long")
        data += more
    return data


def _written(reply: Reply, *, head_only: bool) -> bytes:
    body = reply.body
    if not isinstance(body, bytes):
        body = b"" if body is None else json.dumps(body).encode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **reply.headers,
    }
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head if head_only else head + body
