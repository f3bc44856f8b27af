"""The ping notifier: requests a monitor's URL at the start and end of each pass, so that a missing pass is noticed.

The protocol is that of healthchecks.io (healthchecks.io/docs/http_api): URL/start, URL, URL/fail. A URL with
placeholders or a query, such as a push URL of Uptime Kuma (github.com/louislam/uptime-kuma/wiki/API-Documentation), has
a form of its own: see `address`. The URL is a credential: with it, anyone can report that all is well. It is never
shown.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from intctl.errors import UsageError
from intctl.notify.event import Event, PassFailed, PassFinished, PassStarted
from intctl.notify.notifier import Result, Setting
from intctl.text import Secret

if TYPE_CHECKING:
    from intctl.probes.guard import AddressPolicy

#: The deadline of one ping, in seconds.
LIMIT_S = 5.0
#: A service pings for one pass in this many seconds: the hosted healthchecks.io drops more frequent pings.
_EVERY_S = 60.0
#: The codes of a monitor that accepted the ping, its certificate's last days included.
_ACCEPTED = frozenset({"ok", "tls.expires_soon"})

#: What each event adds to the path of the URL.
_SUFFIXES: dict[type[Event], str] = {PassStarted: "/start", PassFinished: "", PassFailed: "/fail"}
#: The words of each placeholder. A URL with a placeholder that has no word for an event is not requested for it.
_WORDS: dict[str, dict[type[Event], str]] = {
    "state": {PassStarted: "start", PassFinished: "success", PassFailed: "fail"},
    "status": {PassFinished: "up", PassFailed: "down"},
}
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
#: The parameters of healthchecks.io, which has its suffixes in the path.
_OF_HEALTHCHECKS = frozenset({"create", "rid"})
#: The path of a push monitor of Uptime Kuma, below any prefix.
_KUMA = re.compile(r"/api/push/[^/]+/?$")


def build(setting: Setting) -> Ping:
    """Build the notifier of a URL. Raises UsageError."""
    return Ping(parse(setting.target, setting.source), setting.policy, spaced=setting.is_service)


def parse(text: str, source: str) -> Secret:
    """Check the URL. Raises UsageError, which never shows it."""
    wrong = UsageError(f"{source} is not a URL such as https://hc-ping.com/UUID")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise wrong
    if parts.username is not None or parts.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise wrong
    if any(mark in _PLACEHOLDER.sub("", text) for mark in "{}") or not set(_PLACEHOLDER.findall(text)) <= set(_WORDS):
        raise UsageError(f"{source} has an unknown placeholder: {{state}} and {{status}} are known.")
    if _PLACEHOLDER.search(parts.netloc):
        raise UsageError(f"{source} has a placeholder in its host name: it is allowed in the path and the query.")
    return Secret(text)


def address(url: str, event: type[Event]) -> str | None:
    """Return the address to request for an event; None if the URL has no form for it.

    Placeholders are replaced by the event's word. Uptime Kuma hears of success and failure. Any other query is
    requested for success only: another address could not be told from it.
    """
    found = _PLACEHOLDER.findall(url)
    if found:
        if any(event not in _WORDS[name] for name in found):
            return None
        return _PLACEHOLDER.sub(lambda placeholder: _WORDS[placeholder[1]][event], url)
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if _KUMA.search(parts.path):
        if event is PassFailed:
            return urlunsplit(parts._replace(query=urlencode({**query, "status": "down", "msg": "pass failed"})))
        return url if event is PassFinished else None
    if set(query) <= _OF_HEALTHCHECKS:
        return _with(url, _SUFFIXES[event])
    return url if event is PassFinished else None


class Ping:
    """Requests the monitor's URL for each event of a pass. `policy` is for the address guard.

    `spaced`, for a service: one pass in a minute is reported, and every change between success and failure.
    """

    at_once = 1
    limit_s = LIMIT_S

    def __init__(
        self,
        url: Secret,
        policy: Callable[[], AddressPolicy],
        *,
        spaced: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._policy = policy
        self._spaced = spaced
        self._clock = clock
        self._reported_at = float("-inf")
        self._reported: type[Event] | None = None
        self._is_open = False

    def obstacle(self) -> str:
        """Always "": only the ping itself finds an unreachable monitor."""
        return ""

    def deliver(self, events: Sequence[Event]) -> Iterator[Result]:
        """Send a ping for each event, one after another."""
        for event in events:
            target = address(self._url.reveal(), type(event)) if self._accept(event) else None
            yield Result(event, "skipped") if target is None else self._send(event, target)

    def _accept(self, event: Event) -> bool:
        """Decide whether this event is sent, and remember it."""
        if type(event) not in _SUFFIXES:
            return False
        if isinstance(event, PassStarted):
            self._is_open = not self._spaced or self._clock() - self._reported_at >= _EVERY_S
            return self._is_open
        if not self._is_open and type(event) is self._reported:
            return False
        self._reported, self._reported_at = type(event), self._clock()
        return True

    def _send(self, event: Event, target: str) -> Result:
        import asyncio

        from intctl.health.codes import CODES
        from intctl.probes.run import Network, run_probe
        from intctl.probes.spec import Answer, HttpProbe

        suffix = _SUFFIXES[type(event)]
        probe = HttpProbe(target, None, json=False, answers=tuple(Answer(status, "ok") for status in (201, 202, 204)))
        try:
            outcome = asyncio.run(run_probe(probe, Network(self._policy()), deadline_s=LIMIT_S))
        except Exception as error:
            return Result(event, "not_started", f"The ping was not sent ({type(error).__name__})")
        if outcome.code in _ACCEPTED:
            return Result(event, "delivered")
        # Only the meaning of the code: the outcome's details may hold the URL, in a redirect's target for example.
        of = f" of {suffix}" if suffix else ""
        return Result(event, "failed", f"The ping{of} was not accepted: {CODES[outcome.code].meaning}")


def _with(url: str, suffix: str) -> str:
    parts = urlsplit(url)
    path = parts.path.rstrip("/") if suffix else parts.path
    return urlunsplit(parts._replace(path=path + suffix))
