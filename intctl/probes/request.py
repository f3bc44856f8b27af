"""The HTTP request of a probe, and the destination of its URL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import httpx

from intctl.probes.auth import Authenticator, plain
from intctl.probes.proxies import Proxy
from intctl.probes.reply import HEADERS, Reply
from intctl.probes.spec import HttpProbe
from intctl.probes.trace import ProbeFailed

_COMMON = {name.lower(): (name.encode(), value.encode()) for name, value in HEADERS.items()}
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_VALUE = re.compile(rb"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")


class Place(NamedTuple):
    """The destination of a URL, and the URL's parts in a request."""

    secure: bool
    host: str
    port: int
    target: bytes
    authority: bytes

    @property
    def url(self) -> str:
        """The URL as it is sent. A signature covers this spelling of it."""
        return f"{'https' if self.secure else 'http'}://{self.authority.decode()}{self.target.decode()}"


@lru_cache(maxsize=1024)
def place_of(url: str | httpx.URL) -> Place:
    """Return the destination of an http:// or https:// URL. Raises ProbeFailed (`self.config_invalid`)."""
    try:
        found = httpx.URL(url)
        if found.scheme not in ("http", "https") or not found.host:
            raise ProbeFailed("self.config_invalid", "the URL does not start with http:// or https://")
        if found.username or found.password:
            raise ProbeFailed("self.config_invalid", "the URL contains a user name or password")
        secure = found.scheme == "https"
        port = found.port or (443 if secure else 80)
        return Place(secure, found.raw_host.decode("ascii"), port, found.raw_path, found.netloc)
    except (httpx.InvalidURL, ValueError, TypeError):  # httpx decodes the parts on access
        raise ProbeFailed("self.config_invalid", "the URL cannot be used") from None


@dataclass(slots=True)
class Request:
    """One request, without `Host`. `body_wanted` says by the status whether the reply's body is read.

    Used instead of httpx's request, which costs a tenth of a whole check over plain HTTP.
    """

    method: str
    place: Place
    headers: list[tuple[bytes, bytes]]
    content: bytes = b""
    phase: str = "api"
    #: The most bytes of the body; None for the transport's limit.
    max_body: int | None = None
    #: Is given a function that returns the reply as far as it has come, for who is cancelled while it comes.
    partial: list[Callable[[], Reply]] | None = None
    body_wanted: Callable[[int], bool] = lambda _status: True

    def encoded(self, proxy: Proxy | None = None) -> bytes:
        """Return the request as it is sent: to a `proxy`, with the whole URL. Raises ProbeFailed for a line break."""
        method, target = self.method.encode("ascii"), self.place.target if proxy is None else self.place.url.encode()
        if not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(target):
            raise ProbeFailed("self.config_invalid", "the URL cannot be used")
        lines = [b"%s %s HTTP/1.1" % (method, target)]
        for name, value in ((b"Host", self.place.authority), *self.headers, *(proxy.headers if proxy else ())):
            if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ProbeFailed("credential.malformed")
            lines.append(b"%s: %s" % (name, value))
        return b"\r\n".join([*lines, b"", self.content])


def request_for(probe: HttpProbe, auth: Authenticator | None) -> Request:
    """Build the probe's request, with the headers of its credential. Raises ProbeFailed."""
    headers = dict(_COMMON)
    try:
        content = probe.body_text.encode()
        if probe.body_json is not None:
            content = json.dumps(probe.body_json, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
            headers["content-type"] = (b"Content-Type", b"application/json")
    except (ValueError, TypeError):
        raise ProbeFailed("self.config_invalid", "the body cannot be sent") from None
    if content or probe.method == "POST":
        headers["content-length"] = (b"Content-Length", b"%d" % len(content))
    place = place_of(probe.url)
    shown = {} if auth is None else auth.headers(probe.method, place.url, content)
    try:
        for given in (probe.headers, shown):
            for name, value in given.items():
                headers[name.lower()] = (name.encode("ascii"), plain(value).encode("ascii"))
    except UnicodeEncodeError:
        raise ProbeFailed("credential.malformed") from None
    return Request(probe.method, place, list(headers.values()), content, body_wanted=partial(_body_wanted, probe))


def _body_wanted(probe: HttpProbe, status: int) -> bool:
    """Whether the body can change the verdict: if not, intctl does not wait for it."""
    if status in (400, 403):  # their words decide (`refusals`)
        return True
    if any(answer.status == status and (answer.pointer or answer.contains) for answer in probe.answers):
        return True
    wanted = probe.json or probe.expect_text or probe.expect_json or probe.require or probe.facts
    return status == probe.expect_status and bool(wanted)
