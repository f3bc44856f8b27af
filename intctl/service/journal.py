"""The agent's journal: lines for people, or one JSON object a line for machines. Never a secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from intctl.text import clean, rfc3339

Level = Literal["info", "warning", "error"]

_PREFIX: dict[Level, str] = {"info": "", "warning": "warning: ", "error": "intctl: "}


class Journal:
    """The agent's journal. `info` is data and goes to stdout, `warning` and `error` go to stderr; each line is flushed.

    `write` takes whether a line is data, and the line; `clock` gives UNIX time in seconds.
    """

    def __init__(self, style: str, write: Callable[[bool, str], None], clock: Callable[[], float]) -> None:
        self.json = style == "json"
        self._write = write
        self._clock = clock

    def say(self, level: Level, event: str, text: str, *, quiet: bool = False, **fields: Any) -> None:
        """Write one line. `quiet`: for machines only. `fields` are JSON values, for machines only."""
        if self.json:
            entry = {"time": _moment(self._clock()), "level": level, "event": event, "message": clean(text, 2000)}
            self._write(level == "info", json.dumps({**entry, **fields}, ensure_ascii=False))
        elif not quiet:
            self._write(level == "info", f"{_PREFIX[level]}{text}")

    def local_issues(self, found: Mapping[str, int], notice: str) -> None:
        """Write the problems of this machine: one line for people, one line for each code for machines."""
        from intctl.health.codes import CODES

        if self.json:
            for code, count in found.items():
                cause = CODES[code]
                self.say("warning", "fault", f"{cause.meaning}. {cause.next_step}", code=code, checks=count)
        elif notice:
            self.say("warning", "fault", notice)


def _moment(seconds: float) -> str:
    from datetime import UTC, datetime

    return rfc3339(datetime.fromtimestamp(seconds, UTC))
