"""GoodHire."""

from __future__ import annotations

from intctl.providers.base import Field, Unproven


class GoodHire(Unproven):
    """GoodHire's API: `Authorization: ApiKey KEY`, a key that GoodHire hands out on request
    (third-party sources).

    No call that only proves the key was found in any source, so nothing is asked.
    """

    name = "goodhire"
    title = "GoodHire"
    type = "background_check"
    fields = (Field("api_key", "API key", secret=True, required=True),)
