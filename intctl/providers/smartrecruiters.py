"""SmartRecruiters."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Header, HttpProbe
from intctl.providers.base import Field, Provider, secret_of


class SmartRecruiters(Provider):
    """SmartRecruiters' customer API: the key in `X-SmartToken` (as Nango does).

    GET /configuration/company, with 401 and 403 for a key that is refused, is known from third-party
    sources only.
    """

    name = "smartrecruiters"
    title = "SmartRecruiters"
    type = "job_board"
    proof = "GET the company's configuration"
    scopes = "may read the company's configuration"
    docs = "https://developers.smartrecruiters.com"
    confidence = "third-party"
    fields = (Field("api_key", "API key", secret=True, required=True),)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://api.smartrecruiters.com/configuration/company",
            Header("X-SmartToken", secret_of(config, "api_key")),
            require=("/identifier",),
            facts={"account": "/name"},
            answers=(Answer(403, "http.scope_missing", detail="the key may not read the company's configuration"),),
        )
