"""Any HTTP API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from intctl.probes.spec import HttpProbe
from intctl.providers.base import (
    Field,
    FieldProblem,
    Provider,
    auth_from_config,
    header_name_problem,
    header_problem,
    plain_http_problem,
    text_of,
)


class Http(Provider):
    """An API of your own choice. Use a URL that works only with the credential.

    intctl sends a second request without the credential and reports a URL that works without it.
    """

    name = "http"
    title = "HTTP API"
    type = "custom"
    proof = "GET or HEAD of the URL returns the status and the values that you expect"
    scopes = "as the URL requires"
    cost = "1 request, and 1 without the credential for a new config and when a person checks"
    limits = "the API's own"
    docs = "https://www.rfc-editor.org/rfc/rfc9110"
    confidence = "standard"
    fields = (
        Field("url", "URL to call", kind="url", required=True, destination=True, example="https://api.example.com/me"),
        Field("method", "GET or HEAD", kind="choice", choices=("GET", "HEAD"), default="GET"),
        Field("auth", "How the credential is sent", kind="choice", choices=("bearer", "basic", "header")),
        Field("token", "Token", secret=True, needed_with="auth: bearer"),
        Field("username", "User name", needed_with="auth: basic"),
        Field("password", "Password", secret=True, needed_with="auth: basic"),
        Field(
            "header_name",
            "Header",
            pattern=r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}",
            example="X-API-Key",
            needed_with="auth: header",
        ),
        Field("header_value", "Value of the header", secret=True, needed_with="auth: header"),
        Field("expect_status", "Expected HTTP status", kind="integer", minimum=200, maximum=599, default=200),
        Field("expect_json", "Expected JSON values, as JSON pointer: value", "json"),
        Field("security", "none: allow http://", "choice", choices=("tls", "none"), default="tls", destination=True),
    )

    def check(self, config: Mapping[str, object]) -> list[FieldProblem]:
        found = super().check(config)
        found += header_name_problem(config, "header_name")
        found += header_problem(config, "token", "header_value")
        if config.get("expect_json") and config.get("method") == "HEAD":
            found.append(FieldProblem("expect_json", "a reply to HEAD has no body: use method: GET", ("method",)))
        if "auth" not in config or config.get("security") == "none":
            return [one for one in found if one.field != "base_url"]
        return found + plain_http_problem(config, "url")

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            text_of(config, "url"),
            auth_from_config(config),
            cast(Literal["GET", "HEAD"], config.get("method", "GET")),
            expect_status=cast(int, config.get("expect_status", 200)),
            json="expect_json" in config,
            expect_json=cast("Mapping[str, object]", config.get("expect_json", {})),
            compare_without=True,
            allow_plain_http=config.get("security") == "none",
        )
