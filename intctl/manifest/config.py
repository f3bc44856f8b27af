"""A validated config: presets, masks, the plaintext form that is sealed, and the values that an edit keeps."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.errors import SealError
from intctl.providers.base import Field, Provider
from intctl.text import MASK, Secret

_PLAIN_TYPES: dict[str, type] = {"integer": int, "port": int, "boolean": bool, "json": dict}


def filled(provider: Provider, config: Mapping[str, object]) -> dict[str, object]:
    """Return the config to store: with defaults and presets."""
    full = {field.name: field.default for field in provider.fields if field.default is not None}
    return provider.complete(full | dict(config))


def revised(provider: Provider, old: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """Return the stored config with `changes` (None removes a field) and with its presets computed again.

    For example, `port=465` changes the STARTTLS preset of port 587 to TLS. Values that a person chose stay.
    """
    new = {name: value for name, value in {**old, **changes}.items() if value is not None}
    after = dict(new)
    for field in provider.fields:
        name = field.name
        if field.secret or field.required or name not in old or name in changes:
            continue
        if filled(provider, _without(old, name)).get(name) != old[name]:
            continue
        again = filled(provider, _without(new, name)).get(name)
        if again is None:
            del after[name]
        else:
            after[name] = again
    return after


def _without(config: Mapping[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in config.items() if key != name}


def needs_secret_again(provider: Provider, old: Mapping[str, object], new: Mapping[str, object]) -> frozenset[str]:
    """Return the secrets of `old` that `new` would send to another destination: each must be entered again.

    Empty if no destination field differs.
    """
    if all(old.get(name) == new.get(name) for name in provider.destinations):
        return frozenset()
    return frozenset(name for name in provider.secrets if name in old and name in new)


def to_plain(provider: Provider, config: Mapping[str, object]) -> dict[str, object]:
    """Return the config as JSON values, secrets revealed: for sealing only."""
    names = (field.name for field in provider.fields if field.name in config)
    return {name: value.reveal() if isinstance(value := config[name], Secret) else value for name in names}


def from_plain(provider: Provider, plain: Mapping[str, object]) -> dict[str, object]:
    """Return the config that `to_plain` wrote, secrets wrapped.

    Raises SealError with the code `self.config_invalid` if it does not fit the provider's fields.
    """
    fields = {field.name: field for field in provider.fields}
    config: dict[str, object] = {}
    for name, value in plain.items():
        field = fields.get(name)
        if field is None or not _fits(field, value):
            raise _invalid(provider)
        config[name] = Secret(str(value)) if field.secret else value
    if any(field.required and field.name not in config for field in provider.fields):
        raise _invalid(provider)
    return config


def masked(provider: Provider, config: Mapping[str, object]) -> dict[str, object]:
    """Return the config for display: every secret is replaced with the mask."""
    secrets = provider.secrets
    return {name: MASK if name in secrets or isinstance(value, Secret) else value for name, value in config.items()}


def _fits(field: Field, value: object) -> bool:
    kind = _PLAIN_TYPES.get(field.kind, str)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _invalid(provider: Provider) -> SealError:
    return SealError(
        f"The stored config does not fit this version's fields of {provider.name}. "
        "Set it again with intctl edit NAME -f FILE.",
        "self.config_invalid",
    )
