"""BambooHR."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Basic, HttpProbe
from intctl.providers.base import Field, Provider, secret_of, text_of


class BambooHR(Provider):
    """BambooHR's API on the company's own host (its OpenAPI description and SDK, read directly).

    HTTP Basic: the API key as user, any password. 403 on company_information is a valid key without
    that permission; 401 is a bad key. The request must ask for JSON, because the default is XML,
    and repeated bad keys may lock the API (general knowledge).
    """

    name = "bamboohr"
    title = "BambooHR"
    type = "hris"
    proof = "GET company_information"
    scopes = "may read company information (company:info)"
    limits = "no figure; 429 with Retry-After, before September 2026 503"
    docs = "https://documentation.bamboohr.com/docs/api-details"
    confidence = "vendor"
    fields = (
        Field(
            "subdomain",
            "Company name in https://NAME.bamboohr.com",
            required=True,
            destination=True,
            pattern="[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
            example="mycompany",
        ),
        Field("api_key", "API key", secret=True, required=True),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        host = f"https://{text_of(config, 'subdomain')}.bamboohr.com"
        return HttpProbe(
            f"{host}/api/v1/company_information",
            Basic(secret_of(config, "api_key"), "x"),
            headers={"Accept": "application/json"},
            require=("/displayName",),
            facts={"account": "/displayName"},
            answers=(Answer(403, "http.scope_missing", detail="the key may not read company information"),),
        )
