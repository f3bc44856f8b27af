"""HiBob."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Basic, HttpProbe
from intctl.providers.base import Field, Provider, secret_of, text_of


class HiBob(Provider):
    """HiBob's API with a service user: HTTP Basic of its id and token, GET /v1/company/named-lists
    (as Nango does).

    401 is a bad id or token, 403 a valid service user without that permission; the sandbox is
    `https://api.sandbox.hibob.com` (all three general knowledge, not confirmed).
    """

    name = "hibob"
    title = "HiBob"
    type = "hris"
    proof = "GET the company's named lists"
    scopes = "the service user may read named lists"
    limits = "no figure; X-RateLimit-Reset"
    docs = "https://apidocs.hibob.com"
    confidence = "in use"
    fields = (
        Field("service_user_id", "Id of the service user", required=True, example="SERVICE-1234"),
        Field("token", "Token of the service user", secret=True, required=True),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://api.hibob.com/v1/company/named-lists",
            Basic(text_of(config, "service_user_id"), secret_of(config, "token")),
            require=("/0/name",),
            answers=(Answer(403, "http.scope_missing", detail="the service user may not read named lists"),),
        )
