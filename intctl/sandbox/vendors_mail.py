"""Vendors of mail: rows of the table in vendors.py."""

from __future__ import annotations

from intctl.sandbox.http import Reply
from intctl.sandbox.vendor import MailAccount, Route, Vendor, basic, guarded, header

VENDORS: dict[str, Vendor] = {
    "mailgun": Vendor(
        {"api_key": "key-{hex}"},
        {"MAILGUN_API_KEY": "api_key"},
        (
            Route(
                "GET",
                "/v4/domains",
                guarded(
                    basic("api", "{api_key}"),
                    Reply(401, b"Forbidden", {"Content-Type": "text/plain"}),
                    {"total_count": 1, "items": [{"name": "sandbox.example", "state": "active"}]},
                ),
            ),
            Route(
                "GET",
                "/v5/accounts/limit/custom/monthly",
                guarded(
                    basic("api", "{api_key}"),
                    Reply(401, b"Forbidden", {"Content-Type": "text/plain"}),
                    {"limit": 10000, "current": 247, "period": "1m"},
                ),
            ),
        ),
        quota_faults={"quota.high": {"/current": 8534}},
    ),
    "postmark": Vendor(
        {"server_token": "{hex}"},
        {"POSTMARK_SERVER_TOKEN": "server_token"},
        (
            Route(
                "GET",
                "/deliverystats",
                guarded(
                    header("X-Postmark-Server-Token", "{server_token}"),
                    Reply(401, {"ErrorCode": 10, "Message": "No Account or Server API tokens were supplied."}),
                    {"InactiveMails": 0, "Bounces": [{"Name": "All", "Count": 0}]},
                ),
            ),
        ),
    ),
    "mailjet": Vendor(
        {"api_key": "{hex}", "secret_key": "{hex}"},
        {"MAILJET_API_KEY": "api_key", "MAILJET_SECRET_KEY": "secret_key"},
        (
            Route(
                "GET",
                "/v3/REST/myprofile",
                guarded(
                    basic("{api_key}", "{secret_key}"),
                    Reply(
                        401,
                        {
                            "ErrorIdentifier": "00000000-0000-0000-0000-000000000000",
                            "StatusCode": 401,
                            "ErrorMessage": "API key authentication/authorization failure.",
                        },
                    ),
                    {"Count": 1, "Total": 1, "Data": [{"CompanyName": "Sandbox"}]},
                ),
            ),
        ),
    ),
    "brevo": Vendor(
        {"api_key": "xkeysib-{hex}"},
        {"BREVO_API_KEY": "api_key"},
        (
            Route(
                "GET",
                "/v3/account",
                guarded(
                    header("api-key", "{api_key}"),
                    Reply(401, {"code": "unauthorized", "message": "Key not found"}),
                    {"companyName": "Sandbox", "plan": [{"type": "free", "credits": 297, "creditsType": "sendLimit"}]},
                ),
            ),
        ),
        quota_faults={"quota.high": {"/plan/0/credits": 45}},
    ),
    "resend": Vendor(
        {"api_key": "re_{token}"},
        {"RESEND_API_KEY": "api_key"},
        (
            Route(
                "GET",
                "/domains",
                guarded(
                    header("Authorization", "Bearer {api_key}"),
                    Reply(403, {"statusCode": 403, "name": "invalid_api_key", "message": "API key is invalid"}),
                    {"object": "list", "has_more": False, "data": []},
                    {"x-resend-daily-quota": "3", "x-resend-monthly-quota": "42"},
                ),
            ),
        ),
        quota_faults={"quota.high": {"x-resend-daily-quota": 85}, "quota.exhausted": {"x-resend-daily-quota": 100}},
        scope_refusal=Reply(
            401,
            {
                "statusCode": 401,
                "name": "restricted_api_key",
                "message": "This API key is restricted to only send emails",
            },
        ),
    ),
}

MAIL: dict[str, MailAccount] = {
    "gmail": MailAccount(
        "{hex}@gmail.example",
        {"GMAIL_APP_PASSWORD": "password"},
        "535 5.7.8 Username and Password not accepted.",
        challenge='{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}',
    ),
    "microsoft365": MailAccount(
        "{hex}@office.example",
        {},
        "535 5.7.3 Authentication unsuccessful",
        challenge="",
        password=False,
        config={"token_url": "{url}/{{tenant_id}}/oauth2/v2.0/token"},
    ),
}
