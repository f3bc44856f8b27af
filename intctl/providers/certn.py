"""Certn."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import ClientCredentials, HttpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, plain_http_problem, secret_of, text_of


class Certn(Provider):
    """CertnCentric, Certn's API: OAuth client credentials. Certn names the addresses to each
    customer, and no public source has them: token_url is yours to give.

    The exchange is the proof; nothing else is asked. The first API (api.certn.co, v1 and v2) was
    discontinued in August 2026 (third-party sources).
    """

    name = "certn"
    title = "Certn"
    type = "background_check"
    speaks = "oauth"
    proof = "OAuth token exchange"
    fields = (
        Field("token_url", "Token endpoint that Certn gave you", kind="url", required=True, destination=True,
              pattern=r"[^?#]*", example="https://auth.example.com/oauth/token"),
        Field("client_id", "OAuth client id", required=True),
        Field("client_secret", "OAuth client secret", secret=True, required=True),
        Field("scope", "OAuth scopes, separated by blanks"),
        CA_FILE,
        BASE_URL,
    )

    def check(self, config: Mapping[str, object]) -> list[tuple[str, str]]:
        return super().check(config) + plain_http_problem(config, "token_url")

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            url="",
            auth=ClientCredentials(
                asked(config, text_of(config, "token_url")),
                text_of(config, "client_id"), secret_of(config, "client_secret"), scope=text_of(config, "scope"),
            ),
            ca_file=text_of(config, "ca_file") or None,
        )
