"""The meaning of an HTTP reply. Bodies are not kept, only the scalar values that a probe points to."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from math import isfinite
from typing import Any

from intctl import __version__
from intctl.probes import refusals
from intctl.probes.masking import REPEATED
from intctl.probes.spec import Answer, HttpProbe
from intctl.probes.trace import Trace

#: Longest wait that a provider can request, in seconds.
MAX_RETRY_AFTER_S = 3600
#: A smaller difference between the clocks is not reported, in seconds.
CLOCK_SKEW_S = 60

#: The headers of every request.
HEADERS = {
    "User-Agent": f"intctl/{__version__}",
    "Accept": "application/json, */*;q=0.5",
    "Accept-Encoding": "identity",
    "Connection": "close",
}

MISSING = object()

#: zlib's window sizes for each coding: gzip; zlib, and the bare data that some servers send as deflate.
_WINDOWS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}

#: Code, detail, Retry-After.
Judgement = tuple[str, str, int | None]

_BY_STATUS = {
    401: "http.auth.rejected",
    403: "http.forbidden",
    404: "not.found",
    410: "not.found",
    429: "http.rate_limited",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. Header names are in lower case. `cut` says that the body was longer than the limit.

    `fault` is the code of an error after the status line: the rest is what came until then.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool
    fault: str = ""

    @property
    def opaque(self) -> bool:
        """Whether the body cannot be read: cut, or compressed although the request asked for identity."""
        return self.cut or self.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")

    def inflated(self, limit: int) -> Reply:
        """Return the reply with a compressed body inflated, up to `limit` bytes. Some servers compress unasked."""
        coding = self.headers.get("content-encoding", "").strip().lower()
        if coding not in _WINDOWS or not self.body:
            return self
        for window in _WINDOWS[coding]:
            inflating = zlib.decompressobj(window)
            with suppress(zlib.error):
                body = inflating.decompress(self.body, limit + 1)
                headers = {name: value for name, value in self.headers.items() if name != "content-encoding"}
                return replace(self, headers=headers, body=body[:limit], cut=self.cut or len(body) > limit)
        return self

    def json(self, *, constants: bool = False) -> Any:
        """Return the body as JSON, or MISSING. With `constants`, NaN and Infinity become strings."""
        if self.opaque:
            return MISSING
        try:
            return (_WITH_CONSTANTS if constants else _JSON).decode(self.body.decode(json.detect_encoding(self.body)))
        except (ValueError, RecursionError):
            return MISSING


def _no_constant(name: str) -> None:
    """Refuse NaN and Infinity: Python accepts them, but they are not JSON, and a database rejects them."""
    raise ValueError(name)


_JSON = json.JSONDecoder(parse_constant=_no_constant)
_WITH_CONSTANTS = json.JSONDecoder(parse_constant=str)


def judge(probe: HttpProbe, reply: Reply, trace: Trace, now: float) -> Judgement:
    """Return code, detail and Retry-After for a reply. Adds its facts to the trace."""
    trace.facts["http_status"] = reply.status
    note_clock(reply, trace, now)
    document = reply.json()
    wait = retry_after(reply.headers.get("retry-after", ""), now)
    is_expected = reply.status == probe.expect_status
    limited = ""
    if reply.status == 403 and not is_expected:
        limited = refusals.rate_limit(reply.headers, document, reply.body)
    for answer in probe.answers:
        # That each 403 is a missing permission, for example, does not hold for one that tells of a rate limit.
        if _matches(answer, reply, document) and (answer.pointer or answer.contains or not limited):
            _note_facts(probe, document, trace)
            return answer.code, _detail(answer, document, trace), wait
    if limited:
        return "http.rate_limited", f"HTTP 403, {limited}", _until_reset(reply, now) if wait is None else wait
    if not is_expected and (found := refusals.known(probe.auth, reply.status, reply.headers, reply.body)):
        return *found, None
    if not is_expected:
        return *by_status(reply, trace), wait if reply.status in (429, 503) else None
    if reply.fault:
        return reply.fault, f"HTTP {reply.status}, and then an incomplete reply", None
    complaint = _complaint(probe, reply, document)
    if complaint:
        return "unexpected.reply", complaint, None
    _note_facts(probe, document, trace)
    return "ok", "", None


def _until_reset(reply: Reply, now: float) -> int | None:
    """The seconds until a rate limit resets: GitHub sends a UNIX time, others seconds. None if not told."""
    for name in ("x-ratelimit-reset", "x-rate-limit-reset", "ratelimit-reset"):
        word = reply.headers.get(name, "").strip()
        if word.isascii() and word.isdecimal() and len(word) <= 12:
            seconds = float(word) if float(word) <= MAX_RETRY_AFTER_S else float(word) - now
            return int(min(max(seconds, 0), MAX_RETRY_AFTER_S))
    return None


def by_status(reply: Reply, trace: Trace) -> tuple[str, str]:
    """Return code and detail for a status that was not the expected one."""
    status = reply.status
    if status in _BY_STATUS:
        return _BY_STATUS[status], f"HTTP {status}"
    if 300 <= status < 400 and status != 304:
        # Masked before it is cut: the halves of a secret with a question mark would not be recognised.
        location = trace.sanitize(reply.headers.get("location", "")).partition("?")[0].partition("#")[0]
        to = "," if location == REPEATED else " to"
        return "redirect.refused", f"HTTP {status}{to} {location}" if location else f"HTTP {status}"
    if 500 <= status < 600:
        return "server.error", f"HTTP {status}"
    return "unexpected.reply", f"HTTP {status}"


def retry_after(text: str, now: float) -> int | None:
    """Parse a Retry-After header (a number or an HTTP date) into seconds within 0…3600, or None."""
    word = text.strip()
    if not word:
        return None
    try:
        seconds = float(word) if word.isascii() and word.isdecimal() else _moment(word) - now
    except (ValueError, OverflowError):
        return None
    return int(min(max(seconds, 0), MAX_RETRY_AFTER_S))


def value_at(document: Any, pointer: str) -> Any:
    """Return the value at a JSON pointer (RFC 6901), or MISSING."""
    if pointer == "":
        return document
    if not pointer.startswith("/"):
        return MISSING
    for part in pointer[1:].split("/"):
        token = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(token, MISSING)
        elif isinstance(document, list) and token.isascii() and token.isdecimal() and len(token) <= 9:
            index = int(token)
            document = document[index] if str(index) == token and index < len(document) else MISSING
        else:
            return MISSING
    return document


def _matches(answer: Answer, reply: Reply, document: Any) -> bool:
    if answer.status != reply.status:
        return False
    if not answer.pointer and answer.contains:
        return answer.contains.encode().lower() in reply.body.lower()
    if not answer.pointer and answer.equals is None:
        return True
    found = value_at(document, answer.pointer) if document is not MISSING else MISSING
    if answer.contains:
        if isinstance(found, list):
            return (answer.contains in found) != answer.unless
        return isinstance(found, str) and answer.contains.lower() in found.lower()
    return found is not MISSING and _same(found, answer.equals) != answer.unless


def _detail(answer: Answer, document: Any, trace: Trace) -> str:
    """The sentence of an answer, with the vendor's own reason where it gives one."""
    reason = value_at(document, answer.detail_at) if answer.detail_at and document is not MISSING else None
    said = trace.sanitize(reason, 100) if isinstance(reason, str) else ""
    return ": ".join(filter(None, (answer.detail, said)))


