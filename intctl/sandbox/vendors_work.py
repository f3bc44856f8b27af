"""Vendors of people, pay, hiring and customers: rows of the table in vendors.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from time import time

from intctl.probes.sigv4 import signed
from intctl.probes.spec import SigV4
from intctl.sandbox.http import Reply, Request
from intctl.sandbox.vendor import (
    Account,
    Proof,
    Route,
    Vendor,
    Way,
    always,
    basic,
    bearer,
    both,
    fields_of,
    granted,
    guarded,
    header,
    same,
    token,
)
from intctl.text import Secret

_UNAUTHORIZED = Reply(401, {"error": "Unauthorized"})
_CLIENT = {"client_id": "{hex}", "client_secret": "{token}"}
_REFRESHED = {**_CLIENT, "refresh_token": "rt-{token}"}


def _exchange(name: str, path: str, *more: Route, **fields: str) -> Vendor:
    """A vendor with client credentials; `name` is the prefix of its example's variables."""
    return Vendor(
        {**fields, **_CLIENT},
        {f"{name}_CLIENT_SECRET": "client_secret"},
        (Route("POST", path, token("client_credentials")), *more),
    )


def _refresh(name: str, path: str, *more: Route, rotates: bool = False, **fields: str) -> Vendor:
    """A vendor with a refresh token, or without one with client credentials."""
    return Vendor(
        {**fields, **_REFRESHED},
        {f"{name}_CLIENT_SECRET": "client_secret", f"{name}_REFRESH_TOKEN": "refresh_token"},
        (Route("POST", path, token("refresh_token", "client_credentials", rotates=rotates, revokes=rotates)), *more),
    )


def _key(
    field: str,
    variable: str,
    path: str,
    proof: Proof,
    body: object,
    refusal: Reply = _UNAUTHORIZED,
    method: str = "GET",
    **fields: str,
) -> Vendor:
    """A vendor with a static key, and one call that proves it."""
    return Vendor(
        {**fields, field: "{token}"}, {variable: field}, (Route(method, path, guarded(proof, refusal, body)),)
    )


def _kept(field: str, variable: str) -> Vendor:
    """A vendor that gets no requests: no read-only call is known."""
    return Vendor({field: "{token}"}, {variable: field})


def _personio(request: Request, account: Account) -> Reply:
    """The token call of Personio's v1 API: client id and secret as a form, the token inside `data`."""
    form, right = fields_of(request), account.credentials
    if not all(same(form.get(name, ""), right[name]) for name in ("client_id", "client_secret")):
        return Reply(403, {"success": False, "error": {"code": 0, "message": "Wrong credentials"}})
    return Reply(200, {"success": True, "data": {"token": granted(account)["access_token"], "expires_in": 86400}})


def _s3_error(status: int, code: str) -> Reply:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return Reply(status, text.encode(), {"Content-Type": "application/xml"})


