"""Vendors for providers without a row in vendors.py.

Such a vendor returns the reply that the provider's own probe expects, and 401 for a wrong credential.
It proves only that the declaration is consistent; a row has the real vendor's replies.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from intctl.probes.spec import Basic, Bearer, ClientCredentials, Header, HttpProbe, RefreshToken, TokenGrant
from intctl.providers.base import Field, Provider
from intctl.sandbox.http import Reply, Request
from intctl.sandbox.vendor import Account, Answer, Route, Vendor, bearer, same, token
from intctl.text import Secret

_REFUSAL = Reply(401, {"error": "unauthorized"})


def derived(provider: Provider) -> Vendor:
    """Build a vendor from the declaration of `provider`. It gets no requests if there is no HTTP probe."""
    first = provider.ways[0] if provider.ways else ()
    needed = [field for field in provider.fields if field.required or field.name in first]
    credentials = {field.name: "{token}" if field.secret else "{hex}" for field in needed if _is_credential(field)}
    variables = {f"{provider.name}_{field.name}".upper(): field.name for field in needed if field.secret}
    answer = _answer(provider)
    return Vendor(credentials, variables, tuple(Route(method, "/*", answer) for method in ("GET", "POST", "PROPFIND")))


def filled(field: Field) -> object:
    """Return a value for a required field that is not a credential."""
    return field.choices[0] if field.kind == "choice" else field.example or "sandbox"


def _is_credential(field: Field) -> bool:
    return field.secret or (field.kind == "text" and not field.example)


def _answer(provider: Provider) -> Answer:
    def answer(request: Request, account: Account) -> Reply:
        config: dict[str, object] = {field.name: filled(field) for field in provider.fields if field.required}
        for name, value in account.credentials.items():
            config[name] = Secret(value) if name in provider.secrets else value
        probe = provider.probe(config)
        if not isinstance(probe, HttpProbe):
            return Reply(404, account.vendor.not_found)
        auth = probe.auth
        if isinstance(auth, ClientCredentials | RefreshToken) and auth.token_url.endswith(request.path):
            grant = auth.grant if isinstance(auth, ClientCredentials) else "refresh_token"
            return token(grant)(request, account)
        if request.method not in (probe.method, "HEAD" if probe.method == "GET" else ""):
            return Reply(405, {"error": "method_not_allowed"})
        return Reply(probe.expect_status, _hoped_for(probe)) if _right(probe, request, account) else _REFUSAL

    return answer


def _right(probe: HttpProbe, request: Request, account: Account) -> bool:
    auth = probe.auth
    if isinstance(auth, TokenGrant):
        return bearer()(request, account)
    name, value = "authorization", ""
    if isinstance(auth, Basic):
        pair = ":".join(half.reveal() if isinstance(half, Secret) else half for half in (auth.username, auth.password))
        value = f"Basic {b64encode(pair.encode()).decode()}"
    elif isinstance(auth, Bearer):
        value = f"Bearer {auth.token.reveal()}"
    elif isinstance(auth, Header):
        name, value = auth.name.lower(), auth.prefix + auth.value.reveal()
    return bool(value) and same(request.headers.get(name, ""), value)


def _hoped_for(probe: HttpProbe) -> object:
    """The body that the probe accepts."""
    if probe.expect_text:
        return probe.expect_text.encode()
    body: Any = {}
    for pointer, value in {**dict.fromkeys(probe.require, "sandbox"), **probe.expect_json}.items():
        body = _put(body, pointer.removeprefix("/").split("/"), value)
    return body


def _put(document: Any, parts: list[str], value: object) -> Any:
    """The document with a value at a JSON pointer; lists have one element, the pointer's 0."""
    if not parts:
        return value
    if parts[0] == "0":
        return [_put(document[0] if isinstance(document, list) else {}, parts[1:], value)]
    name = parts[0].replace("~1", "/").replace("~0", "~")
    inside = document if isinstance(document, dict) else {}
    return {**inside, name: _put(inside.get(name, {}), parts[1:], value)}
