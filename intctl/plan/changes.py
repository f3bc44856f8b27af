"""What manifests ask for, compared with what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from intctl import vault
from intctl.db.connect import Database
from intctl.db.ids import new_id
from intctl.errors import ConflictError, ManifestError, Problem, SealError
from intctl.health.outcome import Outcome
from intctl.health.status import is_enabled
from intctl.keyring import Keyring
from intctl.manifest import Manifest, to_plain
from intctl.providers.base import Provider
from intctl.store import configs
from intctl.store.configs import SealedConfig
from intctl.text import fold
from intctl.vault import MemoryTokenStore

Action = Literal["create", "update", "unchanged"]


@dataclass(slots=True)
class Change:
    """What one manifest asks for. `changed` names the fields that differ, never their values."""

    action: Action
    manifest: Manifest
    id: str
    name: str
    stored: SealedConfig | None = None
    changed: tuple[str, ...] = ()
    outcome: Outcome | None = None
    drafted: bool = False  # an inactive row stands for it already: what the test rotates has a place
    passing: MemoryTokenStore | None = None  # what the test got for an integration that has no row yet

    @property
    def provider(self) -> Provider:
        """The manifest's provider."""
        return self.manifest.provider

    @property
    def wants_test(self) -> bool:
        """Whether something changed that only an exchange with the provider can prove."""
        return self.action == "create" or "config" in {name.partition(".")[0] for name in self.changed}

    @property
    def spends(self) -> bool:
        """Whether its test spends a refresh token."""
        return self.wants_test and vault.refreshes(self.provider.probe(self.manifest.config))


def diff(database: Database, keyring: Keyring, org_id: str, manifests: Sequence[Manifest]) -> list[Change]:
    """Each manifest against what is stored under its name. Raises ConflictError for another provider's name.

    The draft that an unfinished creation left is finished: it is no integration yet.
    """
    living = {fold(one.name): one for one in configs.sealed(database, org_id)}
    changes = []
    for manifest in manifests:
        assert manifest.name is not None
        stored = living.get(fold(manifest.name))
        changes.append(compare(keyring, manifest, stored) if stored else creation(manifest))
        if stored and stored.config_version == 0 and not is_enabled(stored.status):
            changes[-1] = replace(creation(manifest), id=stored.id, drafted=True)
    return changes


def creation(manifest: Manifest) -> Change:
    """A change that makes a new integration. Raises ManifestError where the file gives no config."""
    assert manifest.name is not None
    if not manifest.has_config:
        message = f'config is missing: there is no integration "{manifest.name}" yet that could keep its own'
        raise ManifestError([Problem(manifest.file, manifest.line, 1, message)])
    return Change("create", manifest, new_id(), manifest.name)


def compare(keyring: Keyring, manifest: Manifest, stored: SealedConfig, *, replace_lost: bool = False) -> Change:
    """The change that makes a stored integration what the manifest says. An absent key keeps its stored value.

    Raises SealError where the keyring lacks the key of the stored config, unless `replace_lost`: a machine that has
    that key could no longer open what this keyring would seal.
    """
    name = manifest.name or stored.name
    if manifest.provider.name != stored.provider:
        raise ConflictError(
            f'"{stored.name}" is {stored.provider}, and the file says {manifest.provider.name}: '
            "a provider can't be changed. Delete it first, or use another name."
        )
    changed = [f"config.{key}" for key in _config_differences(keyring, manifest, stored, replace_lost)]
    if name != stored.name:
        changed.append("name")
    if manifest.type is not None and manifest.type != stored.type:
        changed.append("type")
    if manifest.interval is not None and manifest.interval != stored.health_check_interval_minutes:
        changed.append("health_check_interval_minutes")
    if manifest.enabled is not None and manifest.enabled != is_enabled(stored.status):
        changed.append("enabled")
    action: Action = "update" if changed else "unchanged"
    return Change(action, manifest, stored.id, name, stored, tuple(changed))


def _config_differences(keyring: Keyring, manifest: Manifest, stored: SealedConfig, replace_lost: bool) -> list[str]:
    if not manifest.has_config:
        return []
    wanted = to_plain(manifest.provider, manifest.config)
    try:
        kept = vault.open_plain(keyring, stored)
    except SealError as error:
        if error.code == "self.key_missing" and not replace_lost:
            raise
        return sorted(wanted)  # what does not open is replaced whole
    missing = object()
    return sorted(key for key in wanted.keys() | kept.keys() if wanted.get(key, missing) != kept.get(key, missing))
