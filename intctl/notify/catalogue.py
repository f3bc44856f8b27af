"""The catalogue: every notifier of this version, in one literal table.

A row is all that `intctl agent` knows of a notifier: its option, and the events that it receives. The module of a
row has a function `build`, which makes the notifier from a `Setting` and raises UsageError for an invalid target.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from intctl.notify.event import PASS_EVENTS, Event, StatusChanged

if TYPE_CHECKING:
    from intctl.notify.notifier import Notifier, Setting


class Entry(NamedTuple):
    """The row of a notifier.

    `variable` is the environment variable that is read if the option is absent: its target is a secret, which may also
    be in a file (`file_option`). `failed_event` is the journal's event for a failed delivery.
    """

    module: str
    events: tuple[type[Event], ...]
    option: str
    metavar: str
    help: str
    failed_event: str
    variable: str = ""

    @property
    def parameter(self) -> str:
        """The option as the name of a function's parameter."""
        return self.option.removeprefix("--").replace("-", "_")

    @property
    def file_option(self) -> str:
        """The option for a file that holds the target; "" if the target is no secret."""
        return f"{self.option}-file" if self.variable else ""


CATALOGUE: dict[str, Entry] = {
    "command": Entry(
        "intctl.notify.command",
        events=(StatusChanged,),
        option="--on-change",
        metavar="COMMAND",
        help="Run this, without a shell, when an integration enters or leaves the status error: JSON on its "
        "standard input, 10 seconds. A failed run is retried.",
        failed_event="on_change",
    ),
    "ping": Entry(
        "intctl.notify.ping",
        events=PASS_EVENTS,
        option="--ping-url",
        metavar="URL",
        help="Request URL/start, then URL or URL/fail, at each pass, as healthchecks.io expects; {state} or {status} "
        "in the URL stand for it. Process lists show it: use --ping-url-file or INTCTL_PING_URL.",
        failed_event="ping_failed",
        variable="INTCTL_PING_URL",
    ),
}


class Subscriber(NamedTuple):
    """An active notifier, and its row."""

    entry: Entry
    notifier: Notifier


def subscriber(entry: Entry, setting: Setting) -> Subscriber:
    """The notifier of a row, built from its setting. Imports its module only. Raises UsageError."""
    notifier: Notifier = import_module(entry.module).build(setting)
    return Subscriber(entry, notifier)
