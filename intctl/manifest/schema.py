"""JSON Schema (draft 2020-12) of manifests, for editors: every file that loads fits it, except for the short forms.

A schema sees single values only. `intctl test -f` checks the rest: rules across fields, the values of variables and
files, the YAML notation (quotes, tags, repeated keys) and repeated names. `config` is optional, because `apply` then
keeps the stored one. The short forms !env and !file are not JSON.
"""

from __future__ import annotations

from collections.abc import Iterable

from intctl.manifest.loader import KEYS
from intctl.manifest.template import takes
from intctl.manifest.tree import MAX_ITEMS
from intctl.manifest.values import MAX_TEXT
from intctl.providers.base import TYPES, Field, Provider

Schema = dict[str, object]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE: Schema = {
    "description": "Where the value comes from: {env: NAME} or {file: PATH}",
    "type": "object",
    "oneOf": [
        {"properties": {"env": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,199}$"}}, "required": ["env"]},
        {"properties": {"file": {"type": "string", "minLength": 1}}, "required": ["file"]},
    ],
    "minProperties": 1,
    "maxProperties": 1,
}
#: No line breaks, and no whitespace at either end. A name must not look like an option either.
_TEXT = r"^\S([^\r\n]*\S)?$"
_NAME = r"^[^\s-]([^\r\n]*\S)?$"


def schema(providers: Iterable[Provider]) -> Schema:
    """Return the schema of a file with integrations of `providers`: one, or a list under `integrations`."""
    known = list(providers)
    one: Schema = {
        "type": "object",
        "required": ["name", "provider"],
        "properties": {"provider": {"enum": [provider.name for provider in known]}},
        "oneOf": [{"$ref": f"#/$defs/{provider.name}"} for provider in known],
    }
    several: Schema = {
        "type": "object",
        "required": ["integrations"],
        "properties": {
            "integrations": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_ITEMS,
                "items": {"$ref": "#/$defs/.integration"},
            }
        },
        "additionalProperties": False,
    }
    return {
        "$schema": _DIALECT,
        "title": f"{known[0].title} in intctl" if len(known) == 1 else "Integrations of intctl",
        "oneOf": [{"$ref": "#/$defs/.integration"}, {"$ref": "#/$defs/.list"}],
        "$defs": {
            ".integration": one,
            ".list": several,
            ".reference": _REFERENCE,
            **{provider.name: _integration(provider) for provider in known},
        },
    }


def _integration(provider: Provider) -> Schema:
    types = TYPES if provider.type == "custom" else (provider.type,)
    top = {key.name: _described(key, _plain(key)) for key in KEYS}
    top["name"] |= {"maxLength": 100, "pattern": _NAME}
    top["provider"] = {"description": f"{provider.title}. {provider.proof}", "const": provider.name}
    top["type"] |= {"enum": list(types)}
    config: Schema = {
        "description": f"Settings for {provider.title}",
        "type": "object",
        "required": [field.name for field in provider.fields if field.required],
        "properties": {field.name: _field(field) for field in provider.fields},
        "additionalProperties": False,
    }
    return {
        "title": provider.title,
        "type": "object",
        "required": ["name", "provider"],
        "properties": {**top, "config": config},
        "additionalProperties": False,
    }


def _field(field: Field) -> Schema:
    reference: Schema = {"$ref": "#/$defs/.reference"}
    if field.secret:
        return _described(field, reference)
    if field.kind == "json":
        return _described(field, _plain(field))
    return _described(field, {"anyOf": [_plain(field), reference]})


def _described(field: Field, found: Schema) -> Schema:
    what = takes(field)
    found = {"description": f"{field.help} ({what})" if what else field.help, **found}
    if field.default is not None:
        found["default"] = field.default
    if field.example and not field.secret and field.kind != "json":
        found["examples"] = [field.example]
    return found


def _plain(field: Field) -> Schema:
    """Return the schema of a field's literal value."""
    match field.kind:
        case "integer" | "port":
            limits = {"minimum": field.minimum, "maximum": field.maximum}
            return {"type": "integer", **{key: value for key, value in limits.items() if value is not None}}
        case "boolean":
            return {"type": "boolean"}
        case "choice":
            return {"enum": list(field.choices)}
        case "json":
            values: Schema = {"type": ["string", "number", "boolean", "null"]}
            names: Schema = {"pattern": "^/([^~]|~[01])*$", "maxLength": 1000}
            return {"type": "object", "minProperties": 1, "propertyNames": names, "additionalProperties": values}
        case "pem":
            return {"type": "string", "pattern": "-----BEGIN ([A-Z0-9]+ )*CERTIFICATE-----"}
    return {"type": "string", "maxLength": MAX_TEXT, "allOf": [{"pattern": one} for one in (_TEXT, *_patterns(field))]}


def _patterns(field: Field) -> list[str]:
    found = [f"^(?:{field.pattern})$"] if field.pattern else []
    match field.kind:
        case "host":
            # An IPv6 address has several colons. A single colon precedes a port, which is not allowed.
            found.append(r"^(?:[^/@\s:]+|\[?[^/@\s:]*:[^/@\s:]*:[^/@\s]*)$")
        case "url":
            schemes = "|".join(field.choices or ("https", "http"))
            found.append(rf"^(?:{schemes})://[^\s\\<>\"^`{{|}}#@/?]+(?:[/?][^\s\\<>\"^`{{|}}#]*)?$")
        case "email":
            found.append(r"^[^@\s]{1,64}@[^@\s]+$")
    return found
