"""The providers' requests conform to the vendors' own OpenAPI files, checked by a validator library.

The requests are real ones: every provider, in every way to log in, probes the sandbox, and the test moves each request
back to the vendor's address. Files are read from the folder in INTCTL_SPECS (default: `shared/specs` next to the
checkout), with any name: a file belongs to the providers that contact a host which it names as a server. They are the
vendors', so they are not in this repository; SOURCES.md lists some.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from intctl.manifest import Manifest
from intctl.probes.spec import HttpProbe, NoProbe, TcpProbe, TokenGrant
from intctl.providers import catalogue
from intctl.sandbox import Sandbox
from tests.sandbox.test_contract import UNPROVEN, asks, items
from tests.sandbox.test_contract import asked as probed
from tests.specs.descriptions import Asked, Description, found_in

FOLDER = Path(os.environ.get("INTCTL_SPECS") or Path(__file__).parents[3] / "shared" / "specs")

#: Vendors with several files for one host, and a part of the name of the relevant one. Other files of the vendor are
#: not conclusive; without a row here, a file for the host must have the path.
AMONG_SEVERAL = {
    "sendgrid": "*scopes*", "xero": "*identity*", "personio": "*auth*", "postmark": "*server*", "hubspot": "*account*",
    "google": "*calendar*", "salesforce": "*oauth*", "zoom": "*", "microsoft": "*", "vonage": "*account*",
}  # fmt: skip
SILENT = "no file describes"


Sent = dict[str, list[tuple[Asked, bool]]]


def vendor_urls(item: Manifest) -> tuple[list[str], str]:
    """The provider's default URLs: the API's, and the token endpoint."""
    config = {name: value for name, value in item.config.items() if name not in ("base_url", "token_url")}
    if item.provider.name == "certn":  # each customer has its own token endpoint
        config["token_url"] = item.config["token_url"]
    found = item.provider.probe(config)
    if isinstance(found, NoProbe | TcpProbe):
        return [], ""
    token = found.auth.token_url if isinstance(found.auth, TokenGrant) else ""
    return [found.url] if isinstance(found, HttpProbe) and found.url else [], token


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    """The requests of every provider at the vendor's address, and whether each was for a token."""
    found: Sent = defaultdict(list)
    with Sandbox(tmp_path_factory.mktemp("specs")) as box:
        for way, item in items(box).items():
            before = len(box.requests)
            [outcome] = probed(asks({way: item})).values()
            assert outcome.code == "ok", way
            urls, token = vendor_urls(item)
            for _, request in box.requests[before:]:
                is_token = bool(token) and urlsplit(token).path == request.path
                home = urlsplit(token if is_token else (urls or [token])[0])
                query = f"?{request.query}" if request.query else ""
                url = f"{home.scheme}://{home.netloc}{request.path}{query}"
                found[item.provider.name].append((Asked(request.method, url, request.headers, request.body), is_token))
    return found


def descriptions(folder: Path, sent: Sent) -> tuple[Description, ...]:
    """The files of every vendor that gets requests."""
    hosts = {urlsplit(request.url).netloc for requests in sent.values() for request, _ in requests}
    return tuple(found_in(folder, frozenset(hosts))) if folder.is_dir() else ()


@pytest.fixture(scope="module")
def known(sent: Sent) -> tuple[Description, ...]:
    """The descriptions found."""
    return descriptions(FOLDER, sent)


def verdict(name: str, request: Asked, is_token: bool, known: tuple[Description, ...]) -> str:
    """Return "" for a request that conforms, else why not; SILENT if no file describes it."""
    host = urlsplit(request.url).netloc
    of_host = [one for one in known if one.names(host)]
    telling = [one for one in of_host if one.paths(request.url)]
    if not telling:
        pattern = AMONG_SEVERAL.get(name, "*")
        strict = any(fnmatch(one.file.stem.lower(), pattern) for one in of_host) and not is_token
        return f"{request.path} is in none of {[one.file.name for one in of_host]}" if strict else SILENT
    complaints = [one.complaint(request) for one in telling]
    return "" if "" in complaints else complaints[0]


def told(sent: Sent, known: tuple[Description, ...]) -> Sent:
    """The requests that a description covers, by provider."""
    found = {name: [one for one in requests if verdict(name, *one, known) != SILENT] for name, requests in sent.items()}
    return {name: requests for name, requests in found.items() if requests}


described = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"there are no vendors' descriptions in {FOLDER}")


@described
def test_requests_conform_to_the_vendors_descriptions(sent: Sent, known: tuple[Description, ...]) -> None:
    """Path, method, parameters, security and body of every request conform to the vendor's file."""
    found = {
        f"{name}: {request.method} {request.url}": verdict(name, request, is_token, known)
        for name, requests in told(sent, known).items()
        for request, is_token in requests
    }
    assert found
    assert {what: why for what, why in found.items() if why} == {}


