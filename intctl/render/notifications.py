"""Undelivered notifications as text."""

from __future__ import annotations

from collections.abc import Sequence

from intctl.store.undelivered import DeadLetter, Undelivered
from intctl.text import clean, rfc3339


def undelivered_line(found: Undelivered) -> str:
    """One line about failed notifications, with the next command; "" if none failed."""
    parts = []
    if found.retrying:
        parts.append(f"{_notifications(found.retrying)} failed and will be retried.")
    if found.dead:
        are = "is a dead letter" if found.dead == 1 else "are dead letters"
        parts.append(f"{_notifications(found.dead)} {are}. To send again: intctl agent retell --dead")
    return " ".join(parts)


def dead_letter_lines(letters: Sequence[DeadLetter], total: int) -> list[str]:
    """A line for each dead letter: its id, the change and the last error."""
    lines = [
        f"  {one.id}  {clean(one.name)} ({one.from_status} to {one.to_status}), failed "
        f"{rfc3339(one.failed_at)[:19].replace('T', ' ')} UTC: {clean(one.last_error or 'unknown')}"
        for one in letters
    ]
    return [*lines, f"  and {total - len(letters)} more"] if total > len(letters) else lines


def _notifications(number: int) -> str:
    return f"{number} notification{'' if number == 1 else 's'}"