def _s3(request: Request, account: Account) -> Reply:
    """List one key of the bucket, for a request signed with the valid keys within 15 minutes of now."""
    credentials, given = account.credentials, request.headers.get("authorization", "")
    credential = given.partition("Credential=")[2].partition(",")[0].split("/")
    if not given:
        return _s3_error(403, "AccessDenied")
    if len(credential) != 5 or credential[0] != credentials["access_key_id"]:
        return _s3_error(403, "InvalidAccessKeyId")
    try:
        moment = datetime.strptime(request.headers.get("x-amz-date", ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return _s3_error(403, "AccessDenied")
    if abs(moment.timestamp() - time()) > 900:
        return _s3_error(403, "RequestTimeTooSkewed")
    signing = SigV4(credential[0], Secret(credentials["secret_access_key"]), credential[2], "s3")
    url = f"https://{request.headers.get('host', '')}{request.path}?{request.query}"
    if not same(given, signed(signing, "GET", url, request.body, moment.timestamp())["Authorization"]):
        return _s3_error(403, "SignatureDoesNotMatch")
    text = "<ListBucketResult><Name>my-bucket</Name><KeyCount>0</KeyCount></ListBucketResult>"
    return Reply(200, text.encode(), {"Content-Type": "application/xml"})


VENDORS: dict[str, Vendor] = {
    # People
    "hibob": _key(
        "token",
        "HIBOB_TOKEN",
        "/v1/company/named-lists",
        basic("{service_user_id}", "{token}"),
        [{"name": "department", "values": []}],
        service_user_id="SERVICE-{hex}",
    ),
    "workday": replace(
        _refresh("WORKDAY", "/ccx/oauth2/{tenant}/token", tenant="{hex}"),
        ways={"client": Way(("tenant", "client_id", "client_secret"))},
    ),
    "personio": replace(
        _exchange("PERSONIO", "/v2/auth/token", Route("POST", "/v1/auth", _personio)),
        ways={"v2": Way(tuple(_CLIENT), {"api": "v2"})},
    ),
    "rippling": _key("api_token", "RIPPLING_API_TOKEN", "/workers", bearer("api_token"), {"results": [{"id": "1"}]}),
    "ukg": replace(
        _exchange(
            "UKG",
            "/ta/rest/v2/companies/{tenant}/oauth2/token",
            Route("POST", "/signin/oauth2/t/{tenant}/access_token", token("client_credentials")),
            Route("POST", "/oauth/token", token("http://auth0.com/oauth/grant-type/password-realm")),
            Route(
                "GET",
                "/configuration/v1/company-details",
                guarded(
                    both(basic("{username}", "{password}"), header("US-Customer-Api-Key", "{customer_api_key}")),
                    _UNAUTHORIZED,
                    [{"companyID": "SANDBOX"}],
                ),
            ),
            tenant="{hex}",
        ),
        more={"username": "service-{hex}", "password": "{token}", "customer_api_key": "{upper}"},
        ways={
            "pro": Way(("tenant", *_CLIENT), {"product": "pro"}),
            "wfm": Way(("tenant", *_CLIENT, "username", "password"), {"product": "wfm"}),
            "hcm": Way(("username", "password", "customer_api_key"), {"product": "hcm"}),
        },
    ),
    # Pay
    "gusto": _refresh(
        "GUSTO",
        "/oauth/token",
        Route(
            "GET",
            "/v1/token_info",
            guarded(
                bearer(),
                _UNAUTHORIZED,
                {"scope": "companies:read", "resource": {"type": "Company", "uuid": "sandbox"}, "resource_owner": None},
            ),
        ),
        rotates=True,
    ),
    "paychex": _exchange(
        "PAYCHEX",
        "/auth/oauth/v2/token",
        Route(
            "GET",
            "/companies",
            guarded(bearer(), _UNAUTHORIZED, {"content": [{"companyId": "1", "displayName": "Sandbox"}], "links": []}),
        ),
    ),
    "quickbooks": _refresh(
        "QUICKBOOKS",
        "/oauth2/v1/tokens/bearer",
        Route(
            "GET",
            "/v3/company/*/companyinfo/*",
            guarded(
                bearer(),
                Reply(
                    401,
                    {
                        "fault": {
                            "error": [{"code": "3200", "message": "AuthenticationFailed"}],
                            "type": "AUTHENTICATION",
                        }
                    },
                ),
                {"CompanyInfo": {"CompanyName": "Sandbox"}},
            ),
        ),
    ),
    "paylocity": _exchange("PAYLOCITY", "/public/security/v1/token"),
    "xero": replace(
        _refresh(
            "XERO",
            "/connect/token",
            Route(
                "GET",
                "/Connections",
                guarded(
                    bearer(),
                    Reply(401, {"Title": "Unauthorized", "Status": 401, "Detail": "AuthenticationUnsuccessful"}),
                    [{"id": "1", "tenantId": "sandbox", "tenantName": "Sandbox", "tenantType": "ORGANISATION"}],
                ),
            ),
            rotates=True,
        ),
        ways={"custom-connection": Way(tuple(_CLIENT))},
    ),
    # Background checks
    "sterling": _exchange("STERLING", "/oauth/token"),
    "certn": _exchange("CERTN", "/oauth/token"),
    "goodhire": _kept("api_key", "GOODHIRE_API_KEY"),
    "hireright": _kept("password", "HIRERIGHT_PASSWORD"),
    # Hiring
    "linkedin": _key(
        "access_token", "LINKEDIN_ACCESS_TOKEN", "/v2/userinfo", bearer("access_token"), {"sub": "sandbox"}
    ),
    "ziprecruiter": _kept("api_key", "ZIPRECRUITER_API_KEY"),
    "greenhouse": replace(
        _exchange(
            "GREENHOUSE",
            "/token",
            Route("GET", "/v3/users", guarded(bearer(), _UNAUTHORIZED, [{"id": 1}])),
            Route("GET", "/v1/users", guarded(basic("{api_key}", ""), _UNAUTHORIZED, [{"id": 1}])),
        ),
        more={"api_key": "{token}"},
        ways={"v1": Way(("api_key",))},
    ),
    "lever": _key("api_key", "LEVER_API_KEY", "/v1/users", basic("{api_key}", ""), {"data": [], "hasNext": False}),
    "workable": _key(
        "api_token",
        "WORKABLE_API_TOKEN",
        "/spi/v3/accounts",
        bearer("api_token"),
        {"accounts": [{"subdomain": "sandbox"}]},
    ),
    "ashby": replace(
        _key(
            "api_key",
            "ASHBY_API_KEY",
            "/apiKey.info",
            basic("{api_key}", ""),
            {"success": True, "results": {"title": "Sandbox", "scopes": []}},
            Reply(200, {"success": False, "errors": ["invalid_api_key"]}),
            "POST",
        ),
        scope_refusal=Reply(403, {"success": False, "errors": ["missing_endpoint_permission"]}),
    ),
    "smartrecruiters": _key(
        "api_key",
        "SMARTRECRUITERS_API_KEY",
        "/configuration/company",
        header("X-SmartToken", "{api_key}"),
        {"name": "Sandbox", "identifier": "sandbox"},
    ),
    "monster": _kept("password", "MONSTER_PASSWORD"),
    "glassdoor": _kept("partner_key", "GLASSDOOR_PARTNER_KEY"),
    # Files
    "s3": Vendor(
        {"access_key_id": "AKIA{hex}", "secret_access_key": "{token}"},
        {"AWS_SECRET_ACCESS_KEY": "secret_access_key"},
        (Route("GET", "/my-bucket", _s3), Route("GET", "/*", always(_s3_error(404, "NoSuchBucket")))),
        scope_refusal=_s3_error(403, "AccessDenied"),
    ),
    # Customers
    "salesforce": Vendor(
        _CLIENT,
        {"SALESFORCE_CLIENT_SECRET": "client_secret"},
        (
            Route(
                "POST",
                "/services/oauth2/token",
                token(
                    "client_credentials",
                    wrong_client=Reply(
                        400, {"error": "invalid_client", "error_description": "invalid client credentials"}
                    ),
                ),
            ),
            Route(
                "GET",
                "/services/data/*/limits",
                guarded(
                    bearer(),
                    Reply(401, [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]),
                    {"DailyApiRequests": {"Max": 15000, "Remaining": 14982}},
                ),
            ),
        ),
        quota_faults={"quota.high": {"/DailyApiRequests/Remaining": 1200}},
    ),
    "hubspot": Vendor(
        {"access_token": "{token}"},
        {"HUBSPOT_ACCESS_TOKEN": "access_token"},
        tuple(
            Route(
                "GET",
                f"/account-info/2026-09/{path}",
                guarded(
                    bearer("access_token"), Reply(401, {"status": "error", "category": "INVALID_AUTHENTICATION"}), body
                ),
            )
            for path, body in (
                ("details", {"portalId": 123456, "accountType": "STANDARD"}),
                (
                    "api-usage/daily/private-apps",
                    {
                        "results": [
                            {
                                "name": "private-apps-api-calls-daily",
                                "currentUsage": 247,
                                "usageLimit": 500000,
                                "fetchStatus": "SUCCESS",
                            }
                        ]
                    },
                ),
            )
        ),
        quota_faults={"quota.high": {"/results/0/currentUsage": 471000}},
    ),
    "pipedrive": Vendor(
        {"api_token": "{token}"},
        {"PIPEDRIVE_API_TOKEN": "api_token"},
        (
            Route(
                "GET",
                "*/v1/users/me",
                guarded(
                    header("x-api-token", "{api_token}"),
                    Reply(401, {"success": False, "error": "unauthorized access"}),
                    {"success": True, "data": {"id": 1, "company_name": "Sandbox"}},
                    {"x-daily-ratelimit-token-limit": "150000", "x-daily-ratelimit-token-remaining": "149750"},
                ),
            ),
        ),
        quota_faults={"quota.high": {"x-daily-ratelimit-token-remaining": 9000}},
    ),
    # Anything
    "tcp": Vendor({}, {}, scheme="tcp"),
}
