"""Certn."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import HttpProbe
from intctl.providers.base import (
    CLIENT,
    SCOPE,
    Field,
    FieldProblem,
    Provider,
    client_credentials,
    plain_http_problem,
    text_of,
)


class Certn(Provider):
    """CertnCentric, Certn's API: OAuth client credentials. Certn gives the addresses to each
    customer, and no public source has them: set token_url.

    The exchange is the proof; there is no other request. The first API (api.certn.co, v1 and v2)
    was discontinued in August 2026 (third-party sources).
    """

    name = "certn"
    title = "Certn"
    type = "background_check"
    speaks = "oauth"
    proof = "OAuth token exchange"
    scopes = "as given in scope"
    cost = "1 token call, at most once an hour"
    confidence = "third-party"
    fields = (
        Field(
            "token_url",
            "Token endpoint that Certn gave you",
            kind="url",
            required=True,
            destination=True,
            pattern=r"[^?#]*",
            example="https://auth.example.com/oauth/token",
        ),
        *CLIENT,
        SCOPE,
    )

    def check(self, config: Mapping[str, object]) -> list[FieldProblem]:
        return super().check(config) + plain_http_problem(config, "token_url")

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        scope = text_of(config, "scope")
        return HttpProbe("", client_credentials(config, text_of(config, "token_url"), scope=scope))
