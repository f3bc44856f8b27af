"""Vendors' own API descriptions: found in a folder by the host that they name, and read for the requested path.

OpenAPI 3 is read unchanged, Swagger 2 as the OpenAPI with the same requests. Answers are ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
#: Some vendors' whole API is one file; larger files are not read, in bytes.
TOO_LONG = 40_000_000
#: Parameters that a description requires and the API does not, by vendor's host: a token besides Authorization.
ODD_PARAMETERS = {("slack.com", "token")}


@dataclass(frozen=True)
class Asked:
    """One request as it would be sent to the vendor: with the vendor's scheme, host and path."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.url).path


@dataclass(frozen=True)
class Description:
    """One file: its document, and the servers that it names."""

    file: Path
    document: dict[str, Any]

    def servers(self, path: str = "") -> list[str]:
        """The servers of the whole file, or of one path and its operations, which come first."""
        item = self.document["paths"].get(path, {})
        own = [entry for method in METHODS for entry in item.get(method, {}).get("servers", [])]
        found = own or item.get("servers", []) or self.document.get("servers", [])
        return [str(entry["url"]).rstrip("/") for entry in found]

    def names(self, host: str) -> bool:
        """Whether the description names a server with this host."""
        paths = ["", *self.document["paths"]]
        return any(_fits(urlsplit(server).netloc, host) for path in paths for server in self.servers(path))

    def paths(self, url: str) -> dict[str, Any]:
        """The paths that the URL may be, in the file's spelling."""
        plain = url.partition("?")[0]
        return {
            path: item
            for path, item in self.document["paths"].items()
            if any(_fits(server + path, plain) for server in self.servers(path))
        }

    def complaint(self, asked: Asked) -> str:
        """Return the validator's complaint about the request, or ""."""
        paths = self.paths(asked.url)
        if not paths:
            return "PathNotFound"
        parts = urlsplit(asked.url)
        request = MockRequest(
            f"{parts.scheme}://{parts.netloc}",
            asked.method.lower(),
            parts.path,
            args=dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair),
            headers=dict(asked.headers),
            data=asked.body,
            content_type=asked.headers.get("content-type", "application/json"),
        )
        try:
            _reader(self.file, tuple(paths)).validate_request(request)
        except OpenAPIError as error:
            return f"{type(error).__name__}: {error.__cause__ or error}"
        return ""

    def guards(self, asked: Asked) -> bool:
        """Whether the operation requires a credential."""
        (operation,) = [item.get(asked.method.lower(), {}) for item in self.paths(asked.url).values()][:1] or [{}]
        security = operation.get("security", self.document.get("security", []))
        wanted = [one for one in operation.get("parameters", []) if one.get("required") and one.get("in") == "header"]
        return bool(wanted) or bool(security and {} not in security)


def found_in(folder: Path, hosts: frozenset[str]) -> list[Description]:
    """Return the valid descriptions in `folder` that name one of these hosts."""
    files = (path for path in sorted(folder.rglob("*")) if path.suffix in (".json", ".yaml", ".yml"))
    return [one for one in map(_read, files) if one is not None and any(map(one.names, hosts))]


def _fits(template: str, text: str) -> bool:
    """Whether the text matches a template with {variables}."""
    return re.fullmatch(re.sub(r"\\\{[^{}]*\\\}", "[^/]+", re.escape(template)), text) is not None


@cache
def _read(path: Path) -> Description | None:
    if path.stat().st_size > TOO_LONG:
        return None
    text = path.read_text("utf-8", "replace")
    try:
        found = json.loads(text) if path.suffix == ".json" else yaml.load(text, yaml.CSafeLoader)
    except (ValueError, yaml.YAMLError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("paths"), dict):
        return None
    return Description(path, _from_swagger(found) if "swagger" in found else _cleared(found))


@cache
def _reader(file: Path, paths: tuple[str, ...]) -> OpenAPI:
    """Return the validator for these paths of the file: the whole file would take seconds."""
    one = _read(file)
    assert one is not None
    document = {**one.document, "paths": {path: one.document["paths"][path] for path in paths}}
    return OpenAPI.from_dict(document, config=Config(spec_validator_cls=None))


# --- the requests in a description


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        yield from (item[method] for method in METHODS if method in item)


def _cleared(document: dict[str, Any]) -> dict[str, Any]:
    """Security that the validator can check: tokens of OAuth are bearer tokens (RFC 6750)."""
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    for name, scheme in schemes.items():
        if scheme.get("type") in ("oauth2", "openIdConnect"):
            schemes[name] = {"type": "http", "scheme": "bearer"}
    for part in (document, *_operations(document)):
        if "security" in part:  # some name schemes that the file does not have
            part["security"] = [one for one in part["security"] if set(one) <= set(schemes)]
    return document


def _from_swagger(old: dict[str, Any]) -> dict[str, Any]:
    """Convert the requests of Swagger 2 to OpenAPI 3."""
    scheme = (old.get("schemes") or ["https"])[0]
    shared = old.get("parameters", {})
    made: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": {"title": old["info"]["title"], "version": "1"},
        "servers": [{"url": f"{scheme}://{old.get('host', 'localhost')}{old.get('basePath', '')}".rstrip("/")}],
        "paths": {},
        "components": {"securitySchemes": {}, "schemas": old.get("definitions", {})},
        **({"security": old["security"]} if "security" in old else {}),
    }
    for name, scheme_ in old.get("securityDefinitions", {}).items():
        kind = scheme_["type"]
        made["components"]["securitySchemes"][name] = {"type": "http", "scheme": kind} if kind == "basic" else scheme_
    for path, item in old["paths"].items():
        common = item.get("parameters", [])
        made["paths"][path] = {
            method: _operation(item[method], [*common, *item[method].get("parameters", [])], shared, old)
            for method in METHODS
            if method in item
        }
    return _cleared(json.loads(json.dumps(made).replace("#/definitions/", "#/components/schemas/")))


def _operation(
    old: Mapping[str, Any], parameters: list[dict[str, Any]], shared: Mapping[str, Any], document: Mapping[str, Any]
) -> dict[str, Any]:
    stated = [shared[one["$ref"].rpartition("/")[2]] if "$ref" in one else one for one in parameters]
    kept = [one for one in stated if (document.get("host"), one["name"]) not in ODD_PARAMETERS]
    made: dict[str, Any] = {"responses": {"200": {"description": ""}}, "parameters": []}
    for one in kept:
        if one["in"] in ("path", "query", "header"):
            schema = {
                key: one[key]
                for key in ("type", "format", "enum", "items", "pattern", "minimum", "maximum")
                if key in one
            }
            made["parameters"].append(
                {"name": one["name"], "in": one["in"], "required": one.get("required", False), "schema": schema}
            )
    body = [one for one in kept if one["in"] == "body"]
    form = [one for one in kept if one["in"] == "formData"]
    if body:
        kinds = old.get("consumes") or document.get("consumes") or ["application/json"]
        made["requestBody"] = {
            "required": body[0].get("required", False),
            "content": {kind: {"schema": body[0]["schema"]} for kind in kinds},
        }
    elif form:
        schema = {
            "type": "object",
            "required": [one["name"] for one in form if one.get("required")],
            "properties": {one["name"]: {"type": one.get("type", "string")} for one in form},
        }
        if not schema["required"]:
            del schema["required"]
        made["requestBody"] = {"content": {"application/x-www-form-urlencoded": {"schema": schema}}}
    return made | ({"security": old["security"]} if "security" in old else {})
