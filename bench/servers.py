"""The servers for probes.py, as a separate process that does as little work as possible for a reply.

python bench/servers.py CERTIFICATE.pem
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
from collections.abc import Callable

SLOW_S = 0.2
TOKEN = "bench-token-0123456789"
USER, PASSWORD = "bench", "bench-password"
BODY = b'{"ok": true, "account": "bench"}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: " + str(len(BODY)).encode() + b"\r\n\r\n" + BODY
)
REFUSAL = b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Http(asyncio.Protocol):
    """Accepts a request with the token, after `delay_s`."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self._delay_s = delay_s
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._got.endswith(b"\r\n\r\n"):
            answer = ANSWER if TOKEN.encode() in self._got else REFUSAL
            if self._delay_s:
                asyncio.get_running_loop().call_later(self._delay_s, self._answer, answer)
            else:
                self._answer(answer)

    def _answer(self, answer: bytes) -> None:
        self._transport.write(answer)
        self._transport.close()


class Smtp(asyncio.Protocol):
    """EHLO, STARTTLS, AUTH PLAIN, NOOP, QUIT."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._secured = False
        self._early: list[bytes] = []
        self._handshaking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self._transport.write(b"220 mail.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        if self._handshaking:  # the first command may arrive before start_tls has set the new transport
            self._early.append(data)
            return
        word = data[:4].upper()
        if word == b"EHLO":
            offered = b"250 AUTH PLAIN\r\n" if self._secured else b"250 STARTTLS\r\n"
            self._transport.write(b"250-mail.example\r\n" + offered)
        elif word == b"STAR":
            self._transport.pause_reading()  # type: ignore[attr-defined]  # the handshake is for start_tls
            self._transport.write(b"220 go\r\n")
            self._handshaking = True
            self._task = asyncio.get_running_loop().create_task(self._secure())
        elif word == b"AUTH":
            self._transport.write(b"235 ok\r\n")
        elif word == b"QUIT":
            self._transport.write(b"221 bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 ok\r\n")

    async def _secure(self) -> None:
        self._secured = True
        try:
            secured = await asyncio.get_running_loop().start_tls(self._transport, self, self._context, server_side=True)
        except OSError:
            return
        assert secured is not None
        self._transport, self._handshaking = secured, False
        for data in self._early:
            self.data_received(data)


async def main(certificate: str) -> None:
    """Listen, print the ports as JSON, and serve until standard input ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    ports = {}

    async def listen(name: str, make: Callable[[], asyncio.Protocol], secure: ssl.SSLContext | None = None) -> None:
        sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
        await loop.create_server(make, sock=sock, ssl=secure, backlog=1024)
        ports[name] = sock.getsockname()[1]

    await listen("HTTP", Http)
    await listen("HTTPS", Http, context)
    await listen("SMTP+STARTTLS", lambda: Smtp(context))
    await listen("slow", lambda: Http(SLOW_S))
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
