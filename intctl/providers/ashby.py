"""Ashby."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Basic, HttpProbe
from intctl.providers.base import Field, Provider, secret_of


class Ashby(Provider):
    """Ashby's API: HTTP Basic, the key as user, an empty password; every call is a POST, and
    apiKey.info only reads (as Nango does).

    A refusal is `success: false` with HTTP 200 (third-party sources, several).
    """

    name = "ashby"
    title = "Ashby"
    type = "job_board"
    proof = "POST apiKey.info, which describes the key and changes nothing"
    scopes = "none: any key"
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
            answers=(Answer(200, "http.auth.rejected", pointer="/success", equals=False, detail="success is false"),),
        )
