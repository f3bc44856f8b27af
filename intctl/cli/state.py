"""The commands toggle, interval, synced, delete and restore: changes of state without a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from intctl.cli.context import Context, command, pass_context
from intctl.errors import UsageError
from intctl.health.status import is_enabled
from intctl.text import clean


@command()
@click.argument("name")
@click.option("--on/--off", "on", default=None, help="Enable or disable [default: switch to the other].")
@pass_context
def toggle(context: Context, name: str, on: bool | None) -> None:
    """Enable or disable the integration NAME. A disabled integration is checked only on request."""
    from intctl.store import changes, integrations
    from intctl.views.steps import quoted

    org_id = context.org_id()
    one = integrations.find(context.database(), org_id, name)
    enabled = is_enabled(one.status)
    wanted = not enabled if on is None else on
    label = clean(one.name)
    if wanted == enabled:
        context.out(f"{label} is already {'enabled' if wanted else 'disabled'}.\n")
        return
    with changes.unit_of_work(context.target) as session:
        changes.set_status(session, id=one.id, org_id=org_id, status="active" if wanted else "inactive")
    if wanted:
        context.out(
            f"{label} is enabled; the agent checks it in its next pass. To check now: intctl check {quoted(one.name)}\n"
        )
    else:
        context.out(f"{label} is disabled: the agent skips it until it is enabled again.\n")


@command()
@click.argument("name")
@click.argument("minutes", type=click.IntRange(1, 60))
@pass_context
def interval(context: Context, name: str, minutes: int) -> None:
    """Check the integration NAME every MINUTES minutes (1 to 60)."""
    from intctl.store import changes, integrations

    org_id = context.org_id()
    one = integrations.find(context.database(), org_id, name)
    with changes.unit_of_work(context.target) as session:
        changed = changes.set_interval(session, id=one.id, org_id=org_id, minutes=minutes)
    every = "every minute" if minutes == 1 else f"every {minutes} minutes"
    context.out(f"{clean(one.name)} is {'now' if changed else 'already'} checked {every}.\n")


@command()
@click.argument("name")
@click.option("--at", metavar="TIME", help="Time of the sync, ISO 8601 [default: now].")
@click.option("--failed", metavar="REASON", help="Record a failed sync and its reason.")
@pass_context
def synced(context: Context, name: str, at: str | None, failed: str | None) -> None:
    """Record a data synchronisation of NAME; for sync jobs."""
    from intctl.store import changes, integrations
    from intctl.store.clock import now

    moment = _moment(at) if at else None
    if failed is not None and not failed.strip():
        raise UsageError("--failed requires a reason.")
    if failed is not None and moment is not None:
        raise UsageError("--at is the time of a successful sync; it cannot be used with --failed.")
    org_id = context.org_id()
    one = integrations.find(context.database(), org_id, name)
    if moment is not None and moment > now(context.database()) + timedelta(minutes=5):
        raise UsageError("--at is in the future. Nothing was recorded.")
    if moment is not None and one.last_sync is not None and moment < one.last_sync:
        context.out(f"{clean(one.name)}: a later sync is already recorded.\n")
        return
    reason = (clean(failed) or "(no readable reason)") if failed else None
    with changes.unit_of_work(context.target) as session:
        changes.record_sync(session, id=one.id, org_id=org_id, at=moment, failed=reason)
    label = clean(one.name)
    context.out(f"{label}: failed sync recorded.\n" if reason else f"{label}: sync recorded.\n")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise UsageError("--at requires a time zone, such as the Z in 2026-01-31T09:30:00Z")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError("--at must be an ISO 8601 time, such as 2026-01-31T09:30:00Z") from None


@command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
@pass_context
def delete(context: Context, name: str, yes: bool) -> None:
    """Delete the integration NAME. Its history is kept, and intctl restore undoes the deletion."""
    from intctl.store import changes, integrations

    org_id = context.org_id()
    one = integrations.find(context.database(), org_id, name)
    label = clean(one.name)
    context.confirm(f"Delete {label}?", yes)
    with changes.unit_of_work(context.target) as session:
        changes.delete_integration(session, id=one.id, org_id=org_id)
    context.out(f"Deleted {label}. To restore it: intctl restore {one.id}\n")


@command()
@click.argument("name")
@click.option("--as", "new_name", metavar="NEW", help="New name, if the old one is in use.")
@pass_context
def restore(context: Context, name: str, new_name: str | None) -> None:
    """Restore the deleted integration NAME and leave it disabled."""
    from intctl.store import changes, integrations
    from intctl.text import name_problem
    from intctl.views.steps import quoted

    if new_name is not None and (problem := name_problem(new_name)):
        raise UsageError(f"--as: {problem}")
    org_id = context.org_id()
    one = integrations.find(context.database(), org_id, name, deleted=True)
    with changes.unit_of_work(context.target) as session:
        changes.restore_integration(session, id=one.id, org_id=org_id, name=new_name)
    label = clean(new_name or one.name)
    context.out(f"Restored {label}, disabled. To enable it: intctl toggle {quoted(new_name or one.name)} --on\n")
