"""HTTP: our own transport under httpx, and the probe that is asked over it.

One connection a request: no pool, no redirects, no proxy, no netrc. Our resolver, our address
guard, our phase clock. Bodies are cut at a cap and never unpacked. httpx's own timeouts are not
used: the deadline of the probe stands above everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import lru_cache
from ssl import SSLContext, SSLObject

import h11
import httpx

from intctl.probes import tls, wire
from intctl.probes.ask import HttpProbe
from intctl.probes.auth import Authenticator, TokenStore, authenticator
from intctl.probes.network import Network
from intctl.probes.outcome import Outcome
from intctl.probes.reply import HEADERS, Judgement, Reply, judge
from intctl.probes.trace import Fault, Trace

#: Status line and headers of one answer, informational ones included, in bytes.
HEAD_LIMIT = 100 * 1024

#: A body in more pieces than this is cut like one that is too long: chunks of one byte cost a second of our time.
MAX_PIECES = 4096

_STATUS_LINE = b"HTTP/1."


async def probe_http(ask: HttpProbe, network: Network, trace: Trace, tokens: TokenStore | None) -> Outcome:
    """What the provider answers to this probe. Raises Fault."""
    context: SSLContext | None = None

    def make_context() -> SSLContext:
        nonlocal context
        context = context or tls.context(ask.ca_file, ask.client_certificate)
        return context

    transport = Transport(
        network, trace, make_context, max_body=ask.max_body_bytes, plain_ok=ask.auth is None or ask.allow_plain_http
    )
    auth = authenticator(ask.auth, tokens, transport.handle_async_request, trace, network.clock)
    code, detail, retry_after = await _ask(ask, transport, auth, network, trace)
    if code == "ok":
        code, detail = _but(auth, trace, network)
    return trace.outcome(code, detail, retry_after_s=retry_after)


async def _ask(
    ask: HttpProbe, transport: Transport, auth: Authenticator | None, network: Network, trace: Trace
) -> Judgement:
    """Code, detail and Retry-After of the provider's answer."""
    if not ask.url:
        if auth is None:
            raise Fault("self.config_invalid", "there is neither a URL nor a token to ask for")
        return await auth.prove(ask)
    reply = await _send(ask, transport, auth)
    verdict = judge(ask, reply, trace, network.clock())
    if verdict[0] == "ok" and ask.compare_without and auth is not None:
        with suppress(Fault):  # what the second call can't find out is not held against the first
            bare = await _send(ask, transport, None)
            trace.facts["credential_proven"] = judge(ask, bare, Trace(), network.clock())[0] != "ok"
    return verdict


async def _send(ask: HttpProbe, transport: Transport, auth: Authenticator | None) -> Reply:
    """The answer to the probe's request, after whatever its credential has to ask first.

    httpx's AsyncClient would do the same for half as much CPU again, spent on the cookies and
    redirects that a probe must not have.
    """
    request = _request(ask)
    if auth is None:
        return Reply.of(await transport.handle_async_request(request))
    flow = auth.async_auth_flow(request)
    try:
        request = await anext(flow)
        while True:
            response = await transport.handle_async_request(request)
            try:
                request = await flow.asend(response)
            except StopAsyncIteration:
                return Reply.of(response)
    finally:
        await flow.aclose()


def _request(ask: HttpProbe) -> httpx.Request:
    own = {name.lower() for name in ask.headers}
    headers = {name: value for name, value in HEADERS.items() if name.lower() not in own}
    try:
        return httpx.Request(
            ask.method,
            _parsed(ask.url),
            headers={**headers, **ask.headers},
            json=ask.body_json,
            extensions={"body_wanted": lambda status: _body_wanted(ask, status)},
        )
    except (httpx.InvalidURL, ValueError, TypeError):
        raise Fault("self.config_invalid", "the URL or a header cannot be sent") from None


@lru_cache(maxsize=1024)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def _body_wanted(ask: HttpProbe, status: int) -> bool:
    """Whether the body can change the verdict: if not, a server that drips it is not waited for."""
    if any(answer.status == status and (answer.pointer or answer.contains) for answer in ask.answers):
        return True
    wanted = ask.json or ask.expect_text or ask.expect_json or ask.require or ask.facts
    return status == ask.expect_status and bool(wanted)


def _but(auth: Authenticator | None, trace: Trace, network: Network) -> tuple[str, str]:
    """The code of an exchange that went well: "ok", or what there is to warn about."""
    left = tls.days_left(trace, network.clock())
    if left is not None:
        return "tls.expires_soon", f"in {left} days, on {str(trace.facts['certificate_not_after'])[:10]}"
    if auth is not None and auth.odd:
        return "odd.token", auth.odd
    return "ok", ""


