"""Shared parts of the mail providers that log in with an access token (XOAUTH2)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace

from intctl.probes.spec import HttpProbe, SmtpProbe, TokenGrant
from intctl.providers.base import Field, FieldProblem, plain_http_problem, text_of
from intctl.providers.mail import MailProvider

TOKEN_URL = Field(
    "token_url",
    "Token endpoint, if not the vendor's default",
    kind="url",
    destination=True,
    pattern=r"[^?#]*",
    example="https://login.example.com/token",
    beside="client_id",
)


class OauthMailProvider(MailProvider):
    """A mail provider that logs in with an access token if the config has no password."""

    def check(self, config: Mapping[str, object]) -> list[FieldProblem]:
        found = super().check(config)
        if "password" not in config:
            found += plain_http_problem(config, "token_url")
            if config.get("security") == "none":
                found.append(FieldProblem("security", "a token is sent over TLS only"))
        return found

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe | SmtpProbe:
        found = super().build_probe(config)
        if "password" in config or not isinstance(found, SmtpProbe):
            return found
        grant = self.grant(config)
        grant = replace(grant, token_url=text_of(config, "token_url") or grant.token_url)
        return replace(found, username=text_of(config, "username"), auth=grant)

    @abstractmethod
    def grant(self, config: Mapping[str, object]) -> TokenGrant:
        """Return the grant for the access token, at the vendor's default endpoint."""
