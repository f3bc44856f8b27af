"""The authenticator of each kind of credential: basic, bearer, header, AWS signature, token grant."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

from intctl.probes.auth import Authenticator, Send, TokenStore, plain
from intctl.probes.grants import GrantAuth
from intctl.probes.spec import Auth, Basic, Bearer, Header, SigV4
from intctl.probes.trace import Trace
from intctl.text import Secret


def authenticator(
    auth: Auth | None, tokens: TokenStore | None, send: Send, trace: Trace, clock: Callable[[], float]
) -> Authenticator | None:
    """Return the authenticator of a credential. The trace masks its secrets from here on."""
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
    return GrantAuth(auth, tokens, send, trace, clock)


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
