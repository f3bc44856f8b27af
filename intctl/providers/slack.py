"""Slack."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, Bearer, HttpProbe
from intctl.providers.base import Field, Provider, secret_of

_FAULTS = ("request_timeout", "internal_error", "fatal_error", "service_unavailable")


class Slack(Provider):
    """Slack's Web API (its OpenAPI description, read directly).

    Bearer token of a bot (xoxb-…) or a user (xoxp-…); auth.test requires no scope. Every reply is
    HTTP 200: `ok` says whether the call succeeded, `error` why not. token_expired is general knowledge.
    """

    name = "slack"
    title = "Slack"
    type = "messaging"
    proof = "GET auth.test, which returns the token's owner"
    scopes = "none: any token"
    limits = "no figure; 429 with Retry-After"
    docs = "https://api.slack.com/methods/auth.test"
    confidence = "vendor"
    fields = (Field("token", "Token of a bot (xoxb-…) or a user (xoxp-…)", secret=True, required=True),)

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        said = {
            **dict.fromkeys(("invalid_auth", "not_authed", "token_revoked", "token_expired"), "http.auth.rejected"),
            "account_inactive": "http.account_inactive",
            "ratelimited": "http.rate_limited",
            **dict.fromkeys(_FAULTS, "server.error"),
            **dict.fromkeys(("missing_scope", "not_allowed_token_type"), "http.scope_missing"),
            **dict.fromkeys(
                (
                    "access_denied", "accesslimited", "org_login_required", "ekm_access_denied",
                    "team_access_not_granted",
                ),
                "http.forbidden",
            ),
        }  # fmt: skip
        return HttpProbe(
            "https://slack.com/api/auth.test",
            Bearer(secret_of(config, "token")),
            expect_json={"/ok": True},
            require=("/team_id",),
            facts={"account": "/team", "user": "/user"},
            answers=tuple(
                Answer(200, code, pointer="/error", equals=error, detail=error) for error, code in said.items()
            ),
        )
