"""Resend."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Bearer, HttpProbe, Quota
from intctl.providers.base import Field, Provider, secret_of

_DAILY, _MONTHLY = "x-resend-daily-quota", "x-resend-monthly-quota"


class Resend(Provider):
    """Resend's API (its OpenAPI description, read directly; the probe as Nango does it).

    Bearer key (re_…). A valid key that may only send causes 401 with the name restricted_api_key.
    missing_api_key and invalid_api_key come with 401 or 403, so the name decides (both from
    third-party sources).

    x-resend-daily-quota and x-resend-monthly-quota are the emails used so far (third-party sources);
    the first comes on the free plan only, whose limits are 100 a day and 3,000 a month; beyond them
    nothing is sent. Paid plans continue beyond their monthly number, which no reply contains (Resend's
    own documentation, "Usage Limits", "Account quotas and limits" and "Errors", read directly).
    """

    name = "resend"
    title = "Resend"
    type = "email"
    proof = "GET of one domain"
    scopes = "full access; a key that may only send is degraded"
    limits = "no figure; 429 with Retry-After"
    docs = "https://resend.com/docs/api-reference/domains/list-domains"
    confidence = "vendor"
    fields = (
        Field(
            "api_key",
            "API key (re_…)",
            secret=True,
            required=True,
            usual="re_.+",
            unusual="Resend's API keys begin with re_",
        ),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "https://api.resend.com/domains?limit=1",
            Bearer(secret_of(config, "api_key")),
            expect_json={"/object": "list"},
            answers=(
                *(
                    Answer(
                        status,
                        "http.scope_missing",
                        pointer="/name",
                        equals="restricted_api_key",
                        detail="the key is valid but may only send, so nothing else could be verified",
                    )
                    for status in (401, 403)
                ),
                Answer(403, "http.auth.rejected", pointer="/name", equals="invalid_api_key", detail="invalid_api_key"),
                Answer(403, "http.account_inactive", pointer="/name", equals="suspended_api_key", detail="suspended"),
                Answer(400, "http.auth.rejected", pointer="/message", contains="API key is invalid", detail="HTTP 400"),
            ),
            quotas=(
                Quota(used=_DAILY, limit=100, period="day", unit="emails", hard=True),
                Quota(used=_MONTHLY, limit=3000, period="month", unit="emails", hard=True, only_if=(_DAILY, None)),
                Quota(used=_MONTHLY, period="month", unit="emails"),
            ),
        )
