"""A manifest to fill in: every field of a provider with its help, required fields first."""

from __future__ import annotations

import json
import re

from intctl.providers.base import TYPES, Field, Provider

#: The default of the database, which applies if the file does not set the interval.
_INTERVAL = 15
_KINDS = {
    "integer": "a whole number", "port": "a port", "boolean": "true or false", "host": "a host name or IP address",
    "url": "a URL", "email": "a mail address", "pem": "PEM text", "path": "the path of a file",
    "json": "JSON pointers with values",
}  # fmt: skip


def template(provider: Provider) -> str:
    """Return a commented manifest of `provider`: a `#` directly before a key marks it as optional."""
    name = provider.name
    lines = [
        f"# yaml-language-server: $schema={name}.schema.json",
        f"#   (for editors that check YAML; create it with: intctl providers schema {name} > {name}.schema.json)",
        f"# {provider.title}. Proven by: {_line(provider.proof)}.",
        f"#   intctl add {name} -f {name}.yaml",
        f"name: {json.dumps(provider.title, ensure_ascii=False)}  # any name",
        f"provider: {name}",
    ]
    if provider.type == "custom":
        lines.append(f"#type: custom  # or another type: {', '.join(TYPES)}")
    lines.append("config:")
    for field in provider.fields:
        if field.required:
            lines += _entry(provider, field)
    some = any(field.required for field in provider.fields)
    lines.append(f'  # {"Optional" if some else "Set what applies"}: remove the "#" before the key.')
    for field in provider.fields:
        if not field.required:
            lines += _entry(provider, field)
    lines += [f"#health_check_interval_minutes: {_INTERVAL}  # from 1 to 60", "#enabled: true"]
    return "\n".join(lines) + "\n"


def variable(provider: Provider, field: Field) -> str:
    """Return the name of the environment variable for a secret in a template: PROVIDER_FIELD."""
    return re.sub(r"[^A-Z0-9]", "_", f"{provider.name}_{field.name}".upper())


def takes(field: Field) -> str:
    """Describe the values that a field accepts; "" for any text."""
    if field.choices and field.kind == "choice":
        return f"one of {', '.join(field.choices)}"
    found = _KINDS.get(field.kind, "")
    if field.kind == "url" and field.choices:
        found += f" that begins with {' or '.join(f'{scheme}://' for scheme in field.choices)}"
    low, high = field.minimum, field.maximum
    if low is not None and high is not None:
        return f"{found} from {low} to {high}"
    return f"{found} of at least {low}" if low is not None else found


def _entry(provider: Provider, field: Field) -> list[str]:
    note = _line(field.help)
    if what := takes(field):
        note += f" ({what})"
    if field.example and field.kind != "json":
        note += f". For example: {_line(field.example)}"
    value = _value(provider, field)
    mark = "" if field.required else "#"
    return [f"  # {note}", f"  {mark}{field.name}:{value and ' '}{value}"]


def _value(provider: Provider, field: Field) -> str:
    """Return the text after the key: a default, a reference, or "", which is refused until it is filled in."""
    if field.secret or field.kind == "pem":
        return f"{{env: {variable(provider, field)}}}"
    if field.default is not None:
        return json.dumps(field.default, ensure_ascii=False)
    return '{"/status": "ok"}' if field.kind == "json" else ""


def _line(text: str) -> str:
    return " ".join(text.split())
