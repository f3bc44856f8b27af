"""Calendly."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import Bearer, HttpProbe, RefreshToken
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of

_OAUTH = ("client_id", "client_secret", "refresh_token")


class Calendly(Provider):
    """Calendly's API v2 (its OpenAPI description and developer guide, read directly).

    Bearer: a personal access token, or OAuth. An OAuth refresh token can be used once: it is
    revoked at once and a new one comes with each answer. Token calls are limited to 8 a minute for
    each user. A wrong token is 401, a missing permission 403.
    """

    name = "calendly"
    title = "Calendly"
    type = "calendar"
    speaks = "oauth"
    proof = "GET of the user, after a refresh of the access token where there is one"
    status_page = "https://www.calendlystatus.com/api/v2/status.json"
    fields = (
        Field("token", "Personal access token; or else client_id, client_secret and refresh_token", secret=True),
        Field("client_id", "OAuth client id"),
        Field("client_secret", "OAuth client secret", secret=True),
        Field("refresh_token", "OAuth refresh token of the user (each can be used once)", secret=True),
        CA_FILE,
        BASE_URL,
    )

    def check(self, config: Mapping[str, object]) -> list[tuple[str, str]]:
        found = super().check(config)
        given = [name for name in _OAUTH if name in config]
        if "token" in config and given:
            found.append((given[0], "give token, or client_id, client_secret and refresh_token, not both"))
        elif "token" not in config and len(given) < len(_OAUTH):
            found.append(("token", "is missing (or give client_id, client_secret and refresh_token)"))
        return found

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        auth = Bearer(secret_of(config, "token")) if "token" in config else RefreshToken(
            asked(config, "https://auth.calendly.com/oauth/token"),
            text_of(config, "client_id"), secret_of(config, "client_secret"), secret_of(config, "refresh_token"),
            client_in="basic", single_use=True,
        )
        return HttpProbe(
            asked(config, "https://api.calendly.com/users/me"), auth,
            require=("/resource/uri",), facts={"account": "/resource/email"},
            ca_file=text_of(config, "ca_file") or None,
        )
