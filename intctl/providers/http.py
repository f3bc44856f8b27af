"""Any HTTP API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from intctl.probes.ask import Auth, Basic, Bearer, Header, HttpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, plain_http_problem, secret_of, text_of

#: The fields that each way of showing the credential needs.
NEEDS = {"bearer": ("token",), "basic": ("username", "password"), "header": ("header_name", "header_value")}
_FRAMING = {"host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "expect"}


class Http(Provider):
    """An API of your own choice. Use a URL that answers only with the credential: when the
    integration is added it is asked once more without it, and an open URL is told.
    """

    name = "http"
    title = "HTTP API"
    type = "custom"
    proof = "GET or HEAD of the URL answers with the status and the values that you expect"
    fields = (
        Field("url", "What to ask", kind="url", required=True, destination=True, example="https://api.example.com/me"),
        Field("method", "GET or HEAD", kind="choice", choices=("GET", "HEAD"), default="GET"),
        Field("auth", "How the credential is shown", kind="choice", choices=tuple(NEEDS)),
        Field("token", "Token, for auth: bearer", secret=True),
        Field("username", "User name, for auth: basic"),
        Field("password", "Password, for auth: basic", secret=True),
        Field("header_name", "Header, for auth: header", pattern=r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}",
              example="X-API-Key"),
        Field("header_value", "Value of the header, for auth: header", secret=True),
        Field("expect_status", "Status of a good answer", kind="integer", minimum=200, maximum=599, default=200),
        Field("expect_json", "JSON pointer: value, all of them in a good answer", kind="json"),
        Field("security", "none lets the credential travel over http://", kind="choice", choices=("tls", "none"),
              default="tls", destination=True),
        CA_FILE,
        BASE_URL,
    )

    def check(self, config: Mapping[str, object]) -> list[tuple[str, str]]:
        auth = text_of(config, "auth")
        found = [(name, f"auth: {auth} needs it") for name in NEEDS.get(auth, ()) if name not in config]
        for way, names in NEEDS.items():
            if way != auth:
                found += [(name, f"belongs to auth: {way}") for name in names if name in config]
        if text_of(config, "header_name").lower() in _FRAMING:
            found.append(("header_name", "this header belongs to HTTP itself: give the API's own"))
        found += [(name, "a header holds ASCII characters only") for name in ("token", "header_value")
                  if name in config and not secret_of(config, name).reveal().isascii()]
        if config.get("expect_json") and config.get("method") == "HEAD":
            found.append(("expect_json", "an answer to HEAD has no body: use method: GET"))
        if auth and config.get("security") != "none":
            found += plain_http_problem(config, "url") + plain_http_problem(config, "base_url")
        return found

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        expect_json = cast("Mapping[str, object]", config.get("expect_json") or {})
        return HttpProbe(
            url=asked(config, text_of(config, "url")),
            auth=self._auth(config),
            method="HEAD" if config.get("method") == "HEAD" else "GET",
            expect_status=cast(int, config.get("expect_status", 200)),
            json=bool(expect_json),
            expect_json=expect_json,
            ca_file=text_of(config, "ca_file") or None,
            compare_without=True,
            allow_plain_http=config.get("security") == "none",
        )

    @staticmethod
    def _auth(config: Mapping[str, object]) -> Auth | None:
        match config.get("auth"):
            case "bearer":
                return Bearer(secret_of(config, "token"))
            case "basic":
                return Basic(text_of(config, "username"), secret_of(config, "password"))
            case "header":
                return Header(text_of(config, "header_name"), secret_of(config, "header_value"))
            case _:
                return None
