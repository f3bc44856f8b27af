"""Named points at which a test can end, stop or break this process. Without the two variables: nothing.

`INTCTL_FAILPOINT=NAME:ACTION` counts only beside `INTCTL_TEST_FAILPOINTS=1`, so that no stray
variable can ever break a real run.
"""

from __future__ import annotations

import os
import signal


def _armed() -> tuple[str, str] | None:
    if os.environ.get("INTCTL_TEST_FAILPOINTS") != "1":
        return None
    name, colon, action = os.environ.get("INTCTL_FAILPOINT", "").partition(":")
    return (name, action) if colon else None


_ARMED = _armed()


def reach(name: str) -> None:
    """This point was reached. Armed for it, the process is killed or stopped here, or an error is raised.

    `kill` is SIGKILL, `stop` SIGSTOP; `raise` is a bug (RuntimeError), `cut` a broken connection
    (ConnectionResetError).
    """
    if _ARMED is None:
        return
    armed, action = _ARMED
    if armed != name:
        return
    if action in ("kill", "stop"):
        os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)
    elif action == "raise":
        raise RuntimeError(name)
    elif action == "cut":
        raise ConnectionResetError(name)