@described
def test_validator_bites(sent: Sent, known: tuple[Description, ...]) -> None:
    """The same requests at another path, by another method or without their credential are refused."""
    for name, requests in told(sent, known).items():
        for request, token in requests:
            lost = replace(request, url=request.url.replace(request.path, f"/nowhere{request.path}"))
            assert verdict(name, lost, token, known)
            assert verdict(name, replace(request, method="PATCH"), token, known)
            bare = replace(request, headers={"accept": request.headers["accept"]})
            guarded = [one for one in known if one.paths(request.url) and one.guards(request)]
            assert all(one.complaint(bare) for one in guarded)


@described
def test_descriptions_are_found_by_their_hosts(sent: Sent, known: tuple[Description, ...]) -> None:
    """The known files are used, each for its provider."""
    there = {one.file.name for one in known}
    held = {
        "sendgrid": "sendgrid-scopes-v3.json",
        "resend": "resend.yaml",
        "vonage": "vonage-account.yaml",
        "xero": "xero-identity.yaml",
    }
    assert {name for name, file in held.items() if file in there} <= set(told(sent, known))
    assert {file for file in held.values() if (FOLDER / file).is_file()} <= there


# --- own descriptions, so that the reader is tested without a vendor's files

POSTMARK = {
    "swagger": "2.0", "info": {"title": "x", "version": "1"}, "host": "api.postmarkapp.com", "schemes": ["https"],
    "paths": {"/deliverystats": {"get": {
        "responses": {"200": {"description": ""}},
        "parameters": [{"$ref": "#/parameters/token"}],
    }}},
    "parameters": {"token": {"name": "X-Postmark-Server-Token", "in": "header", "required": True, "type": "string"}},
}  # fmt: skip
PERSONIO = {
    "openapi": "3.0.0", "info": {"title": "x", "version": "1"}, "servers": [{"url": "https://api.personio.de/v1"}],
    "paths": {"/auth": {"post": {
        "responses": {"200": {"description": ""}},
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": {
            "type": "object", "required": ["client_id", "client_secret"],
            "properties": {"client_id": {"type": "string"}, "client_secret": {"type": "string"}},
        }}}},
    }}},
}  # fmt: skip
BAMBOOHR = {
    "openapi": "3.0.0", "info": {"title": "x", "version": "1"},
    "servers": [{"url": "https://{company}.bamboohr.com", "variables": {"company": {"default": "x"}}}],
    "paths": {"/api/v1/company_information": {"get": {
        "responses": {"200": {"description": ""}}, "security": [{"oauth": []}, {"basic": []}, {"gone": []}],
    }}},
    "components": {"securitySchemes": {
        "basic": {"type": "http", "scheme": "basic"}, "oauth": {"type": "oauth2", "flows": {}},
    }},
}  # fmt: skip


@pytest.fixture
def made(tmp_path: Path, sent: Sent) -> Iterator[tuple[Description, ...]]:
    for name, document in {"postmark-server": POSTMARK, "personio-auth": PERSONIO, "bamboohr": BAMBOOHR}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    (tmp_path / "notes.json").write_text('{"paths": 1}')
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "SOURCES.md").write_text("# not a description")
    yield descriptions(tmp_path, sent)


@pytest.mark.parametrize(
    ("name", "path"),
    [("postmark", "/deliverystats"), ("personio", "/v1/auth"), ("bamboohr", "/api/v1/company_information")],
)
def test_a_description_of_any_kind_is_read(made: tuple[Description, ...], sent: Sent, name: str, path: str) -> None:
    """Swagger 2, server templates, forms and OAuth: a valid request passes, a wrong one is refused for its reason."""
    assert len(made) == 3
    [request] = [one for one, _ in sent[name] if one.path == path]
    assert verdict(name, request, False, made) == ""
    assert "OperationNotFound" in verdict(name, replace(request, method="PUT"), False, made)
    bare = replace(request, headers={}, body=b"")
    assert verdict(name, bare, False, made).partition(":")[0] in {
        "SecurityValidationError",
        "MissingRequiredParameter",
        "ParameterValidationError",
        "MissingRequiredRequestBody",
        "RequestBodyValidationError",
        "MediaTypeNotFound",
    }
    lost = replace(request, url=request.url.replace(path, f"{path}s"))
    assert verdict(name, lost, False, made).endswith("']")


def test_nobody_escapes_by_silence(sent: Sent) -> None:
    """Every provider with an HTTP probe sent a request."""
    assert set(catalogue.names()) - set(sent) - UNPROVEN == {"smtp", "ses", "tcp"}
