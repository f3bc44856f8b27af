"""The interface of a credential that an HTTP API accepts, and of the store that keeps its tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import httpx

from intctl.probes.reply import Judgement, Reply
from intctl.probes.spec import HttpProbe, Tokens
from intctl.probes.trace import ProbeFailed
from intctl.text import Secret

#: Sends one request over the probe's transport.
Send = Callable[[httpx.Request], Awaitable[Reply]]


class TokenStore(Protocol):
    """The tokens of one integration during one check of it."""

    async def load(self) -> Tokens | None:
        """Return the current tokens. Tokens without an access token require a real exchange."""
        ...

    async def reserve(self) -> bool:
        """Prepare a save, before a token is spent. False if another database session could prevent it now."""
        ...

    async def save(self, tokens: Tokens) -> Tokens:
        """Replace the last loaded tokens with `tokens`, durably; return the tokens that are current afterwards."""
        ...


class Authenticator:
    """A credential. `odd` describes an irregularity of its token, if there is one.

    An authenticator that is also an httpx.Auth has a flow, which may repeat the request after a reply. The others
    only add headers.
    """

    odd = ""

    async def prove(self, _probe: HttpProbe, /) -> Judgement:
        """Prove the credential by its token exchange alone. Raises ProbeFailed."""
        raise ProbeFailed("self.config_invalid", "only a token can be verified without a URL")

    async def access(self, *, fresh: bool = False) -> tuple[Secret, bool]:  # noqa: ARG002
        """Return an access token, and whether it was exchanged just now: always with `fresh`. Raises ProbeFailed."""
        raise ProbeFailed("self.config_invalid", "this credential is not exchanged for a token")

    def headers(self, _method: str, _url: str, _content: bytes, /) -> dict[str, str]:
        """Return the headers with the credential or its token. Requests no token. Raises ProbeFailed."""
        raise ProbeFailed("self.config_invalid", "this credential cannot be sent in a header")


def plain(value: str | Secret) -> str:
    """Return the text itself, secret or not."""
    return value.reveal() if isinstance(value, Secret) else value
