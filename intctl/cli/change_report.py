"""The report of add, edit and apply on their changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intctl.cli.context import Context
from intctl.errors import EXIT_NOT_HEALTHY, EXIT_OK
from intctl.text import clean

if TYPE_CHECKING:
    from intctl.health.status import Verdict
    from intctl.plan import Change
    from intctl.render.rows import Column

_DONE = {"create": "created", "update": "updated", "unchanged": "unchanged"}
CHANGE_KEYS = ("name", "id", "provider", "action", "changed", "verdict", "code", "message", "response_time_ms")


@dataclass(frozen=True, slots=True)
class ReportedChange:
    """The result of one change; verdict, code, message and time are None if it was not tested."""

    name: str
    id: str
    provider: str
    action: str
    changed: Sequence[str]
    verdict: Verdict | None
    code: str | None
    message: str | None
    response_time_ms: int | None

    @property
    def is_saved(self) -> bool:
        """Whether the change is complete; always true in a dry run."""
        return self.action not in ("failed", "not saved", "kept")


def report(context: Context, changes: Sequence[Change], style: str, *, saved: Sequence[Change] | None) -> int:
    """Print the changes and return the exit code; `saved` is None in a dry run."""
    from intctl.render.rows import Column

    rows = [_reported(change, saved) for change in changes]
    _notices(context, changes, saved)
    if style != "table":
        context.rows(rows, [], CHANGE_KEYS, style)
    elif len(rows) == 1 and saved is not None:
        context.out(_line(rows[0]) if rows[0].action != "failed" else "")
    else:
        columns: list[Column[ReportedChange]] = [
            Column("Integration", lambda row: row.name),
            Column("Provider", lambda row: row.provider),
            Column("Action", lambda row: row.action),
            Column("Changed", lambda row: ", ".join(row.changed)),
            Column("Verdict", lambda row: row.verdict or "-"),
        ]
        context.rows(rows, columns, CHANGE_KEYS, style)
        context.out(_totals(rows, dry_run=saved is None))
    return EXIT_OK if all(row.is_saved for row in rows) else EXIT_NOT_HEALTHY


def _reported(change: Change, saved: Sequence[Change] | None) -> ReportedChange:
    from intctl import plan

    outcome = change.outcome
    action = _DONE[change.action]
    if saved is None and change.action != "unchanged":
        action = f"would be {'completed' if change.drafted else action}"
    elif _is_kept(change, saved):
        action = "kept"
    elif saved is not None and change not in saved and change.action != "unchanged":
        action = "not saved" if plan.savable(change) else "failed"
    return ReportedChange(
        name=change.name,
        id=change.id,
        provider=change.provider.name,
        action=action,
        changed=change.changed,
        verdict=outcome.verdict if outcome else None,
        code=outcome.code if outcome else None,
        message=outcome.message if outcome else None,
        response_time_ms=outcome.response_time_ms if outcome else None,
    )


def _is_kept(change: Change, saved: Sequence[Change] | None) -> bool:
    """Whether the integration is not saved, but its row is, disabled, for the token that its provider replaced."""
    return saved is not None and change.drafted and change not in saved


def _line(one: ReportedChange) -> str:
    """The line of one change: name, id, verdict, time."""
    label = f"{clean(one.name)} ({one.id})"
    if one.action == "unchanged":
        return f"Unchanged: {label}\n"
    if one.action == "kept":
        label += ", disabled"
    verdict = f"{one.verdict}, {one.response_time_ms} ms" if one.verdict else "not tested"
    if one.action == "updated" and one.verdict is None and not any(key.startswith("config") for key in one.changed):
        verdict = f"changed {', '.join(one.changed)}"
    return f"{one.action.capitalize()} {label}: {verdict}\n"


def _totals(rows: Sequence[ReportedChange], *, dry_run: bool) -> str:
    counts = {
        word: sum(row.action.endswith(word) for row in rows) for word in ("created", "updated", "completed", "kept")
    }
    unchanged = sum(row.action == "unchanged" for row in rows)
    changed = counts["created"] + counts["updated"] + counts["completed"]
    completed = f", {counts['completed']} completed" if counts["completed"] else ""
    text = (
        f"{changed} {'to change' if dry_run else 'changed'} ({counts['created']} created, {counts['updated']} updated"
        f"{completed}), {unchanged} unchanged"
    )
    missed = len(rows) - changed - unchanged - counts["kept"]
    text += f", {missed} not saved" if missed else ""
    text += f", {counts['kept']} kept" if counts["kept"] else ""
    return f"\n{text}\n"


def _notices(context: Context, changes: Sequence[Change], saved: Sequence[Change] | None) -> None:
    """Print failed tests, warnings and kept drafts on standard error."""
    from intctl import plan
    from intctl.providers.base import OWN_GRANT
    from intctl.views.steps import next_step

    for change in changes:
        outcome, name = change.outcome, clean(change.name)
        if outcome is not None and outcome.verdict != "healthy":
            if saved is not None and change in saved:
                context.warn(f"{name}: {outcome.message}. {next_step(outcome.code, change.name, outcome.facts)}")
                continue
            context.say(f"{name}: {outcome.verdict} — {outcome.message} ({outcome.code})")
            context.say(f"  Next: {next_step(outcome.code, change.name, outcome.facts, saved=False)}")
        if _is_kept(change, saved):
            _say_kept(context, change)
        elif saved is not None and change in saved and change.action == "create" and plan.single_use(change.manifest):
            context.say(f"{name}: {OWN_GRANT}")
    if saved is not None and all(change.action == "unchanged" for change in saved) and _is_any_missing(changes):
        context.say(_nothing(changes))


def report_kept(context: Context, changes: Sequence[Change]) -> None:
    """Report the drafts that an error left, for which there is no other report."""
    for change in changes:
        if change.drafted:
            _say_kept(context, change)


def _say_kept(context: Context, change: Change) -> None:
    context.say(
        f"  {clean(change.name)} was saved disabled: its provider replaced the token, and the new one must not be "
        "lost. Run the same command again to finish."
    )


def _is_any_missing(changes: Sequence[Change]) -> bool:
    return any(change.action != "unchanged" for change in changes)


def _nothing(changes: Sequence[Change]) -> str:
    """What was saved although no change was: the tokens that providers replaced during the tests."""
    tokens = sum(change.outcome is not None and "refresh_token_replaced" in change.outcome.facts for change in changes)
    if not tokens:
        return "Nothing was saved."
    return f"Nothing was saved but {tokens} token{'s' if tokens > 1 else ''}."
