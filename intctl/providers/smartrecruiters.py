"""SmartRecruiters."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import Header, HttpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


class SmartRecruiters(Provider):
    """SmartRecruiters' customer API: the key in `X-SmartToken` (as Nango does).

    GET /configuration/company, with 401 and 403 for a key that is refused, is seen in third-party
    sources only.
    """

    name = "smartrecruiters"
    title = "SmartRecruiters"
    type = "job_board"
    proof = "GET the company's configuration"
    fields = (Field("api_key", "API key", secret=True, required=True), CA_FILE, BASE_URL)

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            asked(config, "https://api.smartrecruiters.com/configuration/company"),
            Header("X-SmartToken", secret_of(config, "api_key")),
            ca_file=text_of(config, "ca_file") or None,
        )
