"""The ping notifier: requests a monitor's URL at the start and end of each pass, so that a missing pass is noticed.

The protocol is that of healthchecks.io (healthchecks.io/docs/http_api): URL/start, URL, URL/fail. The URL is a
credential: with it, anyone can report that all is well. It is never shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

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
    return Secret(text)


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
            yield self._send(event) if self._accept(event) else Result(event, "skipped")

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

    def _send(self, event: Event) -> Result:
        import asyncio

        from intctl.health.codes import CODES
        from intctl.probes.run import Network, run_probe
        from intctl.probes.spec import Answer, HttpProbe

        suffix = _SUFFIXES[type(event)]
        probe = HttpProbe(
            _with(self._url.reveal(), suffix),
            None,
            json=False,
            answers=tuple(Answer(status, "ok") for status in (201, 202, 204)),
        )
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
