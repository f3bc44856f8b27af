"""GoodHire."""

from __future__ import annotations

from intctl.providers.base import Field, Unproven


class GoodHire(Unproven):
    """GoodHire's API: `Authorization: ApiKey KEY`, a key that GoodHire issues on request
    (third-party sources).

    No source has a call that only proves the key, so intctl sends no request.
    """

    name = "goodhire"
    title = "GoodHire"
    type = "background_check"
    fields = (Field("api_key", "API key", secret=True, required=True),)