def _same(found: Any, wanted: object) -> bool:
    """Equality as JSON sees it: true is not 1."""
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)


def _complaint(probe: HttpProbe, reply: Reply, document: Any) -> str:
    """Why a reply with the expected status is still not the expected reply, or ""."""
    if probe.method == "HEAD":
        return ""
    if probe.expect_text and probe.expect_text.encode() not in reply.body:
        return "it does not contain the expected text"
    pointed = bool(probe.expect_json or probe.require)
    if not probe.json and not pointed:
        return ""
    if document is MISSING:
        return _why_unreadable(probe, reply, pointed)
    for pointer in probe.require:
        if value_at(document, pointer) in (MISSING, None):
            return f"{pointer} is missing"
    for pointer, wanted in probe.expect_json.items():
        if not _same(value_at(document, pointer), wanted):
            return f"{pointer} does not have the expected value"
    return ""


def _why_unreadable(probe: HttpProbe, reply: Reply, pointed: bool) -> str:
    kind = reply.headers.get("content-type", "").lower()
    start = reply.body.lstrip()[:1]
    if "html" in kind or start == b"<":
        return "it is a web page, not JSON"
    if not reply.body:
        return "it is empty"
    if reply.opaque:
        if not pointed and ("json" in kind or start in (b"{", b"[")):
            return ""  # long or compressed, but apparently JSON: the status decides
        return f"it is longer than {probe.max_body_bytes // 1024} KiB" if reply.cut else "it is compressed"
    return "it is not JSON"


def _note_facts(probe: HttpProbe, document: Any, trace: Trace) -> None:
    if document is MISSING:
        return
    for name, pointer in probe.facts.items():
        found = value_at(document, pointer)
        if isinstance(found, str):
            trace.facts[name] = trace.sanitize(found)
        elif isinstance(found, bool | int | float) and not _unlike_json(found) and trace.sanitize(found) == str(found):
            trace.facts[name] = found


def _unlike_json(found: float) -> bool:
    """Whether the number is Infinity, as a too large one becomes. Integers are excluded: isfinite overflows."""
    return isinstance(found, float) and not isfinite(found)


def note_clock(reply: Reply, trace: Trace, now: float) -> None:
    """Record the difference between this machine's clock and the server's if it is large."""
    try:
        skew = now - _moment(reply.headers.get("date", ""))
    except (ValueError, OverflowError):
        return
    if abs(skew) > CLOCK_SKEW_S:
        trace.facts["clock_skew_s"] = round(skew)


@lru_cache(maxsize=64)
def _moment(text: str) -> float:
    """An HTTP date as UNIX time. Raises ValueError or OverflowError."""
    moment = parsedate_to_datetime(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
