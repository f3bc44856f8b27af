"""Places where a test may hurt this process: killed, stopped, an error raised, its connections cut.

Nothing happens unless INTCTL_TEST_FAILPOINTS is 1 and INTCTL_FAILPOINT names one, as `after_claim:kill`.
It happens once, the first time that the place is reached.
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
    """What `raise` raises."""


def arm(environ: Mapping[str, str]) -> None:
    """Takes the failpoint from the environment, if there is one."""
    point, _, action = environ.get("INTCTL_FAILPOINT", "").partition(":")
    if environ.get("INTCTL_TEST_FAILPOINTS") == "1" and point in POINTS + TOKEN_POINTS and action in ACTIONS:
        _armed[:] = [(point, action)]


def hit(point: str) -> None:
    """Marks a place. Without an armed failpoint this costs one look at a list."""
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
        # To this thread: one that another thread takes would let this one go on a little.
        signal.pthread_kill(threading.get_ident(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)


def _cut() -> None:
    """Ends every connection of this process, as a network does that goes away."""
    import os
    import socket
    from contextlib import suppress
    from pathlib import Path

    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as sock:
            # The nameless pairs are not connections: the event loop wakes itself with one.
            if sock.family != socket.AF_UNIX or sock.getpeername():
                sock.shutdown(socket.SHUT_RDWR)
