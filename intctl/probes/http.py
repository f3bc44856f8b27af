"""HTTP: intctl's own transport under httpx, and the probe that uses it.

One connection per request: no pool, no redirects, no proxy, no netrc. It uses intctl's resolver,
address guard and phase clock, and its own reader of replies (`http1`). Bodies are cut at a limit. httpx's timeouts are
not used: the probe's deadline covers everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ssl import SSLContext

import httpx

from intctl.health.codes import CODES
from intctl.health.outcome import Outcome
from intctl.probes import tls, usage, wire
from intctl.probes.auth import Authenticator, TokenStore
from intctl.probes.authenticators import authenticator
from intctl.probes.http1 import Reader
from intctl.probes.network import Network
from intctl.probes.proxies import Proxy
from intctl.probes.reply import Judgement, Reply, judge
from intctl.probes.request import Request, place_of, request_for
from intctl.probes.spec import HttpProbe
from intctl.probes.trace import ProbeFailed, Trace
from intctl.probes.tunnel import judge_target, tunnel
from intctl.text import Secret

#: How long intctl waits for the vendor's quota reply, in seconds: it does not change the verdict.
QUOTA_PATIENCE_S = 5.0

#: Statuses of the second reply that prove nothing about the credential.
_NO_REFUSAL = frozenset({304, 408, 409, 423, 425, 429})


async def probe_http(probe: HttpProbe, network: Network, trace: Trace, tokens: TokenStore | None) -> Outcome:
    """Perform an HTTP probe. Raises ProbeFailed."""
    context: SSLContext | None = None

    def make_context() -> SSLContext:
        nonlocal context
        context = context or tls.context(probe.ca_file, probe.client_certificate)
        return context

    def transport(on: Trace) -> Transport:
        plain_ok = probe.auth is None or probe.allow_plain_http
        return Transport(network, on, make_context, max_body=probe.max_body_bytes, plain_ok=plain_ok)

    secrets = [value for value in probe.headers.values() if isinstance(value, Secret)]
    trace.add_secret(*secrets)
    if probe.auth is None and probe.client_certificate is None and not secrets:
        trace.facts["takes_credential"] = False
    own = transport(trace)
    auth = authenticator(probe.auth, tokens, own.send, trace, network.clock)
    (code, detail, retry_after), reply = await _exchange(probe, own, auth, network, trace)
    if code == "ok" and probe.compare_without and auth is not None:
        trace.outcome("credential.uncompared")  # the result if the deadline ends the comparison
        code = await _compared(probe, transport(Trace()), network, trace)
    proven = code == "ok"
    if proven:
        code, detail = _warnings(auth, trace, network)
    outcome = trace.outcome(code, detail, retry_after_s=retry_after)  # a later deadline keeps this result
    if probe.quota_url:
        reply = await _quota_reply(probe, transport(Trace()), auth) if proven else None
    if reply is None or not probe.quotas:
        return outcome
    return usage.judged(outcome, *usage.read(probe.quotas, reply, trace.sanitize))


async def _quota_reply(probe: HttpProbe, transport: Transport, auth: Authenticator | None) -> Reply | None:
    """The vendor's quota reply, or None. Not part of the proof: it has its own trace and renews no token."""
    quiet = replace(
        probe, url=probe.quota_url, method="GET", body_json=None, body_text="", expect_status=200, json=True, answers=()
    )
    try:
        async with asyncio.timeout(QUOTA_PATIENCE_S):
            reply = await transport.exchange(request_for(quiet, auth))
    except Exception:  # an unknown quota is not a failure
        return None
    return reply if reply.status == 200 else None


async def _exchange(
    probe: HttpProbe, transport: Transport, auth: Authenticator | None, network: Network, trace: Trace
) -> tuple[Judgement, Reply | None]:
    """Code, detail and Retry-After of the provider's reply; and the reply, unless it was a token reply."""
    if not probe.url:
        if auth is None:
            raise ProbeFailed("self.config_invalid", "the probe has neither a URL nor a token exchange")
        return await auth.prove(probe), None
    reply = await _send(probe, transport, auth)
    return judge(probe, reply, trace, network.clock()), reply


async def _compared(probe: HttpProbe, transport: Transport, network: Network, trace: Trace) -> str:
    """Repeat a successful request without the credential. Return the code of the comparison."""
    try:
        bare = await _send(probe, transport, None)
    except ProbeFailed:
        return "credential.uncompared"
    if bare.fault and bare.status == probe.expect_status:
        return "credential.uncompared"
    if judge(probe, bare, Trace(), network.clock())[0] == "ok":
        trace.facts["credential_proven"] = False
        return "credential.unproven"
    refused = bare.status == probe.expect_status or 300 <= bare.status < 500
    if not refused or bare.status in _NO_REFUSAL:
        return "credential.uncompared"
    trace.facts["credential_proven"] = True
    return "ok"


async def _send(probe: HttpProbe, transport: Transport, auth: Authenticator | None) -> Reply:
    """The reply to the probe's request, after the token exchange of its credential, if it has one.

    httpx's AsyncClient would use 50 % more CPU, for cookies and redirects that a probe must not
    have. A credential that is only a header needs no flow.
    """
    if not isinstance(auth, httpx.Auth):
        return await transport.exchange(request_for(probe, auth))
    asked = request_for(probe, None)
    request = httpx.Request(
        probe.method,
        probe.url,
        headers=asked.headers,
        content=asked.content or None,
        extensions={"body_wanted": asked.body_wanted},
    )
    flow = auth.async_auth_flow(request)
    try:
        request = await anext(flow)
        while True:
            reply = await transport.send(request)
            try:
                request = await flow.asend(_response(reply, request))
            except StopAsyncIteration:
                return reply
    finally:
        await flow.aclose()


