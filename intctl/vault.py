"""A stored config and its tokens: sealed at rest, opened for a probe."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from intctl.db.connect import Database
from intctl.errors import SealError
from intctl.keyring import Binding, Keyring
from intctl.manifest.config import from_plain, to_plain
from intctl.probes.spec import HttpProbe, RefreshToken, SmtpProbe, TcpProbe, TokenGrant
from intctl.providers import catalogue
from intctl.store.configs import SealedConfig
from intctl.store.tokens import SealedTokens
from intctl.text import Secret

if TYPE_CHECKING:
    from intctl.health.outcome import Outcome
    from intctl.probes.spec import Probe, Tokens
    from intctl.providers.base import Provider


@dataclass(frozen=True, slots=True)
class OpenedIntegration:
    """A stored integration, opened, and its probe. `origin` is the refresh token in its config."""

    provider: Provider
    config: Mapping[str, object] = field(repr=False)
    probe: Probe
    origin: Secret | None

    @property
    def host(self) -> str:
        """The host that the probe contacts; "" for none."""
        if isinstance(self.probe, SmtpProbe | TcpProbe):
            return self.probe.host
        if isinstance(self.probe, HttpProbe):
            url = self.probe.url or getattr(self.probe.auth, "token_url", "")
            return urlsplit(url).hostname or ""
        return ""


def binding(org_id: str, id: str, provider: str) -> Binding:
    """Return the binding of a config envelope: a changed provider column must not redirect a secret."""
    return Binding(org_id, id, f"config:{provider}")


def token_binding(org_id: str, id: str, provider: str) -> Binding:
    """Return the binding of the envelopes of OAuth tokens."""
    return Binding(org_id, id, f"oauth:{provider}")


def seal(keyring: Keyring, org_id: str, id: str, provider: Provider, config: Mapping[str, object]) -> dict[str, Any]:
    """Seal a config into an envelope."""
    return keyring.seal(to_plain(provider, config), binding(org_id, id, provider.name))


def origin(config: Mapping[str, object]) -> Secret | None:
    """Return the refresh token in the manifest, or None."""
    value = config.get("refresh_token")
    return value if isinstance(value, Secret) else None


def open_plain(keyring: Keyring, sealed: SealedConfig) -> dict[str, Any]:
    """Open a stored config as plain JSON, secrets included. Raises SealError if it does not open."""
    return keyring.open(sealed.config, binding(sealed.org_id, sealed.id, sealed.provider), sealed.name)


def open_config(keyring: Keyring, sealed: SealedConfig, provider: Provider) -> dict[str, object]:
    """Open a stored config, secrets wrapped. Raises SealError if it does not open or does not fit."""
    return from_plain(provider, open_plain(keyring, sealed))


def open_integration(keyring: Keyring, sealed: SealedConfig) -> OpenedIntegration | Outcome:
    """Open a stored config and build its probe; or return the outcome that says why there is no probe."""
    from intctl.health.outcome import Outcome

    provider = catalogue.get(sealed.provider)
    if provider is None:
        return Outcome("self.provider_unknown", detail=f'"{sealed.provider}"')
    try:
        config = open_config(keyring, sealed, provider)
        return OpenedIntegration(provider, config, provider.probe(config), origin(config))
    except SealError as error:
        return Outcome(error.code, detail=error.detail)
    except Exception as error:  # one broken provider must not end the pass for the others
        return Outcome("self.crash", detail=type(error).__name__)


# --- tokens --------------------------------------------------------------------------------------


def exchanges(probe: Probe) -> bool:
    """Whether the probe needs an access token from a token exchange."""
    return isinstance(getattr(probe, "auth", None), TokenGrant)


def refreshes(probe: Probe) -> bool:
    """Whether the probe uses a refresh token: then it requires the integration's lease."""
    return isinstance(getattr(probe, "auth", None), RefreshToken)


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """The integration that stored tokens belong to."""

    org_id: str
    id: str
    name: str


def tokens(
    database: Database,
    keyring: Keyring,
    owner: TokenOwner | SealedConfig,
    provider: Provider,
    config: Mapping[str, object],
) -> SealedTokens:
    """Return the stored tokens of an integration under exactly this config."""
    plain = json.dumps(to_plain(provider, config), sort_keys=True)
    return SealedTokens(
        database,
        keyring,
        token_binding(owner.org_id, owner.id, provider.name),
        name=owner.name,
        origin=origin(config),
        config=sha256(plain.encode()).hexdigest(),
    )


class PersistentTokenStore:
    """A probe's token store (`probes.auth.TokenStore`): the sealed tokens, accessed off the event loop.

    `call` runs a function on the database's thread. With `fresh`, the access token that the first
    load found is never returned, so that the check makes a new exchange.
    """

    def __init__(self, sealed: SealedTokens, call: Callable[..., Awaitable[Any]], *, fresh: bool) -> None:
        self._sealed = sealed
        self._call = call
        self._fresh = fresh
        self._found: Tokens | None = None
        self._stale: Secret | None = None

    async def load(self) -> Tokens | None:
        """Return the current tokens."""
        found: Tokens | None = await self._call(self._sealed.load)
        self._found = found
        if self._fresh:
            self._fresh = False
            self._stale = found.access_token if found else None
        if found is not None and self._stale is not None and found.access_token == self._stale:
            return replace(found, access_token=None, expires_at=None)
        return found

    async def reserve(self) -> bool:
        """Prepare a save. False if another database session keeps the integration's row locked."""
        is_free: bool
        is_free, placed = await self._call(self._sealed.reserve)
        self._found = placed or self._found
        return is_free

    async def save(self, tokens: Tokens) -> Tokens:
        """Replace the last loaded tokens with `tokens`, durably; return the tokens that are current afterwards."""
        self._found = await self._call(self._sealed.save, tokens, self._found)
        return self._found


class MemoryTokenStore:
    """A probe's token store in memory: its tokens last only as long as this object."""

    def __init__(self, found: Tokens | None = None) -> None:
        self.found = found

    async def load(self) -> Tokens | None:
        """Return the current tokens."""
        return self.found

    async def reserve(self) -> bool:
        """Memory is always ready."""
        return True

    async def save(self, tokens: Tokens) -> Tokens:
        """Keep `tokens` in memory."""
        self.found = tokens
        return tokens
