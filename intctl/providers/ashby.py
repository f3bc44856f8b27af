"""Ashby."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Basic, HttpProbe
from intctl.providers.base import Field, Provider, secret_of

_NARROW = "the key lacks the permission apiKeysRead"


class Ashby(Provider):
    """Ashby's API: HTTP Basic, the key as user, an empty password; every call is a POST, and
    apiKey.info only reads (as Nango does).

    A refusal is `success: false` with HTTP 200 (third-party sources, several). 403 is a wrong or
    deactivated key, with `missing_endpoint_permission` a good key without the permission
    (developers.ashbyhq.com/reference/authentication).
    """

    name = "ashby"
    title = "Ashby"
    type = "job_board"
    proof = "POST apiKey.info, which describes the key and changes nothing"
    scopes = "apiKeysRead"
    docs = "https://developers.ashbyhq.com"
    confidence = "in use"
    fields = (Field("api_key", "API key", secret=True, required=True),)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://api.ashbyhq.com/apiKey.info",
            Basic(secret_of(config, "api_key"), ""),
            method="POST",
            body_json={},
            headers={"Accept": "application/json; version=1"},
            expect_json={"/success": True},
            require=("/results/title",),
            facts={"account": "/results/title"},
            answers=(
                *(
                    Answer(status, "http.scope_missing", contains="missing_endpoint_permission", detail=_NARROW)
                    for status in (200, 403)
                ),
                Answer(200, "http.auth.rejected", pointer="/success", equals=False, detail="success is false"),
                Answer(403, "http.auth.rejected", detail="HTTP 403, which is a wrong or deactivated key"),
            ),
        )
