"""How a credential is shown to an HTTP API."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Protocol

import httpx

from intctl.probes.reply import Judgement, Reply
from intctl.probes.spec import Auth, Basic, Bearer, Header, HttpProbe, SigV4, Tokens
from intctl.probes.trace import ProbeFailed, Trace
from intctl.text import Secret

#: Sends one request over the probe's transport.
Send = Callable[[httpx.Request], Awaitable[Reply]]


class TokenStore(Protocol):
    """Where the tokens of one integration are kept during one check of it."""

    async def load(self) -> Tokens | None:
        """The tokens that stand now. One without an access token wants a real exchange."""
        ...

    async def save(self, tokens: Tokens) -> Tokens:
        """Puts `tokens` in the place of those loaded last, durably; the tokens that stand afterwards."""
        ...


class Authenticator:
    """A credential. `odd` says what was strange about its token, if anything was.

    One that is an httpx.Auth has a flow, which may ask again after an answer; the others are shown and that is all.
    """

    odd = ""

    async def prove(self, _probe: HttpProbe, /) -> Judgement:
        """Proves the credential by its token exchange alone. Raises Fault."""
        raise ProbeFailed("self.config_invalid", "only a token can be proven without a URL")

    async def access(self, *, anew: bool = False) -> tuple[Secret, bool]:  # noqa: ARG002
        """An access token, and whether it was got just now: always with `anew`. Raises Fault."""
        raise ProbeFailed("self.config_invalid", "this credential is not exchanged for a token")

    def headers(self, _method: str, _url: str, _content: bytes, /) -> dict[str, str]:
        """The headers that show the credential, or the token that was got for it; none is asked for. Raises Fault."""
        raise ProbeFailed("self.config_invalid", "this credential cannot be shown")


def authenticator(
    auth: Auth | None, tokens: TokenStore | None, send: Send, trace: Trace, clock: Callable[[], float]
) -> Authenticator | None:
    """The httpx side of a credential; its secrets are masked in the trace from here on."""
    if auth is None:
        return None
    if isinstance(auth, Basic):
        pair = f"{plain(auth.username)}:{plain(auth.password)}"
        trace.add_secret(pair, *(half for half in (auth.username, auth.password) if isinstance(half, Secret)))
        return _HeaderAuth("Authorization", "Basic " + b64encode(pair.encode()).decode())
    if isinstance(auth, Bearer):
        trace.add_secret(auth.token, "Bearer " + auth.token.reveal())
        return _HeaderAuth("Authorization", "Bearer " + auth.token.reveal())
    if isinstance(auth, Header):
        trace.add_secret(auth.value)
        return _HeaderAuth(auth.name, auth.prefix + auth.value.reveal())
    if isinstance(auth, SigV4):
        trace.add_secret(auth.secret_access_key)
        return _SigV4Auth(auth, clock)
    from intctl.probes.grants import GrantAuth

    return GrantAuth(auth, tokens, send, trace, clock)


def plain(value: str | Secret) -> str:
    """The text itself, secret or not."""
    return value.reveal() if isinstance(value, Secret) else value


class _HeaderAuth(Authenticator):
    def __init__(self, name: str, value: str) -> None:
        self._name = name
        self._value = value

    def headers(self, _method: str, _url: str, _content: bytes) -> dict[str, str]:
        return {self._name: self._value}


class _SigV4Auth(Authenticator):
    def __init__(self, signing: SigV4, clock: Callable[[], float]) -> None:
        self._signing = signing
        self._clock = clock

    def headers(self, method: str, url: str, content: bytes) -> dict[str, str]:
        from intctl.probes.sigv4 import signed

        return signed(self._signing, method, url, content, self._clock())
