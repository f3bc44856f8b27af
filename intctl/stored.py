"""A stored config: sealed at rest, opened for a probe. The one place that knows both ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from intctl.errors import SealError
from intctl.keyring import Binding, Keyring
from intctl.manifest.config import from_plain, to_plain
from intctl.probes.ask import HttpProbe, SmtpProbe, TcpProbe
from intctl.providers import catalogue
from intctl.text import Secret

if TYPE_CHECKING:
    from intctl.probes.ask import Probe
    from intctl.probes.outcome import Outcome
    from intctl.providers.base import Provider


@dataclass(frozen=True, slots=True)
class Opened:
    """What a stored integration asks. `origin` is the refresh token that its config names."""

    provider: Provider
    config: Mapping[str, object] = field(repr=False)
    probe: Probe
    origin: Secret | None

    @property
    def host(self) -> str:
        """The host that is asked; empty where none is."""
        if isinstance(self.probe, SmtpProbe | TcpProbe):
            return self.probe.host
        if isinstance(self.probe, HttpProbe):
            url = self.probe.url or getattr(self.probe.auth, "token_url", "")
            return urlsplit(url).hostname or ""
        return ""


def binding(org_id: str, id: str, provider: str) -> Binding:
    """Where a config envelope belongs: a changed provider column must not redirect a secret."""
    return Binding(org_id, id, f"config:{provider}")


def token_binding(org_id: str, id: str, provider: str) -> Binding:
    """Where the envelopes of OAuth tokens belong."""
    return Binding(org_id, id, f"oauth:{provider}")


def seal(keyring: Keyring, org_id: str, id: str, provider: Provider, config: Mapping[str, object]) -> dict[str, Any]:
    """The envelope of a config."""
    return keyring.seal(to_plain(provider, config), binding(org_id, id, provider.name))


def origin(config: Mapping[str, object]) -> Secret | None:
    """The refresh token as the manifest gave it, where there is one."""
    value = config.get("refresh_token")
    return value if isinstance(value, Secret) else None


def open_config(keyring: Keyring, row: Mapping[str, Any], provider: Provider) -> dict[str, object]:
    """The config of a stored row, secrets wrapped. Raises SealError when it does not open or does not fit."""
    plain = keyring.open(row["config"], binding(row["org_id"], row["id"], row["provider"]), row["name"])
    return from_plain(provider, plain)


def opened(keyring: Keyring, row: Mapping[str, Any]) -> Opened | Outcome:
    """What to ask for a stored row; or, as an outcome of our own fault, why nothing can be asked."""
    from intctl.probes.outcome import Outcome

    provider = catalogue.get(row["provider"])
    if provider is None:
        return Outcome("self.provider_unknown", detail=f'"{row["provider"]}"')
    try:
        config = open_config(keyring, row, provider)
        return Opened(provider, config, provider.probe(config), origin(config))
    except SealError as error:
        return Outcome(error.code, detail=error.detail)
    except Exception as error:  # one broken provider must not end the pass for the others
        return Outcome("self.crash", detail=type(error).__name__)
