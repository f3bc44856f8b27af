"""Greenhouse."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Basic, HttpProbe
from intctl.providers.base import API_KEY, CLIENT, Field, Provider, client_credentials, secret_of, text_of

_HOST = "https://harvest.greenhouse.io"

_USER = ("/0/id",)


class Greenhouse(Provider):
    """Greenhouse's Harvest API. v3: OAuth client credentials at auth.greenhouse.io, the client as Basic,
    `sub` for the user on whose behalf (harvestdocs.greenhouse.io, "Authentication", read directly);
    then GET /v3/users?per_page=1, scope harvest:users:list (third-party sources).

    v1: HTTP Basic, the key as user, an empty password; GET /v1/users?per_page=1 (its API docs on
    GitHub, read directly). v1 and v2 end on 31 August 2026 (third-party sources, several): their
    keys stop working then. Keys and clients have a permission for each endpoint: 403 is a valid one
    without the permission for users; 401 is a bad one. Job Board reads prove nothing.
    """

    name = "greenhouse"
    title = "Greenhouse"
    type = "job_board"
    proof = "GET one user, with v3 after an OAuth token exchange"
    scopes = "v3: harvest:users:list; v1: the permission to list users; without it degraded"
    cost = "1 request, and with v3 a token call when the stored token has expired"
    limits = "per 10 seconds, as in X-RateLimit-Limit; 429 with Retry-After"
    docs = "https://harvestdocs.greenhouse.io/docs/authentication"
    confidence = "vendor"
    ways = (("client_id", "client_secret"), ("api_key",))
    fields = (
        *(field.replace(required=False, help=f"{field.help} of a Harvest v3 credential") for field in CLIENT),
        Field(
            "user_id",
            "Numeric id of the user on whose behalf intctl reads",
            pattern="[0-9]{1,20}",
            example="4000012",
            beside="client_id",
        ),
        API_KEY.replace(required=False, help="Instead: key of Harvest v1, with the permission to list users"),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        detail = "it does not allow listing users"
        said = (
            Answer(403, "http.scope_missing", detail=detail),
            Answer(200, "http.scope_missing", equals=[], detail=detail),  # a user is always there
        )
        if "api_key" in config:
            return HttpProbe(
                f"{_HOST}/v1/users?per_page=1", Basic(secret_of(config, "api_key"), ""), require=_USER, answers=said
            )
        user = {"sub": text_of(config, "user_id")} if "user_id" in config else {}
        auth = client_credentials(config, "https://auth.greenhouse.io/token", client_in="basic", extra=user)
        return HttpProbe(f"{_HOST}/v3/users?per_page=1", auth, require=_USER, answers=said)
