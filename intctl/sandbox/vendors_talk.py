"""Vendors of messages, meetings and calendars: rows of the table in vendors.py."""

from __future__ import annotations

from intctl.sandbox.http import Reply, Request
from intctl.sandbox.vendor import Account, Route, Vendor, Way, basic, bearer, either, guarded, header, token


def _dav(status: int, inner: str, **headers: str) -> Reply:
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<d:{inner}'
    return Reply(status, text.encode(), {"Content-Type": "application/xml; charset=utf-8", **headers})


def _dav_error(status: int, condition: str, **headers: str) -> Reply:
    return _dav(status, f'error xmlns:d="DAV:"><d:{condition}/></d:error>', **headers)


def _principal(request: Request, account: Account) -> Reply:
    """Reply with the owner of the credential to a valid PROPFIND (RFC 4918 §9.1, RFC 5397)."""
    if not either(basic("{username}", "{password}"), bearer("token"))(request, account):
        return _dav_error(401, "unauthenticated", **{"WWW-Authenticate": 'Basic realm="sandbox"'})
    if request.headers.get("depth") != "0" or b"current-user-principal" not in request.body:
        return _dav_error(400, "bad-request")
    return _dav(
        207,
        (
            f'multistatus xmlns:d="DAV:"><d:response><d:href>{request.path}</d:href><d:propstat><d:prop>'
            f"<d:current-user-principal><d:href>/principals/{account.credentials['username']}/</d:href>"
            "</d:current-user-principal></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
            "</d:multistatus>"
        ),
    )


VENDORS: dict[str, Vendor] = {
    "vonage": Vendor(
        {"api_key": "{hex}", "api_secret": "{token}"},
        {"VONAGE_API_SECRET": "api_secret"},
        (
            Route(
                "GET",
                "/accounts/{api_key}/secrets",
                guarded(
                    basic("{api_key}", "{api_secret}"),
                    Reply(401, {"error-code": "401", "error-code-label": "authentication failed"}),
                    {"_embedded": {"secrets": [{"id": "00000000-0000-0000-0000-000000000000"}]}},
                ),
            ),
        ),
    ),
    "messagebird": Vendor(
        {"access_key": "{token}"},
        {"MESSAGEBIRD_ACCESS_KEY": "access_key"},
        (
            Route(
                "GET",
                "/balance",
                guarded(
                    header("Authorization", "AccessKey {access_key}"),
                    Reply(
                        401,
                        {
                            "errors": [
                                {
                                    "code": 2,
                                    "description": "Request not allowed (incorrect access_key)",
                                    "parameter": "access_key",
                                }
                            ]
                        },
                    ),
                    {"payment": "prepaid", "type": "euros", "amount": 103},
                ),
            ),
        ),
    ),
    "plivo": Vendor(
        {"auth_id": "MA{upper}", "auth_token": "{token}"},
        {"PLIVO_AUTH_TOKEN": "auth_token"},
        (
            Route(
                "GET",
                "/v1/Account/{auth_id}/",
                guarded(
                    basic("{auth_id}", "{auth_token}"),
                    Reply(401, {"error": "Could not verify your access level for that URL."}),
                    {
                        "auth_id": "{auth_id}",
                        "account_type": "standard",
                        "billing_mode": "prepaid",
                        "cash_credits": "98.13",
                    },
                ),
            ),
        ),
        quota_faults={"balance.empty": {"/cash_credits": "0.00"}},
    ),
    "telnyx": Vendor(
        {"api_key": "KEY{hex}"},
        {"TELNYX_API_KEY": "api_key"},
        (
            Route(
                "GET",
                "/v2/balance",
                guarded(
                    bearer("api_key"),
                    Reply(
                        401,
                        {
                            "errors": [
                                {
                                    "code": "10009",
                                    "title": "Authentication failed",
                                    "detail": "Could not understand the provided credentials.",
                                }
                            ]
                        },
                    ),
                    {
                        "data": {
                            "record_type": "balance",
                            "balance": "300.00",
                            "credit_limit": "100.00",
                            "available_credit": "400.00",
                            "pending": "10.00",
                            "currency": "USD",
                        }
                    },
                ),
            ),
        ),
    ),
    "slack": Vendor(
        {"token": "xoxb-{hex}"},
        {"SLACK_TOKEN": "token"},
        (
            Route(
                "GET",
                "/api/auth.test",
                guarded(
                    bearer("token"),
                    Reply(200, {"ok": False, "error": "invalid_auth"}),
                    {"ok": True, "team": "Sandbox", "user": "intctl", "team_id": "T0", "user_id": "U0"},
                ),
            ),
        ),
    ),
    "zoom": Vendor(
        {"account_id": "{hex}", "client_id": "{hex}", "client_secret": "{token}"},
        {"ZOOM_CLIENT_SECRET": "client_secret"},
        (
            Route(
                "POST",
                "/oauth/token",
                token(
                    "account_credentials",
                    wrong_client=Reply(
                        400, {"reason": "Invalid client_id or client_secret", "error": "invalid_client"}
                    ),
                ),
            ),
            Route(
                "GET",
                "/v2/users/me",
                guarded(
                    bearer(),
                    Reply(401, {"code": 124, "message": "Invalid access token."}),
                    {"id": "sandbox", "type": 2, "account_id": "sandbox"},
                ),
            ),
        ),
        scope_refusal=Reply(400, {"code": 4711, "message": "Invalid access token, does not contain scopes."}),
    ),
    "calendly": Vendor(
        {"token": "{token}"},
        {"CALENDLY_TOKEN": "token"},
        (
            Route("POST", "/oauth/token", token("refresh_token", rotates=True, revokes=True)),
            Route(
                "GET",
                "/users/me",
                guarded(
                    either(bearer("token"), bearer()),
                    Reply(401, {"title": "Unauthenticated", "message": "The access token is invalid"}),
                    {"resource": {"uri": "https://api.calendly.com/users/SANDBOX", "email": "sandbox@example.com"}},
                ),
            ),
        ),
        scope_refusal=Reply(403, {"title": "Permission Denied", "message": "You do not have permission"}),
        more={"client_id": "{hex}", "client_secret": "{token}", "refresh_token": "{token}"},
        ways={"oauth": Way(("client_id", "client_secret", "refresh_token"))},
    ),
    "caldav": Vendor(
        {"username": "{hex}@example.org", "password": "{token}"},
        {"CALDAV_PASSWORD": "password"},
        (Route("PROPFIND", "/*", _principal),),
        scope_refusal=_dav_error(403, "need-privileges"),
        more={"token": "{token}"},
        ways={"bearer": Way(("token",))},
    ),
}
