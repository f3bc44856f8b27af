"""The differences between manifests and the store."""

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
    """The change that one manifest describes. `changed` names the fields that differ, never their values."""

    action: Action
    manifest: Manifest
    id: str
    name: str
    stored: SealedConfig | None = None
    changed: tuple[str, ...] = ()
    outcome: Outcome | None = None
    drafted: bool = False  # an inactive row exists already, and can keep a token that the test rotates
    passing: MemoryTokenStore | None = None  # the tokens that the test got for an integration without a row

    @property
    def provider(self) -> Provider:
        """The manifest's provider."""
        return self.manifest.provider

    @property
    def wants_test(self) -> bool:
        """Whether a changed field can only be proven by an exchange with the provider."""
        return self.action == "create" or "config" in {name.partition(".")[0] for name in self.changed}

    @property
    def spends(self) -> bool:
        """Whether the test of this change spends a refresh token."""
        return self.wants_test and vault.refreshes(self.provider.probe(self.manifest.config))


def diff(database: Database, keyring: Keyring, org_id: str, manifests: Sequence[Manifest]) -> list[Change]:
    """Compare each manifest with the integration of its name. Raises ConflictError if the provider differs.

    The draft of an unfinished creation is created now: it is not an integration yet.
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
    """A change that creates an integration. Raises ManifestError if the file has no config."""
    assert manifest.name is not None
    if not manifest.has_config:
        message = f'config is missing: there is no integration "{manifest.name}" yet whose config could be kept'
        raise ManifestError([Problem(manifest.file, manifest.line, 1, message)])
    return Change("create", manifest, new_id(), manifest.name)


def compare(keyring: Keyring, manifest: Manifest, stored: SealedConfig, *, replace_lost: bool = False) -> Change:
    """The change from a stored integration to its manifest. An absent key keeps its stored value.

    Raises SealError if the keyring lacks the key of the stored config, unless `replace_lost`: a machine that has that
    key could not open a config sealed by this keyring.
    """
    name = manifest.name or stored.name
    if manifest.provider.name != stored.provider:
        raise ConflictError(
            f'"{stored.name}" is {stored.provider}, and the file says {manifest.provider.name}: '
            "a provider can't be changed. Delete the integration first, or use another name."
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
        return sorted(wanted)  # a config that does not open is replaced as a whole
    missing = object()
    return sorted(key for key in wanted.keys() | kept.keys() if wanted.get(key, missing) != kept.get(key, missing))