class Transport(httpx.AsyncBaseTransport):
    """One request on one new connection. The body, cut at the cap, is in `extensions["body"]`.

    A request's extensions may hold `phase` (default "api") and `body_wanted`, which says by the
    status whether the body is read at all. Raises Fault.
    """

    def __init__(
        self,
        network: Network,
        trace: Trace,
        context: Callable[[], SSLContext],
        *,
        max_body: int,
        plain_ok: bool,
    ) -> None:
        self._network = network
        self._trace = trace
        self._context = context
        self._max_body = max_body
        self._plain_ok = plain_ok

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url, trace = request.url, self._trace
        if url.scheme not in ("http", "https") or not url.host:
            raise Fault("self.config_invalid", "the URL is not an http:// or https:// one")
        if url.username or url.password:
            raise Fault("self.config_invalid", "the URL holds a user name or password")
        secure = url.scheme == "https"
        head = _request_head(request)  # before the connection: nothing is sent when it cannot be written
        exchange = _Exchange(
            trace,
            asyncio.get_running_loop().create_future(),
            head,
            request.extensions.get("phase", "api"),
            self._max_body,
            request.extensions.get("body_wanted", lambda _status: True),
        )
        host = url.raw_host.decode("ascii")
        port = url.port or (443 if secure else 80)
        context = self._context() if secure else None
        try:
            await self._open(exchange, host, port, context)
            await exchange.done
        finally:
            exchange.close()
        return httpx.Response(
            exchange.status,
            headers=exchange.headers,
            stream=_Spent(),
            extensions={"body": bytes(exchange.body), "cut": exchange.cut},
            request=request,
        )

    async def _open(self, exchange: _Exchange, host: str, port: int, context: SSLContext | None) -> None:
        network, trace = self._network, self._trace
        loopback_only = context is None and not self._plain_ok
        sock = await wire.connect(host, port, network, trace, loopback_only=loopback_only)
        try:
            await wire.stream(lambda: exchange, sock, host, network, trace, context)
        except Fault as found:
            if context is not None and found.code in tls.CERTIFICATE_CODES:
                found = await self._look_at_certificate(found, host, port)
            raise found from None

    async def _look_at_certificate(self, found: Fault, host: str, port: int) -> Fault:
        """A second handshake that sends nothing, to tell what is wrong with the certificate."""
        seen = _Look()
        aside = Trace()
        try:
            async with asyncio.timeout(tls.LOOK_S):
                sock = await wire.connect(host, port, self._network, aside)
                await wire.stream(lambda: seen, sock, host, self._network, aside, tls.unverified())
            return tls.note_refused(seen.certificate, self._trace, found)
        except (Fault, TimeoutError):
            return found
        finally:
            seen.close()


def _request_head(request: httpx.Request) -> list[h11.Event]:
    url = request.url
    try:
        content = request.content
        events: list[h11.Event] = [h11.Request(method=request.method, target=url.raw_path, headers=request.headers.raw)]
    except (h11.LocalProtocolError, ValueError):
        raise Fault("credential.malformed") from None
    if content:
        events.append(h11.Data(data=content))
    events.append(h11.EndOfMessage())
    return events


class _Connection(asyncio.Protocol):
    """The transport of a connection, closed without waiting for the other side."""

    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    @property
    def secured(self) -> SSLObject | None:
        """The TLS side of the connection, where there is one."""
        return self.transport.get_extra_info("ssl_object") if self.transport else None

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class _Look(_Connection):
    @property
    def certificate(self) -> bytes:
        return (self.secured.getpeercert(binary_form=True) if self.secured else None) or b""


class _Exchange(_Connection):
    """One request and its answer, read up to the caps.

    The request is sent as soon as the connection stands, TLS verified: it shares a packet with the
    end of the handshake. The connection is closed as soon as the answer is known.
    """

    def __init__(
        self,
        trace: Trace,
        done: asyncio.Future[None],
        head: list[h11.Event],
        phase: str,
        max_body: int,
        body_wanted: Callable[[int], bool],
    ) -> None:
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_LIMIT)
        self._trace = trace
        self._head = head
        self._phase = phase
        self._max_body = max_body
        self._body_wanted = body_wanted
        self._head_bytes = 0
        self._pieces = 0
        self.done = done
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.cut = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        try:
            if self.secured is not None:
                tls.note(self.secured, self._trace)
            self._trace.enter(self._phase)
            self._trace.heard = False
            self.transport.write(b"".join(self._h11.send(event) or b"" for event in self._head))
        except Exception as error:  # asyncio would only log it
            self._end(error)

    def data_received(self, data: bytes) -> None:
        self._trace.heard = True
        if not self._head_bytes and not _STATUS_LINE.startswith(data[: len(_STATUS_LINE)]):
            self._end(Fault("protocol.error"))  # a banner, TLS or noise: h11 would wait for a line's end
        if not self.status:
            self._head_bytes += len(data)
        self._feed(data)

    def eof_received(self) -> bool:
        self._feed(b"")
        self._end(Fault("connection.closed"))
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._end(tls.lost(error))

    def _feed(self, data: bytes) -> None:
        if self.done.done():
            return
        try:
            self._h11.receive_data(data)
            self._advance()
        except h11.RemoteProtocolError:
            # h11 reports an end of file in the middle of an answer in the same way.
            self._end(Fault("connection.closed" if not data else "protocol.error"))

    def _advance(self) -> None:
        while not self.done.done():
            event = self._h11.next_event()
            if isinstance(event, h11.Data):
                room = self._max_body - len(self.body)
                self.body += event.data[:room]
                self._pieces += 1
                if len(event.data) > room or self._pieces > MAX_PIECES:
                    self.cut = True
                    self._end()
            elif isinstance(event, h11.Response):
                self.status, self.headers = event.status_code, list(event.headers)
                if not self._body_wanted(self.status):
                    self._end()
            elif isinstance(event, h11.EndOfMessage):
                self._end()
            elif isinstance(event, h11.ConnectionClosed):
                self._end(Fault("connection.closed"))
            elif not isinstance(event, h11.InformationalResponse):
                break  # NEED_DATA, or PAUSED after the answer
        if not self.status and self._head_bytes > HEAD_LIMIT:
            self._end(Fault("protocol.error"))

    def _end(self, found: Exception | None = None) -> None:
        if self.done.done():
            return
        self.close()
        if found is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(found)
            self.done.exception()  # seen: when it comes before anybody waits, asyncio is not to log it


class _Spent(httpx.AsyncByteStream):
    """No body: it was read already, and httpx is to leave it alone."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield b""
