"""How a credential is shown to an HTTP API, OAuth token exchanges included.

A rotated refresh token is saved before anything is done with its access token: the old one may be
dead already, and a crash in between must not lose the new one.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import quote

import httpx

from intctl.probes.ask import (
    Auth,
    Basic,
    Bearer,
    ClientCredentials,
    Header,
    HttpProbe,
    RefreshToken,
    SignedJwt,
    SigV4,
    TokenGrant,
    Tokens,
)
from intctl.probes.reply import HEADERS, MISSING, Judgement, Reply, by_status, judge, retry_after, value_at
from intctl.probes.trace import Fault, Trace
from intctl.text import Secret

#: A stored access token that ends sooner is not used, in seconds.
LEEWAY_S = 60
#: What a token's lifetime is taken to be when the provider gives none that makes sense, in seconds.
ASSUMED_LIFETIME_S = 3600
#: A token is stored for this long at the most, in seconds; and a lifetime beyond 400 days is odd.
MAX_STORED_S = 86400
MAX_SANE_S = 400 * 86400

# Microsoft's numbers, in words that say what to do.
_AADSTS = {
    "AADSTS7000222": ("http.auth.rejected", "the client secret has expired (AADSTS7000222): make a new one in Entra"),
    "AADSTS7000215": (
        "http.auth.rejected",
        "the client secret is wrong (AADSTS7000215): it is the secret's value that is wanted, not its ID",
    ),
    "AADSTS700016": ("http.auth.rejected", "the tenant has no application with this client ID (AADSTS700016)"),
    "AADSTS90002": ("not.found", "there is no tenant with this ID (AADSTS90002)"),
    "AADSTS53003": ("http.forbidden", "a conditional access rule blocks it (AADSTS53003)"),
}
_OAUTH = {
    "invalid_client": "http.auth.rejected",
    "unauthorized_client": "http.auth.rejected",
    "invalid_grant": "http.auth.rejected",
    "access_denied": "http.forbidden",
    "invalid_scope": "http.forbidden",
    "temporarily_unavailable": "server.error",
}
#: Sends one request over the probe's transport.
Send = Callable[[httpx.Request], Awaitable[httpx.Response]]


class TokenStore(Protocol):
    """Where the tokens of one integration are kept."""

    async def load(self) -> Tokens | None:
        """The tokens that stand now."""
        ...

    async def save(self, tokens: Tokens, *, previous: Tokens | None) -> Tokens:
        """Puts `tokens` in the place of `previous`, durably; the tokens that stand afterwards."""
        ...


class Authenticator(httpx.Auth):
    """A credential. `odd` says what was strange about its token, if anything was."""

    odd = ""

    async def prove(self, _send: Send, _ask: HttpProbe, /) -> Judgement:
        """Proves the credential by its token exchange alone. Raises Fault."""
        raise Fault("self.config_invalid", "only a token can be proven without a URL")

    async def access(self, _send: Send, /, *, fresh: bool = False) -> tuple[Secret, bool]:  # noqa: ARG002
        """An access token, and whether it was got just now: always with `fresh`. Raises Fault."""
        raise Fault("self.config_invalid", "this credential is not exchanged for a token")

    async def show(self, request: httpx.Request) -> httpx.Request:
        """The request with the credential that was proven just now; no token is asked for. Raises Fault."""
        flow = self.async_auth_flow(request)
        try:
            return await anext(flow)
        finally:
            await flow.aclose()


def authenticator(
    auth: Auth | None, tokens: TokenStore | None, trace: Trace, clock: Callable[[], float]
) -> Authenticator | None:
    """The httpx side of a credential; its secrets are masked in the trace from here on."""
    if auth is None:
        return None
    if isinstance(auth, Basic):
        pair = f"{plain(auth.username)}:{plain(auth.password)}"
        trace.hide(pair, *(half for half in (auth.username, auth.password) if isinstance(half, Secret)))
        return _HeaderAuth("Authorization", "Basic " + b64encode(pair.encode()).decode())
    if isinstance(auth, Bearer):
        trace.hide(auth.token)
        return _HeaderAuth("Authorization", "Bearer " + auth.token.reveal())
    if isinstance(auth, Header):
        trace.hide(auth.value)
        return _HeaderAuth(auth.name, auth.prefix + auth.value.reveal())
    if isinstance(auth, SigV4):
        trace.hide(auth.secret_access_key)
        return _SigV4Auth(auth, clock)
    return _TokenAuth(auth, tokens, trace, clock)


def plain(value: str | Secret) -> str:
    """The text itself, secret or not."""
    return value.reveal() if isinstance(value, Secret) else value


class _HeaderAuth(Authenticator):
    def __init__(self, name: str, value: str) -> None:
        self._name = name
        self._value = value

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        try:
            request.headers[self._name] = self._value
        except UnicodeEncodeError:
            raise Fault("credential.malformed") from None
        yield request


class _SigV4Auth(Authenticator):
    def __init__(self, ask: SigV4, clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        from intctl.probes.sigv4 import signed

        try:
            request.headers.update(signed(self._ask, request.method, str(request.url), request.content, self._clock()))
        except UnicodeEncodeError:
            raise Fault("credential.malformed") from None
        yield request


class _TokenAuth(Authenticator):
    """A grant, exchanged for an access token over the same transport."""

    def __init__(
        self,
        ask: TokenGrant,
        store: TokenStore | None,
        trace: Trace,
        clock: Callable[[], float],
    ) -> None:
        self._ask = ask
        self._store = store
        self._trace = trace
        self._clock = clock
        self._shown: Secret | None = None
        if isinstance(ask, SignedJwt):
            trace.hide(ask.private_key)
            return
        trace.hide(ask.client_secret, f"{ask.client_id}:{ask.client_secret.reveal()}")
        if isinstance(ask, RefreshToken):
            trace.hide(ask.refresh_token)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        stored = await self._load()
        access = self._still_good(stored)
        self._trace.facts["token_exchanged"] = access is None
        if access is not None:
            response = yield self._with(request, access)
            if response.status_code != 401:
                return
            self._trace.facts["token_exchanged"] = True
        token_request = self._token_request(stored)
        reply = Reply.of((yield token_request))
        access, changed = await self._take(reply, stored)
        if access is None:  # another runner was first: its refresh token is the one to use
            reply = Reply.of((yield self._token_request(changed)))
            access, _ = await self._take(reply, changed, last=True)
        assert access is not None
        yield self._with(request, access)

    async def prove(self, send: Send, ask: HttpProbe, /) -> Judgement:
        stored = await self._load()
        reply = Reply.of(await send(self._token_request(stored)))
        if reply.status != 200 and ask.answers:
            special = judge(ask, reply, self._trace, self._clock())
            if special[0] in {answer.code for answer in ask.answers}:
                return special
        access, changed = await self._take(reply, stored)
        if access is None:
            reply = Reply.of(await send(self._token_request(changed)))
            await self._take(reply, changed, last=True)
        return "ok", "", None

    async def access(self, send: Send, /, *, fresh: bool = False) -> tuple[Secret, bool]:
        stored = await self._load()
        access = None if fresh else self._still_good(stored)
        self._trace.facts["token_exchanged"] = access is None
        if access is not None:
            return access, False
        access, changed = await self._take(Reply.of(await send(self._token_request(stored))), stored)
        if access is None:
            access, _ = await self._take(Reply.of(await send(self._token_request(changed))), changed, last=True)
        assert access is not None
        return access, True

    async def show(self, request: httpx.Request) -> httpx.Request:
        if self._shown is None:
            raise Fault("self.config_invalid", "there is no access token yet")
        return self._with(request, self._shown)

    async def _load(self) -> Tokens | None:
        if self._store is None:
            return None
        try:
            stored = await self._store.load()
        except Exception:
            raise Fault("self.database") from None
        if stored is not None:
            self._trace.hide(stored.access_token, stored.refresh_token)
        return stored

    def _still_good(self, stored: Tokens | None) -> Secret | None:
        if stored is None or stored.access_token is None or stored.expires_at is None:
            return None
        if isinstance(self._ask, RefreshToken) and stored.origin != self._ask.refresh_token:
            return None
        return stored.access_token if stored.expires_at - self._clock() > LEEWAY_S else None

    def _refresh_token(self, stored: Tokens | None) -> Secret | None:
        """The refresh token to spend: the latest successor of the one that the manifest gave."""
        if not isinstance(self._ask, RefreshToken):
            return None
        if stored is not None and stored.origin == self._ask.refresh_token and stored.refresh_token is not None:
            return stored.refresh_token
        return self._ask.refresh_token

    def _with(self, request: httpx.Request, access: Secret) -> httpx.Request:
        self._trace.hide(access)
        self._shown = access
        try:
            request.headers["Authorization"] = "Bearer " + access.reveal()
        except UnicodeEncodeError:
            raise Fault("unexpected.reply", "the token holds characters that no header can carry") from None
        return request

    def _token_request(self, stored: Tokens | None) -> httpx.Request:
        ask = self._ask
        refresh = self._refresh_token(stored)
        if isinstance(ask, RefreshToken) and ask.single_use and self._store is None:
            raise Fault("self.token_single_use")
        headers = dict(HEADERS)
        fields = self._assertion(ask) if isinstance(ask, SignedJwt) else self._client_fields(ask, refresh, headers)
        if ask.scope and not isinstance(ask, SignedJwt):
            fields["scope"] = ask.scope
        as_json = not isinstance(ask, SignedJwt) and ask.body == "json"
        content: dict[str, Any] = {"json": fields} if as_json else {"data": fields}
        try:
            return httpx.Request("POST", ask.token_url, headers=headers, extensions={"phase": "auth"}, **content)
        except (httpx.InvalidURL, ValueError, TypeError):
            raise Fault("self.config_invalid", "the URL of the token endpoint cannot be used") from None

    def _client_fields(
        self, ask: ClientCredentials | RefreshToken, refresh: Secret | None, headers: dict[str, str]
    ) -> dict[str, str]:
        """The fields of the token call; the client goes among them or into `headers`."""
        self._trace.hide(*(value for value in ask.extra.values() if isinstance(value, Secret)))
        fields = {name: plain(value) for name, value in ask.extra.items()}
        if refresh is not None:
            fields |= {"grant_type": "refresh_token", "refresh_token": refresh.reveal()}
        elif isinstance(ask, ClientCredentials) and ask.grant:
            fields["grant_type"] = ask.grant
        if ask.client_in == "body":
            return fields | {"client_id": ask.client_id, "client_secret": ask.client_secret.reveal()}
        pair = f"{ask.client_id}:{ask.client_secret.reveal()}"
        if ask.client_in == "basic":  # RFC 6749 §2.3.1: both halves are form-encoded first.
            pair = f"{quote(ask.client_id, safe='')}:{quote(ask.client_secret.reveal(), safe='')}"
        self._trace.hide(pair)
        scheme = "Basic" if ask.client_in == "basic" else "ID"
        headers["Authorization"] = f"{scheme} {b64encode(pair.encode()).decode()}"
        return fields

    def _assertion(self, ask: SignedJwt) -> dict[str, str]:
        from intctl.probes.jwt import signed

        statement = signed(ask, self._clock())
        self._trace.hide(statement)
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": statement}

    async def _take(
        self, reply: Reply, stored: Tokens | None, *, last: bool = False
    ) -> tuple[Secret | None, Tokens | None]:
        """The access token of a token reply, its successor saved first.

        None and the tokens that stand now, when the refresh token was spent by somebody else
        meanwhile; with `last` that is a fault too. Raises Fault.
        """
        document = reply.json()
        pointer = self._ask.token_at if isinstance(self._ask, ClientCredentials) else "/access_token"
        granted = value_at(document, pointer) if isinstance(document, dict) and reply.status == 200 else None
        if isinstance(granted, str) and granted:
            if not granted.isascii() or not granted.isprintable() or " " in granted:
                raise Fault("unexpected.reply", "the token holds characters that no header can carry")
            self._shown = await self._keep(Secret(granted), value_at(document, pointer.rpartition("/")[0]), stored)
            return self._shown, None
        self._trace.facts["http_status"] = reply.status
        if isinstance(self._ask, RefreshToken) and _error(document) == "invalid_grant":
            now = await self._load()
            if not last and self._refresh_token(now) != self._refresh_token(stored):
                return None, now
            raise Fault("reauthorise", _aadsts(document))
        raise self._refused(reply, document)

    async def _keep(self, access: Secret, document: dict[str, Any], stored: Tokens | None) -> Secret:
        self._trace.hide(access)
        lifetime = self._lifetime(document.get("expires_in", MISSING))
        tokens = Tokens(access, self._clock() + lifetime, scope=self._ask.scope)
        if self.odd:  # not kept, or the warning would come and go with the stored token
            tokens = Tokens(None, None, scope=self._ask.scope)
        used = self._refresh_token(stored)
        if used is not None and isinstance(self._ask, RefreshToken):
            given = document.get("refresh_token")
            successor = Secret(given) if isinstance(given, str) and given else used
            self._trace.hide(successor)
            tokens = replace(tokens, refresh_token=successor, origin=self._ask.refresh_token)
        if self._store is None or (tokens.access_token is None and tokens.refresh_token in (None, used)):
            return access
        stands = await self._save(self._store, tokens, stored)
        if stands.access_token is not None and stands.access_token != tokens.access_token:
            self._trace.hide(stands.access_token)
            return stands.access_token
        return access

    async def _save(self, store: TokenStore, tokens: Tokens, stored: Tokens | None) -> Tokens:
        saving = asyncio.ensure_future(store.save(tokens, previous=stored))
        try:
            return await asyncio.shield(saving)
        except asyncio.CancelledError:
            await asyncio.wait({saving})  # a token that is out of the provider's hands is saved, deadline or not
            if not saving.cancelled():
                saving.exception()
            raise
        except Exception:
            raise Fault("self.token_not_saved") from None

    def _lifetime(self, value: object) -> float:
        """Seconds that the token is stored for; `odd` says when the provider's figure made no sense."""
        try:
            seconds = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
        except (ValueError, OverflowError):
            seconds = 0.0
        if value is MISSING and isinstance(self._ask, ClientCredentials) and self._ask.lifetime_s:
            return self._ask.lifetime_s
        if not 0 < seconds <= MAX_SANE_S:
            self.odd = "expires_in is missing" if value is MISSING else "expires_in is no sensible number"
            seconds = ASSUMED_LIFETIME_S
        return min(max(seconds, LEEWAY_S), MAX_STORED_S)

    def _refused(self, reply: Reply, document: Any) -> Fault:
        where = "token endpoint"
        if reply.status == 200:
            why = "it sent no access token" if isinstance(document, dict) else "it did not send JSON"
            return Fault("unexpected.reply", f"{where}: {why}")
        number = _aadsts(document)
        if number in _AADSTS:
            return Fault(*_AADSTS[number])
        code, detail = by_status(reply, self._trace)
        error = _error(document)
        if reply.status < 500 and reply.status != 429:
            code = _OAUTH.get(error, code)
        said = f", {self._trace.words(number or error, 60)}" if number or error else ""
        wait = retry_after(reply.headers.get("retry-after", ""), self._clock()) if reply.status in (429, 503) else None
        return Fault(code, f"{where}: {detail}{said}", retry_after_s=wait)


def _error(document: Any) -> str:
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, str) else ""


def _aadsts(document: Any) -> str:
    """Microsoft's error number at the head of the description, if there is one."""
    text = document.get("error_description") if isinstance(document, dict) else None
    head = text.partition(":")[0].strip() if isinstance(text, str) else ""
    return head if head.startswith("AADSTS") and head[6:].isdecimal() and len(head) < 20 else ""
