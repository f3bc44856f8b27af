"""Maintenance windows, each with its state and its next time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from intctl.metrics.maintenance import next_time
from intctl.store.maintenance import MaintenanceWindow


@dataclass(frozen=True, slots=True)
class PlannedMaintenance:
    """A window that is `running`, `planned`, `over` or `cancelled` (ended before it began).

    `next_from` and `next_to` are its current or next time; for a past window, its only or first time.
    """

    window: MaintenanceWindow
    state: str
    next_from: datetime
    next_to: datetime

    @property
    def from_(self) -> datetime:
        """The start; for a weekly window, the first one."""
        return self.window.starts_at

    @property
    def to(self) -> datetime:
        """The planned end; for a weekly window, the first one."""
        return self.window.ends_at

    @property
    def is_open(self) -> bool:
        """Whether it is running or planned."""
        return self.state in ("running", "planned")


def planned(window: MaintenanceWindow, now: datetime) -> PlannedMaintenance:
    """The state of a window at `now`."""
    when = next_time(window, now)
    state = "over" if when is None else "running" if when[0] <= now else "planned"
    begins, ends = when or (window.starts_at, min(window.ends_at, window.stopped_at or window.ends_at))
    if ends <= begins:
        state, ends = "cancelled", window.ends_at
    return PlannedMaintenance(window, state, begins, ends)
