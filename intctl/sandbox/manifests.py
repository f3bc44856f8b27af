"""One manifest for each provider, pointing at a sandbox: what a user would write, with the sandbox's addresses."""

from __future__ import annotations

import json
from collections.abc import Mapping

from intctl.providers import catalogue
from intctl.providers.base import Field, Provider
from intctl.sandbox.box import Sandbox

#: The first line of each manifest.
MARK = "# Made by intctl sandbox manifests: points at a sandbox that is up, whose environment holds the secrets."

#: What a provider needs besides its login when no field says it, such as the URL of an API of one's own.
_CHOSEN: Mapping[str, Mapping[str, object]] = {
    "http": {"url": "https://api.example.com/v1/me", "auth": "bearer", "expect_json": {"/status": "active"}},
    "tcp": {"host": "sandbox.example.com", "port": 636, "security": "tls"},
    "ukg": {"product": "ready"},
}


def manifests(box: Sandbox) -> dict[str, str]:
    """A manifest, as YAML text, for every provider of the catalogue that the sandbox serves.

    Secrets are references to the variables of `box.environ()`.
    """
    served = {*box.accounts, *box.logins}
    providers = [catalogue.get(name) for name in catalogue.names() if name in served]
    return {provider.name: _manifest(box, provider) for provider in providers if provider is not None}


def _manifest(box: Sandbox, provider: Provider) -> str:
    settings = dict(setting.split("=", 1) for setting in box.settings(provider.name))
    variables = box.references(provider.name)
    lines = [
        MARK,
        f"name: {json.dumps(provider.title, ensure_ascii=False)}",
        f"provider: {provider.name}",
        "config:",
    ]
    for field in provider.fields:
        if field.name in variables:
            lines.append(f"  {field.name}: {{env: {variables[field.name]}}}")
        else:
            value = _value(provider, field, settings)
            if value is not None:
                lines.append(f"  {field.name}: {json.dumps(value, ensure_ascii=False)}")
    return "\n".join([*lines, "health_check_interval_minutes: 5", ""])


def _value(provider: Provider, field: Field, settings: Mapping[str, str]) -> object:
    """What a field that is not secret holds, or None to leave it out."""
    chosen = _CHOSEN.get(provider.name, {}).get(field.name)
    if chosen is not None:
        return chosen
    text = settings.get(field.name)
    if text is None and field.required and field.default is None:
        text = field.choices[0] if field.kind == "choice" else field.example or "sandbox"
    if text is None:
        return None
    return int(text) if field.kind in ("port", "integer") else text
