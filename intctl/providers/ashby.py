"""Ashby."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import Answer, Basic, HttpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


class Ashby(Provider):
    """Ashby's API: HTTP Basic, the key as user, an empty password; every call is a POST, and
    apiKey.info only reads (as Nango does).

    A refusal comes as `success: false` with HTTP 200 (third-party sources, several).
    """

    name = "ashby"
    title = "Ashby"
    type = "job_board"
    proof = "POST apiKey.info, which tells what the key is and changes nothing"
    fields = (Field("api_key", "API key", secret=True, required=True), CA_FILE, BASE_URL)

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            asked(config, "https://api.ashbyhq.com/apiKey.info"),
            Basic(secret_of(config, "api_key"), ""),
            method="POST",
            body_json={},
            headers={"Accept": "application/json; version=1"},
            expect_json={"/success": True},
            answers=(Answer(200, "http.auth.rejected", pointer="/success", equals=False, detail="success is false"),),
            ca_file=text_of(config, "ca_file") or None,
        )