def _warnings(auth: Authenticator | None, trace: Trace, network: Network) -> tuple[str, str]:
    """The code of a successful exchange: "ok" or a warning."""
    left = tls.days_left(trace, network.clock())
    if left is not None:
        return "tls.expires_soon", tls.ends(trace, left)
    if auth is not None and auth.odd:
        return "odd.token", auth.odd
    return "ok", ""


class Transport(httpx.AsyncBaseTransport):
    """One request on one new connection: `exchange`, or httpx's interface.

    An httpx request's extensions may hold `phase` (default "api") and `body_wanted`. Raises ProbeFailed.
    """

    def __init__(
        self, network: Network, trace: Trace, context: Callable[[], SSLContext], *, max_body: int, plain_ok: bool
    ) -> None:
        self._network = network
        self._trace = trace
        self._context = context
        self._max_body = max_body
        self._plain_ok = plain_ok

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return _response(await self.send(request), request)

    async def send(self, request: httpx.Request) -> Reply:
        """Send an httpx request and return its reply. Raises ProbeFailed."""
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
        ours = Request(request.method, place_of(request.url), headers, request.content)
        ours.phase = request.extensions.get("phase", ours.phase)
        ours.body_wanted = request.extensions.get("body_wanted", ours.body_wanted)
        ours.max_body = request.extensions.get("max_body")
        ours.partial = request.extensions.get("partial")
        return await self.exchange(ours)

    async def exchange(self, request: Request) -> Reply:
        """Send the request and return its reply. Raises ProbeFailed."""
        place = request.place
        proxy = None if place.secure else self.proxy(place.host, place.port, secure=False)
        head = request.encoded(proxy)  # before connecting: it may raise
        limit = request.max_body or self._max_body
        reader = Reader(limit, request.body_wanted, is_head=request.method == "HEAD")
        if request.partial is not None:
            request.partial.append(partial(_reply, reader, limit))
        stream = await self._open(place.host, place.port, self._context() if place.secure else None)
        try:
            self._trace.enter(request.phase)
            await stream.send(head)
            await _read(stream, reader, self._trace)
        finally:
            stream.close()
        if reader.dropped:
            self._trace.facts["header_lines_dropped"] = reader.dropped
        return _reply(reader, limit)

    def proxy(self, host: str, port: int, *, secure: bool) -> Proxy | None:
        """The proxy for a server. An unencrypted request takes one only where the config allows such requests."""
        return self._network.policy.proxies.way(host, port, secure=secure) if secure or self._plain_ok else None

    async def _through(self, host: str, port: int, *, secure: bool) -> wire.Stream:
        """A connection to the proxy, and for TLS through it to the server. Raises ProbeFailed."""
        network, trace = self._network, self._trace
        proxy = self.proxy(host, port, secure=secure)
        assert proxy is not None
        judge_target(host, network)
        trace.facts["via"] = proxy.name
        trace.add_secret(proxy.credential)
        try:
            stream = wire.Stream(await wire.connect(proxy.host, proxy.port, network, trace))
        except ProbeFailed as found:
            raise ProbeFailed("proxy.refused", f"{proxy.name}: {CODES[found.code].meaning}") from None
        if secure:
            try:
                await tunnel(stream, proxy, host, port, network, trace)
            except BaseException:
                stream.close()
                raise
        return stream

    async def _open(self, host: str, port: int, context: SSLContext | None) -> wire.Stream:
        network, trace = self._network, self._trace
        loopback_only = context is None and not self._plain_ok
        if self.proxy(host, port, secure=context is not None) is not None:
            stream = await self._through(host, port, secure=context is not None)
        else:
            stream = wire.Stream(await wire.connect(host, port, network, trace, loopback_only=loopback_only))
        if context is None:
            return stream
        try:
            await stream.secure(context, host, network, trace)
            assert stream.secured is not None
            tls.note(stream.secured, trace)
            return stream
        except BaseException as found:
            stream.close()
            if isinstance(found, ProbeFailed) and found.code in tls.CERTIFICATE_CODES:
                raise await look_at_certificate(found, host, port, network, trace) from None
            raise


def _reply(reader: Reader, limit: int) -> Reply:
    """The reply as far as it has come."""
    return Reply(reader.status, reader.headers, bytes(reader.body), reader.cut, reader.fault).inflated(limit)


def _response(reply: Reply, request: httpx.Request) -> httpx.Response:
    """The reply as httpx's auth flows require it."""
    # As bytes: httpx accepts only ASCII text.
    headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
    return httpx.Response(reply.status, headers=headers, stream=httpx.ByteStream(reply.body), request=request)


async def look_at_certificate(found: ProbeFailed, host: str, port: int, network: Network, trace: Trace) -> ProbeFailed:
    """Find out what is wrong with the certificate, by a second handshake that sends nothing."""
    aside = Trace()
    try:
        async with asyncio.timeout(tls.LOOK_S):
            stream = wire.Stream(await wire.connect(host, port, network, aside))
            try:
                await stream.secure(tls.unverified(), host, network, aside)
                return tls.note_refused(stream.secured, network.clock(), trace, found)
            finally:
                stream.close()
    except (ProbeFailed, TimeoutError):
        return found


async def _read(stream: wire.Stream, reader: Reader, trace: Trace) -> None:
    """Read a reply as far as it is needed. Raises ProbeFailed if no status line comes."""
    trace.received_any = done = False
    while not done:
        try:
            data = await stream.receive()
        except ProbeFailed as found:
            try:
                done = reader.end(found.code)
            except ProbeFailed:
                raise found from None
            return
        trace.received_any = trace.received_any or bool(data)
        done = reader.feed(data)
