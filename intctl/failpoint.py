"""Points where a test can kill or stop this process, raise an error, or cut its connections.

Nothing happens unless INTCTL_TEST_FAILPOINTS is 1 and INTCTL_FAILPOINT names a point and an action, such as
`after_claim:kill`. The action is performed once, when the point is first hit.
"""

from __future__ import annotations

from collections.abc import Mapping

POINTS = (
    "before_claim", "after_claim", "in_dns", "in_connect", "in_tls",
    "before_record", "in_record", "after_record", "give_back",
)  # fmt: skip
TOKEN_POINTS = (
    "token_before_call", "token_answer_read", "token_saving", "token_before_commit", "token_after_commit",
    "token_saved", "token_drafted", "token_before_api", "token_api_answered",
)  # fmt: skip
ACTIONS = ("kill", "stop", "raise", "cut")

_armed: list[tuple[str, str]] = []


class Failpoint(Exception):
    """The exception of the action `raise`."""


def arm(environ: Mapping[str, str]) -> None:
    """Arm the failpoint that the environment names, if any."""
    point, _, action = environ.get("INTCTL_FAILPOINT", "").partition(":")
    if environ.get("INTCTL_TEST_FAILPOINTS") == "1" and point in POINTS + TOKEN_POINTS and action in ACTIONS:
        _armed[:] = [(point, action)]


def hit(point: str) -> None:
    """Mark a point. Without an armed failpoint, this only tests whether a list is empty."""
    if _armed and _armed[0][0] == point:
        _act(_armed.pop()[1])


def _act(action: str) -> None:
    import signal
    import threading

    if action == "raise":
        raise Failpoint
    if action == "cut":
        _cut()
    else:
        # Signal this thread: if another thread received the signal, this one would run on for a moment.
        signal.pthread_kill(threading.get_ident(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)


def _cut() -> None:
    """Shut down every connection of this process, as a lost network does."""
    import os
    import socket
    from contextlib import suppress
    from pathlib import Path

    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as sock:
            # Skip unnamed socket pairs: the event loop uses one to wake itself.
            if sock.family != socket.AF_UNIX or sock.getpeername():
                sock.shutdown(socket.SHUT_RDWR)
