"""Vendors of messages, meetings and calendars: rows of the table in vendors.py."""

from __future__ import annotations

from intctl.sandbox.http import Reply
from intctl.sandbox.vendor import Route, Vendor, basic, bearer, guarded, header

VENDORS: dict[str, Vendor] = {
    "vonage": Vendor(
        {"api_key": "{hex}", "api_secret": "{token}"},
        {"VONAGE_API_SECRET": "api_secret"},
        (
            Route("GET", "/accounts/{api_key}/secrets", guarded(
                basic("{api_key}", "{api_secret}"),
                Reply(401, {"error-code": "401", "error-code-label": "authentication failed"}),
                {"_embedded": {"secrets": [{"id": "00000000-0000-0000-0000-000000000000"}]}},
            )),
        ),
    ),
    "messagebird": Vendor(
        {"access_key": "{token}"},
        {"MESSAGEBIRD_ACCESS_KEY": "access_key"},
        (
            Route("GET", "/balance", guarded(
                header("Authorization", "AccessKey {access_key}"),
                Reply(401, {"errors": [{
                    "code": 2,
                    "description": "Request not allowed (incorrect access_key)",
                    "parameter": "access_key",
                }]}),
                {"payment": "prepaid", "type": "euros", "amount": 103},
            )),
        ),
    ),
    "plivo": Vendor(
        {"auth_id": "MA{upper}", "auth_token": "{token}"},
        {"PLIVO_AUTH_TOKEN": "auth_token"},
        (
            Route("GET", "/v1/Account/{auth_id}/", guarded(
                basic("{auth_id}", "{auth_token}"),
                Reply(401, {"error": "Could not verify your access level for that URL."}),
                {
                    "auth_id": "{auth_id}",
                    "account_type": "standard",
                    "billing_mode": "prepaid",
                    "cash_credits": "98.13",
                },
            )),
        ),
    ),
    "telnyx": Vendor(
        {"api_key": "KEY{hex}"},
        {"TELNYX_API_KEY": "api_key"},
        (
            Route("GET", "/v2/balance", guarded(
                bearer("api_key"),
                Reply(401, {"errors": [{
                    "code": "10009",
                    "title": "Authentication failed",
                    "detail": "Could not understand the provided credentials.",
                }]}),
                {"data": {"record_type": "balance", "balance": "300.00", "currency": "USD"}},
            )),
        ),
    ),
    "slack": Vendor(
        {"token": "xoxb-{hex}"},
        {"SLACK_TOKEN": "token"},
        (
            Route("GET", "/api/auth.test", guarded(
                bearer("token"), Reply(200, {"ok": False, "error": "invalid_auth"}),
                {"ok": True, "team": "Sandbox", "user": "intctl", "team_id": "T0", "user_id": "U0"},
            )),
        ),
    ),
}
