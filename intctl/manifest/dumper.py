"""Write a validated integration as manifest text that loads back to the same integration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from intctl.manifest.tree import reads_as
from intctl.providers.base import Field, Provider
from intctl.text import MASK

_PLAIN = re.compile(r"[A-Za-z]([A-Za-z0-9 ._@/+-]*[A-Za-z0-9._@/+-])?")
_HEAD = {
    "keep": "# !keep leaves a secret unchanged. To replace one: {env: NAME} or {file: PATH}.\n",
    "mask": "# Secrets are masked: to load this file, replace them with {env: NAME} or {file: PATH}.\n",
}


def dump(
    provider: Provider,
    config: Mapping[str, object],
    *,
    name: str,
    type_: str | None = None,
    enabled: bool | None = None,
    interval: int | None = None,
    secrets: Literal["keep", "mask"] = "mask",
) -> str:
    """Return the manifest of one integration, with secrets as `!keep` (for an editor) or masked (for display)."""
    lines = [f"name: {_scalar(name)}", f"provider: {provider.name}"]
    if type_ is not None and type_ != provider.type:
        lines.append(f"type: {type_}")
    if enabled is not None:
        lines.append(f"enabled: {_scalar(enabled)}")
    lines.append("config:")
    for field in provider.fields:
        if field.name in config:
            lines += _field(field, config[field.name], "!keep" if secrets == "keep" else json.dumps(MASK))
    if interval is not None:
        lines.append(f"health_check_interval_minutes: {interval}")
    has_secrets = any(field.secret and field.name in config for field in provider.fields)
    return (_HEAD[secrets] if has_secrets else "") + "\n".join(lines) + "\n"


def _field(field: Field, value: object, hidden: str) -> list[str]:
    if field.secret:
        return [f"  {field.name}: {hidden}"]
    if isinstance(value, dict):
        return [f"  {field.name}:", *(f"    {_scalar(key)}: {_scalar(one)}" for key, one in value.items())]
    if field.kind == "pem":
        return [f"  {field.name}: |", *(f"    {line}" for line in str(value).splitlines())]
    return [f"  {field.name}: {_scalar(value)}"]


def _scalar(value: object) -> str:
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and reads_as(value) == "str":
        return value
    return json.dumps(value, ensure_ascii=False)
