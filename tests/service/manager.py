"""A service manager that only listens: the other end of $NOTIFY_SOCKET."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Manager:
    """The messages of a service, as (seconds on the monotonic clock, message)."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.received_any: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(0.1)
        self._ended = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._ended:
            try:
                message = self._socket.recv(65536).decode()
            except TimeoutError:
                continue
            self.received_any.append((time.monotonic(), message))

    def messages(self, start: str = "") -> list[str]:
        """The messages that begin with `start`, oldest first."""
        return [message for _, message in self.received_any if message.startswith(start)]

    def close(self) -> None:
        self._ended = True
        self._thread.join(10)
        self._socket.close()


@contextmanager
def manager(folder: Path, address: str = "") -> Iterator[Manager]:
    """A manager that listens on a socket in `folder`, or on the abstract one that is named."""
    made = Manager(address or str(folder / "notify"))
    try:
        yield made
    finally:
        made.close()
