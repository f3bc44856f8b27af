"""Personio."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, HttpProbe
from intctl.providers.base import CLIENT, SCOPE, Field, Provider, client_credentials, text_of

_HOST = "https://api.personio.de"


class Personio(Provider):
    """Personio's API credential, exchanged for a token: POST /v1/auth, client id and secret as a form (its
    OpenAPI description and developer.personio.de, read directly), or with `api: v2` at /v2/auth/token, with
    scopes (as Nango does; its limits are in the developer pages). The same credential is valid for both.

    The exchange is the proof: no data is read. /v1/auth refuses a wrong credential with 403 and
    `success: false` (general knowledge). Secrets in the URL of /v1/auth, which end in December
    2026, are not used here. The recruiting API has its own key, which is not needed.
    """

    name = "personio"
    title = "Personio"
    type = "hris"
    speaks = "oauth"
    proof = "Token exchange"
    scopes = "none for the token"
    cost = "1 token call, at most once an hour"
    limits = "60 token calls a minute, 150 with api: v2"
    docs = "https://developer.personio.de/reference/auth"
    confidence = "vendor"
    fields = (
        *CLIENT,
        Field("api", "Version of the API that the token is for", kind="choice", choices=("v1", "v2"), default="v1"),
        SCOPE.replace(example="personio:persons:read", beside="api: v2"),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        if config.get("api") == "v2":
            scope = text_of(config, "scope")
            return HttpProbe("", client_credentials(config, f"{_HOST}/v2/auth/token", scope=scope))
        where = {"token_at": "/data/token", "lifetime_s": 3600}
        wrong = Answer(403, "http.auth.rejected", pointer="/success", equals=False, detail="wrong credentials")
        return HttpProbe("", client_credentials(config, f"{_HOST}/v1/auth", grant="", **where), answers=(wrong,))
