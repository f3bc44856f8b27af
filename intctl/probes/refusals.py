"""Refusals by HTTP that servers word in ways of their own: rate limits, missing permissions, other logins, TLS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from intctl.probes.spec import Auth, Basic, Bearer, TokenGrant

# The reasons and sentences of a rate limit that is told as 403. Google: "Handle API errors" of Calendar and the
# domain-wide "Resolve errors"; in the newer form ErrorInfo.reason. GitHub: "Rate limits for the REST API".
_LIMIT_REASONS = frozenset(
    {
        "ratelimitexceeded", "userratelimitexceeded", "quotaexceeded", "dailylimitexceeded", "limitexceeded",
        "calendarusagelimitsexceeded", "dailylimitexceededunreg", "concurrentlimitexceeded", "resourceexhausted",
        "ratelimited", "toomanyrequests", "throttled", "throttling", "requestlimitexceeded",
    }
)  # fmt: skip
_LIMIT_SENTENCE = re.compile(rb"\b(rate limit|secondary rate|too many requests|abuse detection)", re.IGNORECASE)
_NO_MORE = re.compile(r"(?:^|[;,\s])(?:remaining|r)\s*=\s*0(?:$|[;,\s])", re.IGNORECASE)

# Sentences of nginx (ngx_http_special_response.c), Apache (mod_ssl) and Go (net/http) in a reply with status 400.
_WORDS_OF_400 = (
    (b"No required SSL certificate was sent", "tls.client_certificate", "the server asks for a client certificate"),
    (b"The SSL certificate error", "tls.client_certificate", "the server does not accept the client certificate"),
    (b"The plain HTTP request was sent to HTTPS port", "tls.from_start", "that is an HTTPS port"),
    (b"speaking plain HTTP to an SSL-enabled server port", "tls.from_start", "that is an HTTPS port"),
    (b"Client sent an HTTP request to an HTTPS server", "tls.from_start", "that is an HTTPS port"),
)

_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9-]*)(?=\s+[A-Za-z0-9]|\s*,|\s*$)")
#: Logins that intctl does not have: a password in the right place would be refused as well.
_OTHER_LOGINS = frozenset({"digest", "negotiate", "ntlm", "kerberos", "mutual", "scram-sha-1", "scram-sha-256"})


def rate_limit(headers: Mapping[str, str], document: Any, body: bytes) -> str:
    """Return why a 403 is a rate limit and no refusal, or ""."""
    if "retry-after" in headers:
        return "with Retry-After"
    for name in ("x-ratelimit-remaining", "x-rate-limit-remaining", "ratelimit-remaining"):
        if headers.get(name, "").strip() == "0":
            return "nothing remains of the rate limit"
    if _NO_MORE.search(headers.get("ratelimit", "")):
        return "nothing remains of the rate limit"
    if any(re.sub("[^a-z]", "", text.lower()) in _LIMIT_REASONS for text in _texts(document)):
        return "a rate limit"
    return "a rate limit" if _LIMIT_SENTENCE.search(body) else ""


def known(auth: Auth | None, status: int, headers: Mapping[str, str], body: bytes) -> tuple[str, str] | None:
    """Return code and detail of a refusal that says more than its status, or None."""
    if status == 400:
        return next(((code, detail) for words, code, detail in _WORDS_OF_400 if words in body), None)
    if status not in (401, 403):
        return None
    asked = headers.get("www-authenticate", "")
    if re.search(r"error\s*=\s*\"?insufficient_scope", asked):  # RFC 6750 §3.1
        return "http.scope_missing", f"HTTP {status}, insufficient_scope"
    if status == 401 and (schemes := _other_schemes(auth, asked)):
        return "auth.method", f"HTTP 401, it offers {', '.join(schemes)}"
    return None


def _other_schemes(auth: Auth | None, asked: str) -> list[str]:
    """The schemes of a 401 if none of them is the one that was sent. Many APIs offer Basic beside or for a token."""
    without_values = re.sub(r'"(?:[^"\\]|\\.)*"', "x", asked)
    schemes = _SCHEME.findall(without_values)
    offered = {name.lower() for name in schemes}
    if isinstance(auth, Basic):
        return schemes if offered and "basic" not in offered else []
    if isinstance(auth, Bearer | TokenGrant):
        return schemes if offered and offered <= _OTHER_LOGINS else []
    return []


def _texts(document: Any) -> Iterator[str]:
    """The texts of a document, at any depth: a vendor's reason may be in a list of errors."""
    todo = [document]
    while todo:
        found = todo.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, dict):
            todo += found.values()
        elif isinstance(found, list):
            todo += found
