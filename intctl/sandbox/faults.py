"""Fault injection, by cause code: which providers a fault fits, and its implementation.

A fault affects one provider; the others stay healthy. The client finds the cause of that code, in
the vendor's own reply if the vendor has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from intctl.errors import UsageError
from intctl.sandbox.http import Reply, Request
from intctl.sandbox.vendor import fields_of
from intctl.sandbox.vendors import MAIL, Account, random_text, served
from intctl.text import nearest

#: The Retry-After of a throttling vendor, in seconds.
RETRY_AFTER_S = 30
#: The kinds of providers that a fault fits. `api`: gets a request besides the token's; `refresh`: has a refresh token.
MAIL_SERVER, HTTP, API, REFRESH = "mail", "http", "api", "refresh"
QUOTA_HIGH, QUOTA_EXHAUSTED, BALANCE_EMPTY = "quota.high", "quota.exhausted", "balance.empty"
_KINDS = {
    MAIL_SERVER: "providers that are reached by SMTP",
    HTTP: "providers that are reached over HTTP",
    API: "providers whose probe is more than a token exchange",
    REFRESH: "providers with a refresh token",
    QUOTA_HIGH: "providers that report a quota and its limit",
    QUOTA_EXHAUSTED: "providers that report a quota and refuse requests beyond it",
    BALANCE_EMPTY: "providers that report a prepaid balance and stop at zero",
}


@dataclass(frozen=True, slots=True)
class FaultInjection:
    """A fault and the kinds of providers that it fits."""

    meaning: str
    kinds: tuple[str, ...]


FAULTS: dict[str, FaultInjection] = {
    "tls.expired": FaultInjection("the server's certificate has expired", (MAIL_SERVER, HTTP)),
    "connection.reset": FaultInjection("the connection is reset during the exchange", (MAIL_SERVER, HTTP)),
    "reply.timeout": FaultInjection("the server accepts the connection and never replies", (MAIL_SERVER, HTTP)),
    "deadline": FaultInjection("the reply arrives slowly and never ends", (MAIL_SERVER, HTTP)),
    "starttls.missing": FaultInjection("STARTTLS is stripped", (MAIL_SERVER,)),
    "smtp.auth.rejected": FaultInjection("the server refuses the password: 535", (MAIL_SERVER,)),
    "temporary": FaultInjection("the server reports a temporary failure: 454", (MAIL_SERVER,)),
    "http.auth.rejected": FaultInjection("the vendor refuses the credential, with its own reply", (HTTP,)),
    "http.scope_missing": FaultInjection(
        "the permission is missing: 403, generic if the vendor has no reply of its own", (API,)
    ),
    "http.rate_limited": FaultInjection(f"429 with Retry-After: {RETRY_AFTER_S}", (HTTP,)),
    "server.error": FaultInjection("503", (HTTP,)),
    "unexpected.reply": FaultInjection("200 with a web page instead of the expected reply", (HTTP,)),
    "reauthorise": FaultInjection("the refresh token was revoked: invalid_grant", (REFRESH,)),
    "quota.high": FaultInjection("most of the quota is used", (QUOTA_HIGH,)),
    "quota.exhausted": FaultInjection("the quota is used up", (QUOTA_EXHAUSTED,)),
    "balance.empty": FaultInjection("the prepaid balance is used up", (BALANCE_EMPTY,)),
    "rotated.token.lost": FaultInjection("each refresh returns a new token and revokes the old one", (REFRESH,)),
}

#: Faults before the login: such a mail server needs its own port.
ON_THE_LINE = frozenset({"tls.expired", "connection.reset", "reply.timeout", "deadline", "starttls.missing"})

_PAGE = Reply(
    200, b"<!doctype html><title>Sign in</title><h1>Please sign in</h1>", {"Content-Type": "text/html; charset=utf-8"}
)
_INSTEAD = {
    "http.rate_limited": Reply(429, {"error": "rate_limited"}, {"Retry-After": str(RETRY_AFTER_S)}),
    "server.error": Reply(503, {"error": "service_unavailable"}),
    "unexpected.reply": _PAGE,
    "reply.timeout": Reply(manner="silent"),
    "deadline": Reply(manner="drip"),
    "connection.reset": Reply(manner="reset"),
}


#: The form of a token endpoint's path.
_EXCHANGE = re.compile("token|/auth$")


def kinds(provider: str) -> frozenset[str]:
    """Return the kinds of a provider of the sandbox, for its faults."""
    found = {MAIL_SERVER} if provider in MAIL else set()
    vendor = served().get(provider)
    if vendor is not None and vendor.routes:  # without routes, it gets no requests
        found.add(HTTP)
        if any(route.method != "POST" or not _EXCHANGE.search(route.path) for route in vendor.routes):
            found.add(API)
        if "refresh_token" in {**vendor.credentials, **vendor.more}:
            found.add(REFRESH)
        found |= set(vendor.quota_faults)
    return frozenset(found)


def applicable(provider: str) -> tuple[str, ...]:
    """Return the faults that fit this provider."""
    own = kinds(provider)
    return tuple(code for code, fault in FAULTS.items() if own & set(fault.kinds))


def parse(words: Iterable[str]) -> dict[str, str]:
    """Parse each `NAME=CODE` into provider and fault. Raises UsageError."""
    found: dict[str, str] = {}
    for word in words:
        provider, equals, code = word.partition("=")
        if not equals:
            raise UsageError(f'--fault: "{word}" is not of the form NAME=CODE, such as sendgrid=smtp.auth.rejected')
        if found.setdefault(provider, code) != code:
            raise UsageError(f"--fault: {provider} can have one fault at a time")
    check(found)
    return found


def check(faults: Mapping[str, str]) -> None:
    """Refuse unknown providers and faults, and faults that do not fit. Raises UsageError."""
    known = (*MAIL, *served())
    for provider, code in faults.items():
        if provider not in known:
            raise UsageError(f'The sandbox has no provider "{provider}"{nearest(provider, known)}')
        if code not in FAULTS:
            raise UsageError(f'There is no fault "{code}"{nearest(code, tuple(FAULTS))}. Known: {", ".join(FAULTS)}')
        if code not in applicable(provider):
            whom = " and ".join(_KINDS[kind] for kind in FAULTS[code].kinds)
            fits = ", ".join(applicable(provider)) or "none, because it gets no requests"
            raise UsageError(f"The fault {code} fits {whom}, not {provider}. Faults that fit {provider}: {fits}")


class FaultyAccount:
    """An HTTP vendor with a fault. Its server uses it instead of the account.

    `secrets` are the credentials that are replaced so that the issued ones are refused.
    """

    def __init__(self, account: Account, code: str, secrets: Set[str]) -> None:
        self._account = account
        self._code = code
        if code == "http.auth.rejected":
            _forget(account, *_but_the_refresh_token(account, secrets))
        elif code == "reauthorise":
            account.refresh_tokens.clear()

    def answer(self, request: Request) -> Reply:
        """Return the vendor's reply to a request."""
        if instead := _INSTEAD.get(self._code):
            return instead
        reply = self._account.answer(request)
        granted = isinstance(reply.body, dict) and "access_token" in reply.body
        if self._code == "http.scope_missing" and reply.status < 300 and not granted:
            return self._account.vendor.scope_refusal
        if reply.status < 300 and (figures := self._account.vendor.quota_faults.get(self._code)):
            return _with_figures(reply, figures)
        if self._code == "rotated.token.lost" and granted:
            return self._rotated(request, reply)
        return reply

    def _rotated(self, request: Request, reply: Reply) -> Reply:
        used = fields_of(request).get("refresh_token", "")
        self._account.refresh_tokens.discard(used)
        body = dict(reply.body) if isinstance(reply.body, dict) else {}
        successor = body.setdefault("refresh_token", random_text("rt-{token}"))
        self._account.refresh_tokens.add(str(successor))
        return replace(reply, body=body)


def _with_figures(reply: Reply, figures: Mapping[str, object]) -> Reply:
    """The reply with its figures replaced; places that it does not have are ignored."""
    body, headers = deepcopy(reply.body), dict(reply.headers)
    for place, figure in figures.items():
        *way, last = place.lstrip("/").split("/")
        inner: Any = body
        for step in way:
            inner = inner[int(step)] if isinstance(inner, list) else inner.get(step, {})
        if place.startswith("/") and isinstance(inner, dict) and last in inner:
            inner[last] = figure
        elif place in headers:
            headers[place] = str(figure)
    return replace(reply, body=body, headers=headers)


def _but_the_refresh_token(account: Account, secrets: Set[str]) -> list[str]:
    secret = secrets & set(account.credentials)
    return sorted(secret - {"refresh_token"} or secret)


def _forget(account: Account, *names: str) -> None:
    """Make the vendor accept a different credential than the issued one."""
    for name in names:
        account.credentials[name] = random_text({**account.vendor.credentials, **account.vendor.more}[name])
