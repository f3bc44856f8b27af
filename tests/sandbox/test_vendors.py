"""Each vendor's own replies to right and wrong credentials."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from time import time

import httpx
import pytest

from intctl.probes.jwt import signed
from intctl.probes.spec import SignedJwt
from intctl.sandbox import Sandbox
from intctl.sandbox.authority import private_key
from intctl.text import Secret

WRONG = "wrong"


def credentials(box: Sandbox, vendor: str, **wrong: str) -> dict[str, str]:
    return {**box.accounts[vendor].credentials, **wrong}


def ask_basic(box: Sandbox, web: httpx.Client, vendor: str, path: str, user: str, password: str) -> httpx.Response:
    return web.get(box.url(vendor) + path, auth=(user, password))


def ask_token(box: Sandbox, web: httpx.Client, vendor: str, path: str, **form: str) -> httpx.Response:
    return web.post(box.url(vendor) + path, data=form)


def test_twilio(box: Sandbox, web: httpx.Client) -> None:
    """Twilio: the account with the right token; 401 with code 20003 for a wrong token or account."""
    right = credentials(box, "twilio")
    sid, key = right["account_sid"], right["auth_token"]
    path = f"/2010-04-01/Accounts/{sid}.json"
    good = ask_basic(box, web, "twilio", path, sid, key)
    assert (good.status_code, good.json()["sid"], good.json()["status"]) == (200, sid, "active")
    assert "auth_token" not in good.json()
    for answer in (
        ask_basic(box, web, "twilio", path, sid, WRONG),
        ask_basic(box, web, "twilio", path, WRONG, key),
        ask_basic(box, web, "twilio", "/2010-04-01/Accounts/AC0.json", sid, key),
        web.get(box.url("twilio") + path),
    ):
        assert (answer.status_code, answer.json()["code"]) == (401, 20003)


def test_bamboohr(box: Sandbox, web: httpx.Client) -> None:
    """BambooHR: the key is the user name, the password is not checked; 401 without a body."""
    key = credentials(box, "bamboohr")["api_key"]
    for path in ("/api/v1/company_information", "/api/v1/meta/fields"):
        assert ask_basic(box, web, "bamboohr", path, key, "x").status_code == 200
        refused = ask_basic(box, web, "bamboohr", path, WRONG, "x")
        assert (refused.status_code, refused.content) == (401, b"")


def test_checkr(box: Sandbox, web: httpx.Client) -> None:
    """Checkr: the key is the user name; its edge refuses requests without User-Agent."""
    key = credentials(box, "checkr")["api_key"]
    assert ask_basic(box, web, "checkr", "/v1/account", key, "").status_code == 200
    refused = ask_basic(box, web, "checkr", "/v1/account", WRONG, "")
    assert (refused.status_code, refused.json()) == (401, {"error": "Bad authentication error"})
    blocked = web.get(box.url("checkr") + "/v1/account", auth=(key, ""), headers={"User-Agent": ""})
    assert (blocked.status_code, blocked.json()) == (403, {"error": "Request blocked"})


def test_senseless_requests_are_survived(box: Sandbox, web: httpx.Client, trust: ssl.SSLContext) -> None:
    """Plain text, a cut request, an endless head and broken Base64 end their own connection only."""
    url = box.url("checkr") + "/v1/account"
    address = ("127.0.0.1", box.ports["checkr"])
    with socket.create_connection(address, timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while plain.recv(4096):
            pass
    for start in (b"GET / HTTP/1.1\r\nHost", b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000):
        connection = socket.create_connection(address, timeout=10)
        with trust.wrap_socket(connection, server_hostname="localhost") as wrapped:
            wrapped.sendall(start)
            with suppress(OSError):
                wrapped.unwrap()
    assert web.get(url, headers={"Authorization": "Basic !"}).status_code == 401


def test_http(box: Sandbox, web: httpx.Client) -> None:
    """The generic API: GET and HEAD with a bearer token; 401 without it; 404 elsewhere."""
    url, key = box.url("http") + "/v1/me", credentials(box, "http")["token"]
    right = {"Authorization": f"Bearer {key}"}
    assert web.get(url, headers=right).json() == {"status": "active"}
    head = web.head(url, headers=right)
    assert (head.status_code, head.content) == (200, b"")
    assert web.get(url, headers={"Authorization": f"Bearer {WRONG}"}).status_code == 401
    assert web.get(url, headers={"Authorization": "Basic !"}).status_code == 401
    assert web.get(box.url("http") + "/", headers=right).status_code == 404


TOKENS = {
    "google": ("/token", "refresh_token"),
    "microsoft": ("/{tenant_id}/oauth2/v2.0/token", "refresh_token"),
    "indeed": ("/oauth/v2/tokens", "client_credentials"),
}


@pytest.mark.parametrize("vendor", TOKENS)
@pytest.mark.parametrize("client_in", ["body", "basic"])
def test_token_endpoints(box: Sandbox, web: httpx.Client, vendor: str, client_in: str) -> None:
    """A token for the right client and grant; 401 invalid_client and 400 invalid_grant for wrong ones."""
    right = credentials(box, vendor)
    path, grant = TOKENS[vendor]

    def ask(given: Mapping[str, str], grant: str = grant) -> httpx.Response:
        form = {"grant_type": grant, "refresh_token": given.get("refresh_token", "")}
        client = (given["client_id"], given["client_secret"])
        if client_in == "body":
            form |= {"client_id": client[0], "client_secret": client[1]}
        url = box.url(vendor) + path.format_map(right)
        return web.post(url, data=form, auth=httpx.BasicAuth(*client) if client_in == "basic" else httpx.Auth())

    assert ask(right).json()["access_token"] in box.accounts[vendor].access_tokens
    for field in ("client_id", "client_secret"):
        refused = ask({**right, field: WRONG})
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    if grant == "refresh_token":
        refused = ask({**right, "refresh_token": WRONG})
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert ask(right, "password").json() == {"error": "unsupported_grant_type"}


def test_microsoft_rotates_and_knows_its_tenant(box: Sandbox, web: httpx.Client) -> None:
    """Microsoft: each reply has a new refresh token, which is valid too; a wrong tenant is reported as one."""
    right = credentials(box, "microsoft")
    path = "/{tenant_id}/oauth2/v2.0/token".format_map(right)
    form = {key: right[key] for key in ("client_id", "client_secret", "refresh_token")} | {
        "grant_type": "refresh_token"
    }
    first = ask_token(box, web, "microsoft", path, **form).json()
    second = ask_token(box, web, "microsoft", path, **{**form, "refresh_token": first["refresh_token"]}).json()
    assert len({right["refresh_token"], first["refresh_token"], second["refresh_token"]}) == 3
    lost = ask_token(box, web, "microsoft", "/other/oauth2/v2.0/token", **form)
    assert (lost.status_code, lost.json()["error_description"][:12]) == (400, "AADSTS90002:")
    for api in ("/v1.0/me", "/v1.0/me/calendar", "/v1.0/users/a@b.example/calendar"):
        url = box.url("microsoft") + api
        assert web.get(url, headers={"Authorization": f"Bearer {second['access_token']}"}).status_code == 200
        assert web.get(url, headers={"Authorization": f"Bearer {WRONG}"}).status_code == 401


def test_google_calendar_wants_a_handed_out_token(box: Sandbox, web: httpx.Client) -> None:
    """Google: the calendar list accepts only an access token from the token endpoint."""
    right = credentials(box, "google")
    token = ask_token(box, web, "google", "/token", grant_type="refresh_token", **right).json()["access_token"]
    url = box.url("google") + "/calendar/v3/users/me/calendarList?maxResults=1"
    assert web.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    refused = web.get(url, headers={"Authorization": f"Bearer {right['refresh_token']}"})
    assert (refused.status_code, refused.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_google_checks_a_statement_for_real(box: Sandbox, web: httpx.Client) -> None:
    """Google: a statement is accepted if signed, of this account, for this endpoint, recent and for the scope."""
    right, url = credentials(box, "google"), box.url("google") + "/token"
    audience, scope = "https://oauth2.googleapis.com/token", "https://www.googleapis.com/auth/calendar.readonly"
    good = SignedJwt(audience, right["service_account"], Secret(right["private_key"]), audience, scope, "p@example.com")

    def ask(statement: str) -> httpx.Response:
        return web.post(url, data={"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": statement})

    taken = ask(signed(good, time()))
    assert taken.json()["access_token"] in box.accounts["google"].access_tokens
    head, claims, signature = signed(good, time()).split(".")
    for statement in (
        signed(replace(good, private_key=Secret(private_key())), time()),
        signed(replace(good, issuer="robot@other.example"), time()),
        signed(replace(good, audience="https://other.example/token"), time()),
        signed(replace(good, scope="https://www.googleapis.com/auth/drive"), time()),
        signed(good, time() - 4000),
        signed(good, time() + 4000),
        f"{head}.{claims[:-4]}AAAA.{signature}",
        f"{head}.{claims}.",
        f"{head}.{claims}",
        "no statement",
        "",
    ):
        refused = ask(statement)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant"), statement
        assert refused.json()["error_description"]


def test_caldav_wants_a_propfind(box: Sandbox, web: httpx.Client) -> None:
    """CalDAV: 207 and the principal for a valid PROPFIND; 401, 400 and 404 as from a real server."""
    right, url = credentials(box, "caldav"), box.url("caldav") + "/remote.php/dav"
    question = '<propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>'
    login, headers = (right["username"], right["password"]), {"Depth": "0"}
    good = web.request("PROPFIND", url, auth=login, headers=headers, content=question)
    assert good.status_code == 207
    assert f"<d:href>/principals/{right['username']}/</d:href>" in good.text
    refused = web.request("PROPFIND", url, auth=(login[0], WRONG), headers=headers, content=question)
    assert (refused.status_code, refused.headers["www-authenticate"][:5]) == (401, "Basic")
    assert web.request("PROPFIND", url, auth=login, headers={"Depth": "infinity"}, content=question).status_code == 400
    assert web.request("PROPFIND", url, auth=login, headers=headers, content="<propfind/>").status_code == 400
    assert web.get(url, auth=login).status_code == 404


def test_adp_wants_the_client_certificate(box: Sandbox, web: httpx.Client) -> None:
    """ADP: without a certificate of the sandbox's authority no HTTP answer at all; with it, OAuth as usual."""
    right = credentials(box, "adp")
    url, form = box.url("adp") + "/auth/oauth/v2/token", {"grant_type": "client_credentials"}
    with pytest.raises(httpx.TransportError):
        web.post(url, data={**form, **right})
    context = ssl.create_default_context(cafile=box.ca_file)
    context.load_cert_chain(box.client_certificate, box.client_key)
    with httpx.Client(verify=context, trust_env=False) as known:
        assert known.post(url, data={**form, **right}).status_code == 200
        refused = known.post(url, data={**form, **right, "client_secret": WRONG})
    assert (refused.status_code, refused.json()) == (401, {"error": "invalid_client"})
