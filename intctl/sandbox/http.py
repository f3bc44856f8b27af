"""A small HTTP server: one request a connection, dispatched to one vendor's routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

_HEAD_LIMIT = 64 * 1024
_BODY_LIMIT = 1024 * 1024
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked. Header names are lower case; `path` has no query."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What it gets: `body` is sent as JSON, or nothing when it is None."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)


async def serve(answer: Callable[[Request], Reply], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads one request, writes its reply, closes. A client that stalls or speaks no HTTP is dropped."""
    try:
        async with asyncio.timeout(_PATIENCE):
            request = await _read(reader)
            writer.write(_written(answer(request), head_only=request.method == "HEAD"))
            await writer.drain()
    except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # the client's loss: it sees a closed connection
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    if len(head) > _HEAD_LIMIT:
        raise ValueError("head too long")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _version = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= _BODY_LIMIT:
        raise ValueError("body too long")
    path, _, query = target.partition("?")
    return Request(method, path, query, headers, await reader.readexactly(length))


def _written(reply: Reply, *, head_only: bool) -> bytes:
    body = b"" if reply.body is None else json.dumps(reply.body).encode()
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
