"""GoodHire."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import NoProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider


class GoodHire(Provider):
    """GoodHire's API: `Authorization: ApiKey KEY`, a key that GoodHire hands out on request
    (third-party sources).

    No call that only proves the key was found in any source, so nothing is asked.
    """

    name = "goodhire"
    title = "GoodHire"
    type = "background_check"
    proof = "None: no read-only call is known that proves the credential; it is never shown as healthy"
    fields = (
        Field("api_key", "API key", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> NoProbe:  # noqa: ARG002 -- there is nothing to ask
        return NoProbe()
