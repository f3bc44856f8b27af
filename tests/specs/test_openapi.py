"""What the providers send is what the vendors' own OpenAPI files ask for, by the word of a validator library.

The requests are those that really left: probes over the real transport, to a recording server on loopback.
The files are the vendors', so they are not in this repository: INTCTL_SPECS names a folder that has them (else
`../shared/specs` beside the checkout). What is not there is skipped, and says so. SOURCES.md says where they are from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest

from intctl.providers import catalogue
from intctl.text import Secret
from tests import servers
from tests.probes import check

FOLDER = Path(os.environ.get("INTCTL_SPECS") or Path(__file__).parents[3] / "shared" / "specs")

Config = dict[str, object]

#: Provider: its vendor's file, the server that the file names, and a config that makes it ask over HTTP.
CASES: dict[str, tuple[str, str, Config]] = {
    "sendgrid": ("sendgrid-scopes-v3.json", "https://api.sendgrid.com", {"api_key": Secret("SG.key")}),
    "resend": ("resend.yaml", "https://api.resend.com", {"api_key": Secret("re_key")}),
    "vonage": (
        "vonage-account.yaml", "https://api.nexmo.com", {"api_key": "abcd1234", "api_secret": Secret("vonage-secret")}
    ),
    "xero": ("xero-identity.yaml", "https://api.xero.com", {
        "client_id": "client", "client_secret": Secret("client-secret"), "refresh_token": Secret("refresh-token"),
    }),
}
#: Paths that a vendor spells otherwise in its file than everywhere else (see SOURCES.md).
SPELLED = {"/connections": "/Connections"}

HERE = [name for name in CASES if catalogue.get(name) is not None]


class Kept:
    """A token store that keeps nothing: each probe refreshes."""

    async def load(self) -> None:
        return None

    async def save(self, tokens: Any) -> Any:
        return tokens


@cache
def description(file: str) -> OpenAPI:
    """The vendor's file."""
    path = FOLDER / file
    if not path.is_file():
        pytest.skip(f"the vendor's description {file} is not in {FOLDER}")
    text = path.read_text("utf-8")
    found = json.loads(text) if file.endswith(".json") else yaml.load(text, yaml.CSafeLoader)
    schemes = found["components"]["securitySchemes"]
    for name, scheme in schemes.items():
        if scheme["type"] == "oauth2":  # the validator knows no oauth2; its tokens are bearer tokens (RFC 6750)
            schemes[name] = {"type": "http", "scheme": "bearer"}
    return OpenAPI.from_dict(found)


def sent(name: str, config: Config) -> list[servers.Request]:
    """The requests that the provider's probe sends, token exchanges apart."""
    token = servers.Answer(200, {"access_token": "access-token", "expires_in": 1800, "refresh_token": "next"})
    with servers.authority() as ca, servers.http_server({"/connect/token": token}, ca) as server:
        provider = catalogue.get(name)
        assert provider is not None
        full = {**config, "base_url": server.url, "ca_file": ca.file}
        assert provider.check(full) == []
        check(provider.probe(provider.complete(full)), tokens=Kept())
        return [request for request in server.requests if request.path not in server.routes]


def complaint(name: str, request: servers.Request, **changed: Any) -> str:
    """What the validator says of the request, or ""."""
    file, host, _ = CASES[name]
    path, _, query = request.target.partition("?")
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    parts: dict[str, Any] = {
        "method": request.method.lower(),
        "path": SPELLED.get(path, path),
        "args": {key: value for key, _, value in pairs},
        "headers": request.headers,
    }
    parts |= changed
    made = MockRequest(
        host, parts["method"], parts["path"], args=parts["args"], headers=parts["headers"], data=request.body,
        content_type=request.headers.get("content-type", "application/json"),
    )
    try:
        description(file).validate_request(made)
    except OpenAPIError as error:
        return type(error).__name__
    return ""


@pytest.mark.parametrize("name", HERE)
def test_requests_conform_to_the_vendors_description(name: str) -> None:
    """Path, method, parameters, security and body of every request are what the vendor's file asks for."""
    requests = sent(name, CASES[name][2])
    assert requests
    assert [(request.target, complaint(name, request)) for request in requests if complaint(name, request)] == []


@pytest.mark.parametrize("name", HERE)
def test_validator_bites(name: str) -> None:
    """The same request with another path, another method or without its credential is not taken."""
    [request] = sent(name, CASES[name][2])
    bare: Mapping[str, str] = {key: text for key, text in request.headers.items() if key != "authorization"}
    assert complaint(name, request, path="/nowhere")
    assert complaint(name, request, method="patch")
    assert complaint(name, request, headers=bare)


def test_every_vendor_with_a_description_is_in_the_catalogue() -> None:
    """SendGrid, Resend, Vonage and Xero are there, so that none of their files is left unread."""
    assert list(CASES) == HERE
