"""toggle, interval, synced, delete, restore: small changes of state, without a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from intctl.cli.context import Context, command, pass_context
from intctl.errors import UsageError
from intctl.health.status import is_enabled
from intctl.text import clean


@command()
@click.argument("name")
@click.option("--on/--off", "on", default=None, help="Enable or disable [default: the other of the two].")
@pass_context
def toggle(context: Context, name: str, on: bool | None) -> None:
    """Enable or disable the integration NAME. Disabled, it is checked only when somebody names it."""
    from intctl.store import changes, integrations
    from intctl.views.steps import quoted

    org_id = context.org_id()
    one = integrations.find(context.database(), org_id, name)
    enabled = is_enabled(one.status)
    wanted = not enabled if on is None else on
    label = clean(one.name)
    if wanted == enabled:
        context.out(f"{label} is {'enabled' if wanted else 'disabled'} already.\n")
        return
    with changes.unit_of_work(context.target) as session:
        changes.set_status(session, id=one.id, org_id=org_id, status="active" if wanted else "inactive")
    if wanted:
        context.out(f"{label} is enabled; the next pass of the agent checks it. Now: intctl check {quoted(one.name)}\n")
    else:
        context.out(f"{label} is disabled: the agent leaves it alone until it is enabled again.\n")


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
@click.option("--at", metavar="TIME", help="When it was, ISO 8601 [default: now].")
@click.option("--failed", metavar="REASON", help="It failed, and why.")
@pass_context
def synced(context: Context, name: str, at: str | None, failed: str | None) -> None:
    """Report that the data of NAME was synchronised; for the jobs that move it."""
    from intctl.store import changes, integrations
    from intctl.store.clock import now

    moment = _moment(at) if at else None
    if failed is not None and not failed.strip():
        raise UsageError("--failed wants a reason.")
    if failed is not None and moment is not None:
        raise UsageError("--at says when a sync succeeded; it does not go with --failed.")
    org_id = context.org_id()
    one = integrations.find(context.database(), org_id, name)
    if moment is not None and moment > now(context.database()) + timedelta(minutes=5):
        raise UsageError("--at lies in the future. Nothing was recorded.")
    if moment is not None and one.last_sync is not None and moment < one.last_sync:
        context.out(f"{clean(one.name)}: a later sync is recorded already.\n")
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
            raise UsageError("--at needs a time zone, such as the Z in 2026-01-31T09:30:00Z")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError("--at is not a time in ISO 8601, such as 2026-01-31T09:30:00Z") from None


@command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_context
def delete(context: Context, name: str, yes: bool) -> None:
    """Delete the integration NAME. Its history stays, and intctl restore brings it back."""
    from intctl.store import changes, integrations

    org_id = context.org_id()
    one = integrations.find(context.database(), org_id, name)
    label = clean(one.name)
    context.confirm(f"Delete {label}?", yes)
    with changes.unit_of_work(context.target) as session:
        changes.delete_integration(session, id=one.id, org_id=org_id)
    context.out(f"Deleted {label}. Bring it back with: intctl restore {one.id}\n")


@command()
@click.argument("name")
@click.option("--as", "new_name", metavar="NEW", help="Another name, where the old one was taken meanwhile.")
@pass_context
def restore(context: Context, name: str, new_name: str | None) -> None:
    """Bring back the deleted integration NAME. It comes back disabled."""
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
    context.out(f"Restored {label}, disabled. Enable it with: intctl toggle {quoted(new_name or one.name)} --on\n")
