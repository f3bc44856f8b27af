"""One manifest for each provider, as a user would write it, with the sandbox's addresses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from intctl.providers import catalogue
from intctl.providers.base import Field, Provider
from intctl.sandbox.box import Sandbox
from intctl.sandbox.derived import filled

#: The first line of each manifest. The command overwrites only files that start with it, so it must not change.
MARK = "# Made by intctl sandbox manifests: points at a sandbox that is up, whose environment holds the secrets."

#: Values that a provider needs besides its login and that its fields do not give, such as the URL of an API.
_CHOSEN: Mapping[str, Mapping[str, object]] = {
    "http": {"url": "https://api.example.com/v1/me", "auth": "bearer", "expect_json": {"/status": "active"}},
    "tcp": {"host": "sandbox.example.com", "port": 636, "security": "tls"},
    "ukg": {"product": "ready"},
}


def manifests(box: Sandbox, *, every_way: bool = False) -> dict[str, str]:
    """Return a manifest, as YAML text, for every provider of the catalogue that the sandbox serves.

    With `every_way` also one for each other way to log in, as PROVIDER-WAY. Secrets are references to
    the variables of `box.environ()`.
    """
    found = {}
    for name in catalogue.names():
        provider = catalogue.get(name)
        if provider is not None and name in box.providers:
            for way in box.ways(name) if every_way else ("",):
                found[f"{name}-{way}" if way else name] = _manifest(box, provider, way)
    return found


def together(texts: Iterable[str]) -> str:
    """Combine several manifests into one file."""
    lines = [MARK, "integrations:"]
    for text in texts:
        for number, line in enumerate(text.splitlines()[1:]):
            lines.append(f"  {'  ' if number else '- '}{line}")
    return "\n".join([*lines, ""])


def _manifest(box: Sandbox, provider: Provider, way: str) -> str:
    settings = {**_CHOSEN.get(provider.name, {}), **box.config(provider.name, way)}
    variables = box.references(provider.name, way)
    title = f"{provider.title} ({way})" if way else provider.title
    lines = [MARK, f"name: {json.dumps(title, ensure_ascii=False)}", f"provider: {provider.name}", "config:"]
    for field in provider.fields:
        if field.name in variables:
            lines.append(f"  {field.name}: {{env: {variables[field.name]}}}")
        elif (value := _value(field, settings)) is not None:
            lines.append(f"  {field.name}: {json.dumps(value, ensure_ascii=False)}")
    return "\n".join([*lines, "health_check_interval_minutes: 5", ""])


def _value(field: Field, settings: Mapping[str, object]) -> object:
    """The value of a field that is not secret, or None to omit it."""
    value = settings.get(field.name)
    if value is None and field.required and field.default is None:
        value = filled(field)
    return int(value) if isinstance(value, str) and field.kind in ("port", "integer") else value
