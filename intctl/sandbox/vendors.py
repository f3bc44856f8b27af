"""The vendors, as a table: their own paths, status codes and error bodies, for right and wrong credentials.

A `{name}` in a path or a body is replaced with one of the vendor's credentials. To add a vendor, add a
row, here or in the module of its family. A provider without a row is served too, as its probe expects.
"""

from __future__ import annotations

from intctl.providers import catalogue
from intctl.sandbox import vendors_mail, vendors_talk, vendors_work
from intctl.sandbox.derived import derived
from intctl.sandbox.http import Reply
from intctl.sandbox.vendor import (
    ANYTHING,
    Account,
    MailAccount,
    RandomBytes,
    Route,
    Vendor,
    Way,
    always,
    basic,
    bearer,
    guarded,
    header,
    random_text,
    same,
    statement,
    token,
)

__all__ = ["MAIL", "VENDORS", "Account", "RandomBytes", "Way", "random_text", "same", "served"]

_OAUTH = ("client_id", "client_secret", "refresh_token")
_GOOGLE_TOKEN = token(
    "refresh_token",
    wrong_client=Reply(401, {"error": "invalid_client", "error_description": "Unauthorized"}),
    wrong_grant=Reply(400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}),
)
_GOOGLE_CLIENT = {
    "client_id": "{hex}.apps.googleusercontent.com", "client_secret": "GOCSPX-{token}", "refresh_token": "1//{token}",
}  # fmt: skip

_TWILIO_REFUSAL = Reply(
    401,
    {"code": 20003, "message": "Authenticate", "more_info": "https://www.twilio.com/docs/errors/20003", "status": 401},
)
_GOOGLE_REFUSAL = Reply(401, {"error": {"code": 401, "message": "Invalid Credentials", "status": "UNAUTHENTICATED"}})
_GOOGLE_SCOPE = Reply(
    403,
    {
        "error": {
            "code": 403,
            "message": "Request had insufficient authentication scopes.",
            "errors": [{"message": "Insufficient Permission", "domain": "global", "reason": "insufficientPermissions"}],
            "status": "PERMISSION_DENIED",
        }
    },
)
_GRAPH_SCOPE = Reply(403, {"error": {"code": "ErrorAccessDenied", "message": "Access is denied."}})
_CALENDAR = {"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users", "id": "calendar"}
_GRAPH_REFUSAL = Reply(
    401, {"error": {"code": "InvalidAuthenticationToken", "message": "Access token is missing or invalid."}}
)


def _entra(status: int, error: str, description: str) -> Reply:
    return Reply(status, {"error": error, "error_description": description})


_NO_TENANT = _entra(400, "invalid_request", "AADSTS90002: Tenant not found.")
_ENTRA_TOKEN = token(
    "refresh_token",
    "client_credentials",
    rotates=True,
    wrong_client=_entra(401, "invalid_client", "AADSTS7000215: Invalid client secret provided."),
    wrong_grant=_entra(400, "invalid_grant", "AADSTS70000: The provided grant is invalid or revoked."),
)

