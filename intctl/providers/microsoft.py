"""Microsoft 365 Calendar."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, HttpProbe
from intctl.providers.base import (
    CLIENT,
    REFRESH_TOKEN,
    Field,
    FieldProblem,
    Provider,
    client_credentials,
    refresh_token,
    text_of,
)

_GRAPH = "https://graph.microsoft.com"
TENANT = Field(
    "tenant_id",
    "Directory (tenant) id",
    required=True,
    pattern="[A-Za-z0-9][A-Za-z0-9.-]{0,254}",
    example="00000000-0000-0000-0000-000000000000",
)


def tenant_problem(config: Mapping[str, object]) -> list[FieldProblem]:
    """Return a problem if an application has no tenant of its own; only users may use a shared tenant."""
    shared = text_of(config, "tenant_id").lower() in ("common", "organizations", "consumers")
    alone = shared and "refresh_token" not in config
    if not alone:
        return []
    return [FieldProblem("tenant_id", "without refresh_token the tenant's own id is required", ("refresh_token",))]


class Microsoft(Provider):
    """Microsoft Graph's calendars: as a user with refresh_token, without it as the application.

    Endpoints, scopes and the tenant rule as Nango uses them. A used refresh token is replaced, and
    the old one is not revoked (learn.microsoft.com, "Refresh tokens in the Microsoft identity
    platform", read directly). As the application the token exchange is the proof. GET
    /me/calendar requires Calendars.Read (general knowledge). For national clouds set base_url.
    """

    name = "microsoft"
    title = "Microsoft 365 Calendar"
    type = "calendar"
    speaks = "oauth"
    proof = "Refresh of the access token and GET of the calendar, or the application's token exchange"
    scopes = "user: Calendars.Read offline_access; application: none for the check"
    cost = "1 request, and a token call when the stored token has expired"
    limits = "no figure; 429 with Retry-After"
    docs = "https://learn.microsoft.com/graph/api/calendar-get"
    confidence = "in use"
    fields = (
        TENANT,
        *CLIENT,
        REFRESH_TOKEN.replace(required=False, help="Refresh token of a user; without it the application logs in"),
    )

    def check(self, config: Mapping[str, object]) -> list[FieldProblem]:
        return super().check(config) + tenant_problem(config)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        url = f"https://login.microsoftonline.com/{text_of(config, 'tenant_id')}/oauth2/v2.0/token"
        if "refresh_token" not in config:
            return HttpProbe("", client_credentials(config, url, scope=f"{_GRAPH}/.default"))
        return HttpProbe(
            f"{_GRAPH}/v1.0/me/calendar?$select=id",
            refresh_token(config, url, scope=f"{_GRAPH}/Calendars.Read offline_access"),
            require=("/id", "/@odata.context"),
            answers=(Answer(403, "http.scope_missing", detail="the token lacks Calendars.Read"),),
        )
