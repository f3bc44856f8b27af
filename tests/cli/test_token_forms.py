"""The reply that brings a rotated refresh token may have any form: the token is saved, and the next check works."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from ..servers import RawServer, raw_server
from .conftest import Intctl

TENANTS = b'[{"id":"1","tenantId":"t","tenantType":"ORGANISATION","tenantName":"Acme"}]'


def head(status: str, length: int, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {length}", *lines, "", ""]).encode()


def chunked(body: bytes, coding: str) -> bytes:
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n".encode() + chunks


def form(body: bytes) -> bytes:
    return "&".join(f"{name}={value}" for name, value in json.loads(body).items()).encode()


def after(body: bytes, rest: bytes) -> bytes:
    return head("200 OK", len(body + rest)) + body + rest


#: What a token endpoint makes of its reply's document. An empty last piece: it says no more, and waits.
FORMS: dict[str, Callable[[bytes], bytes | list[bytes]]] = {
    "as it should": lambda body: head("200 OK", len(body)) + body,
    "201": lambda body: head("201 Created", len(body)) + body,
    "203": lambda body: head("203 Non-Authoritative", len(body)) + body,
    "gzip": lambda body: head("200 OK", len(gzip.compress(body)), "Content-Encoding: gzip") + gzip.compress(body),
    "deflate": lambda body: head("200 OK", len(zlib.compress(body)), "Content-Encoding: deflate") + zlib.compress(body),
    "a form": lambda body: (
        head("200 OK", len(form(body)), "Content-Type: application/x-www-form-urlencoded") + form(body)
    ),
    "an odd header": lambda body: head("200 OK", len(body), "X/Bad: 1", "what is this") + body,
    "chunked twice": lambda body: chunked(body, "chunked, chunked"),
    "a length too long": lambda body: head("200 OK", len(body) + 3) + body,
    "two lengths": lambda body: head("200 OK", len(body), "Transfer-Encoding: identity") + body,
    "something after it": lambda body: after(body, b"\n<!-- served by 7 -->"),
    "a byte order mark": lambda body: after(b"\xef\xbb\xbf", body),
    "far into a long body": lambda body: after(b" " * 200_000, body),
    "no last chunk": lambda body: chunked(body, "chunked")[:-5],
}
#: Only the refresh token can be read of these, or its reply never ends.
CUT: dict[str, Callable[[bytes], bytes | list[bytes]]] = {
    "cut after it": lambda body: head("200 OK", len(body)) + body[:-20],
    "dripping": lambda body: [head("200 OK", len(body)) + body[:-20], b""],
}


class Vendor:
    """A provider with strict rotation, whose first token reply has an odd form."""

    def __init__(self, form: Callable[[bytes], bytes | list[bytes]]) -> None:
        self.form = form
        self.alive, self.shown = "rt-0", []  # type: ignore[var-annotated]

    async def serve(self, reader: Any, writer: Any, server: RawServer) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if not request.startswith(b"POST"):
            writer.write(head("200 OK", len(TENANTS)) + TENANTS)
            return
        length = int(request.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        token = parse_qs((await reader.readexactly(length)).decode())["refresh_token"][0]
        self.shown.append(token)
        if token != self.alive:
            body = b'{"error":"invalid_grant"}'
            writer.write(head("400 Bad Request", len(body)) + body)
            return
        count = len(self.shown)
        self.alive = f"rt-{count}"
        document = {
            "access_token": f"at-{count}", "expires_in": 1800, "refresh_token": self.alive, "token_type": "Bearer",
        }  # fmt: skip
        body = json.dumps(document).encode()
        said = self.form(body) if count == 1 else FORMS["as it should"](body)
        for piece in [said] if isinstance(said, bytes) else said:
            writer.write(piece)
            await writer.drain()
            if not piece:
                await asyncio.sleep(20)


def add(intctl: Intctl, port: int) -> None:
    config = {
        "client_id": "cid", "client_secret": {"env": "CS"}, "refresh_token": {"env": "RT"},
        "base_url": f"http://127.0.0.1:{port}",
    }  # fmt: skip
    manifest = json.dumps({"name": "X", "provider": "xero", "config": config})
    said = intctl("add", "xero", "-f", "-", "--no-test", stdin=manifest, CS="geheim-cs", RT="rt-0").err
    assert "The application needs a grant of its own" in said


@pytest.mark.case("F01")
@pytest.mark.parametrize("form", FORMS)
def test_a_token_is_never_lost_for_its_form(intctl: Intctl, form: str) -> None:
    """Whatever can be read is a success, and the next exchange shows the successor."""
    vendor = Vendor(FORMS[form])
    with raw_server(vendor.serve) as server:
        add(intctl, server.port)
        assert intctl("check", "X", "-o", "json").json[0]["code"] == "ok"
        intctl("check", "X")
    assert vendor.shown == ["rt-0", "rt-1"]


@pytest.mark.case("F01")
@pytest.mark.parametrize("form", CUT)
def test_a_token_is_never_lost_for_its_end(intctl: Intctl, form: str) -> None:
    """The refresh token of a reply that is cut, or that the deadline ends, is saved all the same."""
    vendor = Vendor(CUT[form])
    with raw_server(vendor.serve) as server:
        add(intctl, server.port)
        intctl("check", "X", "--timeout", "2", code=None)
        assert intctl("check", "X", "-o", "json").json[0]["code"] == "ok"
    assert vendor.shown == ["rt-0", "rt-1"]
