"""The command maintenance: planned time that is excluded from alerts and uptime."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

import click

from intctl.cli.context import Command, Context, output_option, pass_context, takes
from intctl.cli.times import moment, span, zone, zone_option
from intctl.errors import ConflictError, NotFoundError, UsageError
from intctl.text import clean

if TYPE_CHECKING:
    from intctl.render.rows import Column
    from intctl.store.integrations import Integration
    from intctl.store.maintenance import MaintenanceWindow
    from intctl.views.planned import PlannedMaintenance

KEYS = (
    "window.id", "window.integration", "window.integration_id", "from", "to", "window.weekly", "window.time_zone",
    "state", "next_from", "next_to", "window.reason", "window.created_at",
)  # fmt: skip


@click.group()
def maintenance() -> None:
    """Plan maintenance: checks continue, but alerts and uptime exclude the time."""


_command = functools.partial(maintenance.command, cls=Command)


@dataclass(frozen=True, slots=True)
class AddOptions:
    """The arguments of `intctl maintenance add`."""

    name: str | None
    everything: bool
    start: str | None
    end: str | None
    lasts: str | None
    weekly: bool
    tz: str
    reason: str | None


@_command("add")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="All integrations of the organisation, including future ones.")
@click.option("--from", "start", metavar="TIME", help="Start [default: now].")
@click.option("--to", "end", metavar="TIME", help="End; a day means the end of that day.")
@click.option("--for", "lasts", metavar="LENGTH", help="Duration, instead of --to: 30m, 2h, 1d.")
@click.option("--weekly", is_flag=True, help="Repeat every week at the same time of day in --tz.")
@zone_option
@click.option("--reason", metavar="TEXT", help="Reason for the maintenance, shown in lists.")
@pass_context
@takes(AddOptions)
def add(context: Context, options: AddOptions) -> None:
    """Plan maintenance of the integration NAME, or of --all.

    A window in the past removes its time from the figures. If an integration fails during
    maintenance and still fails at its end, the agent reports it then (--on-change).
    """
    from intctl.store import changes, integrations, organization_changes
    from intctl.store.clock import now

    if (options.name is None) != options.everything:
        raise UsageError("Name an integration or use --all, not both.")
    if (options.end is None) == (options.lasts is None):
        raise UsageError("Set the end with --to or --for, not both.")
    within = zone(options.tz)
    database, org_id = context.database(), context.org_id()
    integration = integrations.find(database, org_id, options.name) if options.name is not None else None
    moment_now = now(database)
    new = _window(options, within, moment_now, integration)
    _refuse_overlap(context, new, within, moment_now)
    with changes.unit_of_work(context.target) as session:
        organization_changes.add_maintenance(
            session,
            organization_changes.NewMaintenance(
                id=new.id,
                org_id=org_id,
                integration_id=new.integration_id,
                starts_at=new.starts_at,
                ends_at=new.ends_at,
                weekly=new.weekly,
                time_zone=new.time_zone,
                reason=new.reason,
            ),
        )
    whom = clean(integration.name) if integration else "All integrations"
    when = f"from {_shown(new.starts_at, within)} to {_shown(new.ends_at, within)} ({within})"
    context.out(f"{whom}: maintenance {when}{', every week' if new.weekly else ''}. Id: {new.id[:8]}\n")
    if new.ends_at <= moment_now and not new.weekly:
        context.say("The window is in the past: its time no longer counts.")


def _window(options: AddOptions, within: tzinfo, now: datetime, integration: Integration | None) -> MaintenanceWindow:
    """Build the window that the options describe. Raises UsageError."""
    from intctl.db.ids import new_id
    from intctl.store.maintenance import MaintenanceWindow

    begins = moment(options.start, "--from", within) if options.start is not None else now
    if abs(begins - now) > timedelta(days=3660):
        raise UsageError("--from is more than ten years away.")
    if options.lasts is not None:
        ends = begins + span(options.lasts, "--for")
    else:
        ends = moment(options.end or "", "--to", within, end_of_day=True)
    _check(begins, ends, options.weekly)
    return MaintenanceWindow(
        id=new_id(),
        integration_id=integration.id if integration else None,
        integration=integration.name if integration else None,
        starts_at=begins,
        ends_at=ends,
        weekly=options.weekly,
        time_zone="UTC" if within is UTC else options.tz,
        reason=clean(options.reason) or None if options.reason else None,
    )


def _refuse_overlap(context: Context, new: MaintenanceWindow, within: tzinfo, now: datetime) -> None:
    """Raise ConflictError if a window of the same integrations overlaps the new one."""
    from intctl.metrics.maintenance import overlap
    from intctl.store.maintenance import windows

    planned = [one for one in windows(context.database(), context.org_id()) if _lasts(one, now)]
    if other := overlap(new, planned):
        raise ConflictError(
            f"The window overlaps maintenance {other.id[:8]}, from {_shown(other.starts_at, within)} to "
            f"{_shown(other.ends_at, within)}{' every week' if other.weekly else ''}. "
            f"To remove that one, run: intctl maintenance remove {other.id[:8]}"
        )


def _check(begins: datetime, ends: datetime, weekly: bool) -> None:
    from intctl.metrics.maintenance import LONGEST_DAYS

    if ends <= begins:
        raise UsageError("--to must be later than --from.")
    if weekly and ends - begins >= timedelta(days=7):
        raise UsageError("A weekly window must be shorter than a week.")
    if ends - begins > timedelta(days=LONGEST_DAYS):
        raise UsageError(
            f"A window must not be longer than {LONGEST_DAYS} days. To disable an integration instead, run: "
            "intctl toggle NAME --off"
        )


def _lasts(window: MaintenanceWindow, now: datetime) -> bool:
    """Whether the window has not been ended."""
    return window.stopped_at is None or window.stopped_at > now


def _shown(moment: datetime, within: tzinfo) -> str:
    return f"{moment.astimezone(within):%Y-%m-%d %H:%M}"


@_command("list")
@click.argument("name", required=False)
@click.option("--past", is_flag=True, help="Include past windows.")
@zone_option
@output_option
@pass_context
def list_(context: Context, name: str | None, past: bool, tz: str, style: str) -> None:
    """List running and planned maintenance, of NAME or of all."""
    from intctl.render.rows import Column
    from intctl.store import integrations
    from intctl.store.clock import now
    from intctl.store.maintenance import windows
    from intctl.views.planned import planned

    within = zone(tz)
    database, org_id = context.database(), context.org_id()
    id = integrations.find(database, org_id, name).id if name is not None else None
    there = [one for one in windows(database, org_id) if id is None or one.integration_id in (None, id)]
    moment_now = now(database)
    found = [one for one in (planned(window, moment_now) for window in there) if past or one.is_open]
    columns: list[Column[PlannedMaintenance]] = [
        Column("Id", lambda one: one.window.id[:8]),
        Column("Integration", lambda one: one.window.integration or "(all)"),
        Column(f"From ({within})", lambda one: _shown(one.next_from, within)),
        Column("To", lambda one: _shown(one.next_to, within)),
        Column("Weekly", lambda one: f"yes ({one.window.time_zone})" if one.window.weekly else ""),
        Column("State", lambda one: one.state),
        Column("Reason", lambda one: one.window.reason),
    ]
    context.rows(found, columns, KEYS, style, name="window.id", empty="No maintenance is planned.\n")


@_command("remove")
@click.argument("id")
@click.option("--erase", is_flag=True, help="Remove it entirely: the time that it excluded counts again.")
@pass_context
def remove(context: Context, id: str, erase: bool) -> None:
    """End the maintenance ID now, or cancel it. Its past time stays excluded from uptime."""
    from intctl.store import changes, organization_changes
    from intctl.store.maintenance import windows

    database, org_id = context.database(), context.org_id()
    found = [one for one in windows(database, org_id) if one.id.startswith(id.lower())] if id else []
    if not found:
        raise NotFoundError(
            f'There is no maintenance "{clean(id, 40)}". To list all, run: intctl maintenance list --past'
        )
    if len(found) > 1:
        raise UsageError(
            f'"{clean(id, 40)}" is ambiguous: it matches {len(found)} windows. Use a longer prefix of the id.'
        )
    with changes.unit_of_work(context.target) as session:
        organization_changes.end_maintenance(session, id=found[0].id, org_id=org_id, erase=erase)
    whom = clean(found[0].integration or "all integrations")
    context.out(f"Maintenance {found[0].id[:8]} of {whom} is {'erased' if erase else 'ended'}.\n")
