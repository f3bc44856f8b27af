"""Microsoft 365 Calendar."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import Answer, ClientCredentials, HttpProbe, RefreshToken
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of

_GRAPH = "https://graph.microsoft.com"
#: What the token endpoint says in error_description (as TruffleHog reads it).
_SAID = (
    ("AADSTS7000222", "http.auth.rejected", "the client secret has expired"),
    ("AADSTS7000215", "http.auth.rejected", "the client secret is wrong (give its value, not its id)"),
    ("AADSTS700016", "http.auth.rejected", "the tenant does not know this client id"),
    ("AADSTS90002", "not.found", "there is no such tenant"),
    ("AADSTS53003", "http.forbidden", "a conditional access rule blocks it"),
)


class Microsoft(Provider):
    """Microsoft Graph's calendars. With refresh_token as a user, without as the application.

    Endpoints, scopes and the tenant rule as Nango uses them. A used refresh token is replaced, and
    the old one is not revoked (learn.microsoft.com, "Refresh tokens in the Microsoft identity
    platform", read directly). As the application the token exchange is the proof. GET
    /me/calendar needs Calendars.Read (general knowledge). National clouds: give base_url.
    """

    name = "microsoft"
    title = "Microsoft 365 Calendar"
    type = "calendar"
    speaks = "oauth"
    proof = "Refresh of the access token and GET of the calendar, or the application's token exchange"
    fields = (
        Field("tenant_id", "Directory (tenant) id", required=True, pattern="[A-Za-z0-9][A-Za-z0-9.-]{0,254}",
              example="00000000-0000-0000-0000-000000000000"),
        Field("client_id", "Application (client) id", required=True),
        Field("client_secret", "Client secret (its value, not its id)", secret=True, required=True),
        Field("refresh_token", "Refresh token of a user; without it the application itself logs in", secret=True),
        CA_FILE,
        BASE_URL,
    )

    def check(self, config: Mapping[str, object]) -> list[tuple[str, str]]:
        found = super().check(config)
        shared = text_of(config, "tenant_id").lower() in ("common", "organizations", "consumers")
        if shared and "refresh_token" not in config:
            found.append(("tenant_id", "without refresh_token the tenant's own id is needed"))
        return found

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        tenant = text_of(config, "tenant_id")
        token_url = asked(config, f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token")
        client = (token_url, text_of(config, "client_id"), secret_of(config, "client_secret"))
        said = tuple(
            Answer(status, code, pointer="/error_description", contains=name, detail=detail)
            for name, code, detail in _SAID for status in (400, 401)
        )
        ca_file = text_of(config, "ca_file") or None
        if "refresh_token" not in config:
            return HttpProbe("", ClientCredentials(*client, scope=f"{_GRAPH}/.default"), answers=said, ca_file=ca_file)
        return HttpProbe(
            asked(config, f"{_GRAPH}/v1.0/me/calendar?$select=id"),
            RefreshToken(*client, secret_of(config, "refresh_token"), scope=f"{_GRAPH}/Calendars.Read offline_access"),
            require=("/id",),
            answers=(*said, Answer(403, "http.scope_missing", detail="the token lacks Calendars.Read")),
            ca_file=ca_file,
        )
