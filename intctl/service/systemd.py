"""Messages to systemd: datagrams to the socket that $NOTIFY_SOCKET names (sd_notify(3))."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, MutableMapping

from intctl.text import clean

#: The minimum interval of watchdog messages, in seconds.
_SPACING_S = 1.0


class ServiceManager:
    """Sends states to the service manager, where there is one. It never fails, and never waits.

    Removes the variables from `environ`, so that no child process reports as the agent. `clock` is monotonic.
    """

    def __init__(self, environ: MutableMapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        socket = environ.pop("NOTIFY_SOCKET", "")
        # "@" is an abstract socket, whose name begins with a NUL.
        self._address = f"\0{socket[1:]}" if socket.startswith("@") else socket if socket.startswith("/") else ""
        self._spacing_s = self._watchdog(environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", ""))
        self._last = float("-inf")

    def _watchdog(self, microseconds: str, pid: str) -> float | None:
        """The interval of watchdog messages: half of what systemd allows, at most a second."""
        if not microseconds.isdecimal() or not int(microseconds) or pid not in ("", str(os.getpid())):
            return None
        return min(int(microseconds) / 2_000_000, _SPACING_S)

    def ready(self, status: str) -> None:
        """Report that the service is ready, at the start or after a reload."""
        self._send("READY=1", f"STATUS={clean(status)}")

    def status(self, text: str) -> None:
        """Send one line for `systemctl status`."""
        self._send(f"STATUS={clean(text)}")

    def reloading(self) -> None:
        """Report the start of a reload; `ready` ends it."""
        # Type=notify-reload uses the time to match this reload with its request.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._send("STOPPING=1", "STATUS=Stopping")

    def progress(self) -> None:
        """Send a watchdog message. Call this only after real progress."""
        if self._spacing_s is not None and self._clock() - self._last >= self._spacing_s:
            self._last = self._clock()
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        import socket

        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            pass  # the agent goes on even if the manager does not listen
