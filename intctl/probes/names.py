"""Host names to addresses, through the system's resolver.

Each lookup has its own daemon thread. In asyncio's shared pool six hung lookups would block all
others, and the process would wait for the pool's threads at exit.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from contextlib import suppress
from functools import lru_cache

from intctl.failpoint import hit
from intctl.probes.trace import ProbeFailed

#: Address family and socket address, as `socket.connect` requires it.
Target = tuple[int, tuple[str, int] | tuple[str, int, int, int]]

# The addresses, or the code of the failure: asyncio reports an exception in a future that is never awaited.
_Answer = list[Target] | str

# EAI_NODATA and EAI_ADDRFAMILY are missing on some systems.
_NO_SUCH_NAME = {
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)
}


class Names:
    """The lookups of one pass: each host is looked up once, however many probes need it."""

    def __init__(self, budget_s: float = 3.0) -> None:
        self._budget_s = budget_s
        self._asked: dict[str, asyncio.Future[_Answer]] = {}

    async def look_up(self, host: str, port: int) -> list[Target]:
        """Return the addresses of `host`, best first. Raises ProbeFailed (`dns.*`, `self.no_descriptors`)."""
        hit("in_dns")
        name = ascii_name(host)
        literal = _literal(name, port)
        if literal:
            return literal
        future = self._asked.get(name)
        if future is None:
            future = self._asked[name] = self._ask(name)
        answer = await asyncio.shield(future)
        if isinstance(answer, str):
            raise ProbeFailed(answer)
        return [(family, (address[0], port, *address[2:])) for family, address in answer]

    def _ask(self, host: str) -> asyncio.Future[_Answer]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Answer] = loop.create_future()

        def settle(answer: _Answer) -> None:
            timer.cancel()
            if not future.done():
                future.set_result(answer)

        def work() -> None:
            answer = _resolve(host)
            with suppress(RuntimeError):  # the loop is closed, so no probe waits for the result
                loop.call_soon_threadsafe(settle, answer)

        timer = loop.call_later(self._budget_s, settle, "dns.timeout")
        try:
            threading.Thread(target=work, name="lookup", daemon=True).start()
        except RuntimeError:  # the system allows no further thread
            settle("dns.failure")
        return future


def ascii_name(host: str) -> str:
    """Return the host name in ASCII form (IDNA). Raises ProbeFailed."""
    try:
        name = host if host.isascii() else host.encode("idna").decode()
        labels = name.removesuffix(".").split(".")
        if len(name) > 253 or not name.isprintable() or not all(0 < len(label) < 64 for label in labels):
            raise ValueError
    except ValueError:
        raise ProbeFailed("dns.nxdomain", "it is not a valid host name") from None
    return name


@lru_cache(maxsize=1024)
def _literal(host: str, port: int) -> list[Target] | None:
    """The address itself if `host` is one, in any notation that the C library accepts."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return None
    return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]


def _resolve(host: str) -> _Answer:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if descriptors_gone():
            return "self.no_descriptors"
        return "dns.nxdomain" if error.errno in _NO_SUCH_NAME else "dns.failure"
    except OSError as error:
        return "self.no_descriptors" if error.errno in (errno.EMFILE, errno.ENFILE) else "dns.failure"
    return _interleaved([(family, address) for family, _, _, _, address in found])  # type: ignore[misc]


def _interleaved(targets: list[Target]) -> list[Target]:
    """Alternate the families, the preferred one first: three dead IPv6 addresses must not hide a good IPv4 one."""
    first = [target for target in targets if target[0] == targets[0][0]]
    other = [target for target in targets if target[0] != targets[0][0]]
    mixed = [target for pair in zip(first, other, strict=False) for target in pair]
    shorter = min(len(first), len(other))
    return mixed + first[shorter:] + other[shorter:]


def descriptors_gone() -> bool:
    """Whether no file can be opened now: C libraries do not report this as the reason of a failure."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False
