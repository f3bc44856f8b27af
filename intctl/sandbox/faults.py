"""What goes wrong on purpose, by cause code: whom it fits, and how it is done.

A fault is done to one provider; the others stay well. What the client finds is the cause of that
code, said in the vendor's own words where the vendor has words for it.
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

#: How long a vendor that throttles asks us to wait, in seconds.
RETRY_AFTER_S = 30
#: The kinds of providers that a fault fits. `api`: asked something beyond its token; `refresh`: by refresh token.
MAIL_SERVER, HTTP, API, REFRESH = "mail", "http", "api", "refresh"
QUOTA_HIGH, QUOTA_EXHAUSTED, BALANCE_EMPTY = "quota.high", "quota.exhausted", "balance.empty"
_KINDS = {
    MAIL_SERVER: "providers that are reached by SMTP",
    HTTP: "providers that are reached over HTTP",
    API: "providers that are asked more than for a token",
    REFRESH: "providers with a refresh token",
    QUOTA_HIGH: "providers that tell a quota and its limit",
    QUOTA_EXHAUSTED: "providers that tell a quota beyond which they refuse",
    BALANCE_EMPTY: "providers that tell a prepaid balance and stop at zero",
}


@dataclass(frozen=True, slots=True)
class FaultInjection:
    """One thing that can go wrong, and the kinds of providers that it fits."""

    meaning: str
    kinds: tuple[str, ...]


FAULTS: dict[str, FaultInjection] = {
    "tls.expired": FaultInjection("the server's certificate has expired", (MAIL_SERVER, HTTP)),
    "connection.reset": FaultInjection("the connection is reset in mid-exchange", (MAIL_SERVER, HTTP)),
    "reply.timeout": FaultInjection("the connection is taken, then silence", (MAIL_SERVER, HTTP)),
    "deadline": FaultInjection("an answer that drips and does not end", (MAIL_SERVER, HTTP)),
    "starttls.missing": FaultInjection("STARTTLS is stripped", (MAIL_SERVER,)),
    "smtp.auth.rejected": FaultInjection("the password is refused: 535", (MAIL_SERVER,)),
    "temporary": FaultInjection("not now, try later: 454", (MAIL_SERVER,)),
    "http.auth.rejected": FaultInjection("the credential is refused, in the vendor's own words", (HTTP,)),
    "http.scope_missing": FaultInjection(
        "the permission is missing: 403, plain where the vendor has no words for it", (API,)
    ),
    "http.rate_limited": FaultInjection(f"429 with Retry-After: {RETRY_AFTER_S}", (HTTP,)),
    "server.error": FaultInjection("503", (HTTP,)),
    "unexpected.reply": FaultInjection("200 with a web page instead of an answer", (HTTP,)),
    "reauthorise": FaultInjection("the refresh token was revoked: invalid_grant", (REFRESH,)),
    "quota.high": FaultInjection("most of the quota is used", (QUOTA_HIGH,)),
    "quota.exhausted": FaultInjection("the quota is used up", (QUOTA_EXHAUSTED,)),
    "balance.empty": FaultInjection("the prepaid balance is used up", (BALANCE_EMPTY,)),
    "rotated.token.lost": FaultInjection("each refresh gives a new token and kills the old one", (REFRESH,)),
}

#: Done before a login is judged: such a mail server needs a port of its own.
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


#: What the path of a token endpoint looks like.
_EXCHANGE = re.compile("token|/auth$")


def kinds(provider: str) -> frozenset[str]:
    """What a provider of the sandbox is, as far as faults go."""
    found = {MAIL_SERVER} if provider in MAIL else set()
    vendor = served().get(provider)
    if vendor is not None and vendor.routes:  # without, nothing is asked of it
        found.add(HTTP)
        if any(route.method != "POST" or not _EXCHANGE.search(route.path) for route in vendor.routes):
            found.add(API)
        if "refresh_token" in {**vendor.credentials, **vendor.more}:
            found.add(REFRESH)
        found |= set(vendor.quota_faults)
    return frozenset(found)


def applicable(provider: str) -> tuple[str, ...]:
    """The faults that fit this provider."""
    own = kinds(provider)
    return tuple(code for code, fault in FAULTS.items() if own & set(fault.kinds))


def parse(words: Iterable[str]) -> dict[str, str]:
    """Provider and fault of each `NAME=CODE`. Raises UsageError."""
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
    """Refuses what is not there and what does not fit. Raises UsageError."""
    known = (*MAIL, *served())
    for provider, code in faults.items():
        if provider not in known:
            raise UsageError(f'The sandbox has no provider "{provider}"{nearest(provider, known)}')
        if code not in FAULTS:
            raise UsageError(f'There is no fault "{code}"{nearest(code, tuple(FAULTS))}. Known: {", ".join(FAULTS)}')
        if code not in applicable(provider):
            whom = " and ".join(_KINDS[kind] for kind in FAULTS[code].kinds)
            fits = ", ".join(applicable(provider)) or "nothing, for nothing is ever asked of it"
            raise UsageError(f"The fault {code} fits {whom}; {provider} is none. What fits it: {fits}")


class FaultyAccount:
    """An HTTP vendor with which something is wrong. Takes the account's place before its server.

    `secrets` are the credentials that another one takes the place of when they are refused.
    """

    def __init__(self, account: Account, code: str, secrets: Set[str]) -> None:
        self._account = account
        self._code = code
        if code == "http.auth.rejected":
            _forget(account, *_but_the_refresh_token(account, secrets))
        elif code == "reauthorise":
            account.refresh_tokens.clear()

    def answer(self, request: Request) -> Reply:
        """What the vendor says to a request."""
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
    """The reply with other figures in the places that it has."""
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
    """From now on the vendor takes another credential than the one it gave out."""
    for name in names:
        account.credentials[name] = random_text({**account.vendor.credentials, **account.vendor.more}[name])