VENDORS: dict[str, Vendor] = {
    "twilio": Vendor(
        {"account_sid": "AC{hex}", "auth_token": "{hex}"},
        {"TWILIO_AUTH_TOKEN": "auth_token"},
        (
            Route(
                "GET",
                "/2010-04-01/Accounts/{account_sid}.json",
                guarded(
                    basic("{account_sid}", "{auth_token}"),
                    _TWILIO_REFUSAL,
                    {"sid": "{account_sid}", "status": "active", "friendly_name": "Sandbox", "type": "Full"},
                ),
            ),
            Route(
                "GET",
                "/2010-04-01/Accounts/{account_sid}/Messages.json",
                guarded(basic("{api_key_sid}", "{api_key_secret}"), _TWILIO_REFUSAL, {"messages": [], "page_size": 1}),
            ),
            Route(
                "GET",
                "/2010-04-01/Accounts/{account_sid}/Balance.json",
                guarded(
                    basic("{account_sid}", "{auth_token}"),
                    _TWILIO_REFUSAL,
                    {"account_sid": "{account_sid}", "balance": "12.50", "currency": "USD"},
                ),
            ),
            Route("GET", "/2010-04-01/Accounts/*", always(_TWILIO_REFUSAL)),
        ),
        quota_faults={"balance.empty": {"/balance": "-0.42"}},
        more={"api_key_sid": "SK{hex}", "api_key_secret": "{token}"},
        ways={"api-key": Way(("account_sid", "api_key_sid", "api_key_secret"))},
    ),
    "bamboohr": Vendor(
        {"api_key": "{hex}"},
        {"BAMBOOHR_API_KEY": "api_key"},
        tuple(
            Route("GET", path, guarded(basic("{api_key}", ANYTHING), Reply(401), body))
            for path, body in (
                ("/api/v1/company_information", {"legalName": "Sandbox Ltd", "displayName": "Sandbox"}),
                ("/api/v1/meta/fields", [{"id": 1, "name": "First name", "type": "text"}]),
            )
        ),
    ),
    "adp": Vendor(
        {"client_id": "{hex}", "client_secret": "{token}"},
        {
            "ADP_CLIENT_SECRET": "client_secret",
            "ADP_CLIENT_CERTIFICATE": "client_certificate",
            "ADP_CLIENT_PRIVATE_KEY": "client_private_key",
        },
        (
            Route("POST", "/auth/oauth/v2/token", token("client_credentials")),
            Route("GET", "/hr/v2/workers", guarded(bearer(), Reply(401), {"workers": []})),
        ),
        client_certificate=True,
    ),
    "checkr": Vendor(
        {"api_key": "{hex}"},
        {"CHECKR_API_KEY": "api_key"},
        (
            Route(
                "GET",
                "/v1/account",
                guarded(
                    basic("{api_key}", ""),
                    Reply(401, {"error": "Bad authentication error"}),
                    {
                        "id": "sandbox",
                        "object": "account",
                        "name": "Sandbox",
                        "authorized": True,
                        "api_authorized": True,
                    },
                ),
            ),
        ),
        wants_user_agent=True,
    ),
    "google": Vendor(
        _GOOGLE_CLIENT,
        {"GOOGLE_CLIENT_SECRET": "client_secret", "GOOGLE_REFRESH_TOKEN": "refresh_token"},
        (
            Route(
                "POST",
                "/token",
                statement(
                    "https://oauth2.googleapis.com/token",
                    "https://www.googleapis.com/auth/calendar.readonly",
                    _GOOGLE_TOKEN,
                ),
            ),
            Route(
                "GET",
                "/calendar/v3/users/me/calendarList",
                guarded(bearer(), _GOOGLE_REFUSAL, {"kind": "calendar#calendarList", "items": []}),
            ),
        ),
        scope_refusal=_GOOGLE_SCOPE,
        more={"service_account": "robot-{hex}@project.iam.gserviceaccount.com", "private_key": "{rsa}"},
        ways={"service-account": Way(("service_account", "private_key"))},
    ),
    "gmail": Vendor(
        {},
        {},
        (Route("POST", "/token", _GOOGLE_TOKEN),),
        more=_GOOGLE_CLIENT,
        ways={"oauth": Way(("username", *_OAUTH), {"token_url": "{url}/token"}, mail=True)},
    ),
    "sendgrid": Vendor(
        {},
        {},
        (
            Route(
                "GET",
                "/v3/scopes",
                guarded(
                    bearer("api_key"),
                    Reply(401, {"errors": [{"field": None, "message": "authorization required"}]}),
                    {"scopes": ["mail.send", "alerts.read"]},
                ),
            ),
        ),
        scope_refusal=Reply(403, {"errors": [{"field": None, "message": "access forbidden"}]}),
        more={"api_key": "SG.{token}"},
        ways={"api": Way(("api_key",))},
    ),
    "microsoft": Vendor(
        {"tenant_id": "{hex}", "client_id": "{hex}", "client_secret": "{token}", "refresh_token": "0.{token}"},
        {"MICROSOFT_CLIENT_SECRET": "client_secret", "MICROSOFT_REFRESH_TOKEN": "refresh_token"},
        (
            Route("POST", "/{tenant_id}/oauth2/v2.0/token", _ENTRA_TOKEN),
            Route("POST", "/*/oauth2/v2.0/token", always(_NO_TENANT)),
            Route("GET", "/v1.0/me", guarded(bearer(), _GRAPH_REFUSAL, {"id": "sandbox-user"})),
            Route("GET", "/v1.0/me/calendar", guarded(bearer(), _GRAPH_REFUSAL, _CALENDAR)),
            Route("GET", "/v1.0/users/*/calendar", guarded(bearer(), _GRAPH_REFUSAL, _CALENDAR)),
        ),
        scope_refusal=_GRAPH_SCOPE,
        ways={"application": Way(("tenant_id", "client_id", "client_secret"))},
    ),
    "microsoft365": Vendor(
        {"tenant_id": "{hex}", "client_id": "{hex}", "client_secret": "{token}", "refresh_token": "0.{token}"},
        {"MICROSOFT365_CLIENT_SECRET": "client_secret", "MICROSOFT365_REFRESH_TOKEN": "refresh_token"},
        (
            Route("POST", "/{tenant_id}/oauth2/v2.0/token", _ENTRA_TOKEN),
            Route("POST", "/*/oauth2/v2.0/token", always(_NO_TENANT)),
        ),
        ways={
            "application": Way(
                ("username", "tenant_id", "client_id", "client_secret"),
                {"token_url": "{url}/{{tenant_id}}/oauth2/v2.0/token"},
                mail=True,
            )
        },
    ),
    "indeed": Vendor(
        {"client_id": "{hex}", "client_secret": "{token}"},
        {"INDEED_CLIENT_SECRET": "client_secret"},
        (Route("POST", "/oauth/v2/tokens", token("client_credentials")),),
    ),
    "http": Vendor(
        {"token": "{token}"},
        {"STATUS_API_TOKEN": "token"},
        (
            Route(
                "GET",
                "/v1/me",
                guarded(
                    bearer("token"),
                    Reply(401, {"error": "unauthorized"}, {"WWW-Authenticate": "Bearer"}),
                    {"status": "active"},
                ),
            ),
            *(
                Route("GET", f"/v1/{name}", guarded(proof, Reply(401, {"error": "unauthorized"}), {"status": "active"}))
                for name, proof in (
                    ("basic", basic("{username}", "{password}")),
                    ("header", header("X-API-Key", "{header_value}")),
                )
            ),
        ),
        more={"username": "user-{hex}", "password": "{token}", "header_value": "{token}"},
        ways={
            "basic": Way(("username", "password"), {"auth": "basic", "url": "https://api.example.com/v1/basic"}),
            "header": Way(
                ("header_value",),
                {"auth": "header", "header_name": "X-API-Key", "url": "https://api.example.com/v1/header"},
            ),
        },
    ),
    **vendors_mail.VENDORS,
    **vendors_talk.VENDORS,
    **vendors_work.VENDORS,
}

MAIL: dict[str, MailAccount] = {
    "smtp": MailAccount("mailer-{hex}", {"SMTP_PASSWORD": "password"}, "535 5.7.8 Authentication credentials invalid"),
    "sendgrid": MailAccount(
        "apikey",
        {"SENDGRID_API_KEY": "password"},
        "535 Authentication failed: The provided authorization grant is invalid, expired, or revoked",
        same_as="api_key",
    ),
    "ses": MailAccount(
        "AKIA{hex}",
        {"SES_SMTP_USERNAME": "username", "SES_SMTP_PASSWORD": "password"},
        "535 Authentication Credentials Invalid",
    ),
    **vendors_mail.MAIL,
}


def served() -> dict[str, Vendor]:
    """Return every HTTP vendor: those of the tables, and one for each other provider of the catalogue."""
    missing = [catalogue.get(name) for name in catalogue.names() if name not in VENDORS and name not in MAIL]
    return VENDORS | {provider.name: derived(provider) for provider in missing if provider is not None}
