"""Who watches the watcher: a URL that is asked at the start and at the end of a pass.

As healthchecks.io takes them (healthchecks.io/docs/http_api): URL/start, URL, URL/fail. The URL is
the credential: whoever has it can say that all is well, so it is never shown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from intctl.errors import UsageError
from intctl.text import Secret

if TYPE_CHECKING:
    from intctl.probes.guard import AddressPolicy

#: The most that one ping may take, in seconds.
LIMIT_S = 5.0
#: A service pings for one pass in this many seconds: the hosted healthchecks.io drops what comes faster.
_EVERY_S = 60.0
#: What a monitor that took it looks like, its certificate's last days included.
_TAKEN = frozenset({"ok", "tls.expires_soon"})


def parse(text: str, source: str) -> Secret:
    """The URL, checked. Raises UsageError, which never shows it."""
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
    """Tells a monitor how the passes go. `policy` is the address guard's; `complain` gets what went wrong.

    Never raises and never takes longer than 5 s. `spaced`: only one pass in a minute is told of,
    for a service; a change between success and failure always is.
    """

    def __init__(
        self,
        url: Secret,
        policy: Callable[[], AddressPolicy],
        complain: Callable[[str], None],
        *,
        spaced: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._policy = policy
        self._complain = complain
        self._spaced = spaced
        self._clock = clock
        self._told_at = float("-inf")
        self._told: str | None = None
        self._start: threading.Thread | None = None
        self._open = False

    def start(self) -> None:
        """A pass begins. Sent beside it: the pass does not wait."""
        self._open = not self._spaced or self._clock() - self._told_at >= _EVERY_S
        if self._open:
            self._start = threading.Thread(target=self._send, args=("/start",), name="ping", daemon=True)
            self._start.start()

    def success(self) -> None:
        """The pass was completed and recorded."""
        self._end("")

    def fail(self) -> None:
        """The pass failed."""
        self._end("/fail")

    def _end(self, how: str) -> None:
        if self._start is not None:
            self._start.join(LIMIT_S)  # what began first arrives first
            self._start = None
        if self._open or how != self._told:
            self._told, self._told_at = how, self._clock()
            self._send(how)

    def _send(self, suffix: str) -> None:
        import asyncio

        from intctl.health.codes import CODES
        from intctl.probes.run import Network, run_probe
        from intctl.probes.spec import Answer, HttpProbe

        probe = HttpProbe(
            _with(self._url.reveal(), suffix),
            None,
            json=False,
            answers=tuple(Answer(status, "ok") for status in (201, 202, 204)),
        )
        try:
            outcome = asyncio.run(run_probe(probe, Network(self._policy()), deadline_s=LIMIT_S))
        except Exception as error:
            self._complain(f"The ping was not sent ({type(error).__name__}).")
            return
        if outcome.code not in _TAKEN:
            # The outcome's own details may hold the URL: a redirect's target, a server's words.
            self._complain(f"The ping{suffix and f' of {suffix}'} was not taken: {CODES[outcome.code].meaning}.")


def _with(url: str, suffix: str) -> str:
    parts = urlsplit(url)
    path = parts.path.rstrip("/") if suffix else parts.path
    return urlunsplit(parts._replace(path=path + suffix))
