"""maintenance: time that was announced, in which alerts and uptime don't count."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from intctl.cli.context import Command, Context, output_option, pass_context
from intctl.cli.times import moment, span, zone, zone_option
from intctl.errors import ConflictError, NotFoundError, UsageError
from intctl.text import clean

Row = dict[str, Any]

KEYS = (
    "id", "integration", "integration_id", "from", "to", "weekly", "time_zone", "state", "next_from", "next_to",
    "reason", "created_at",
)  # fmt: skip


@click.group()
def maintenance() -> None:
    """Plan maintenance: checks go on, alerts and uptime don't count."""


_command = functools.partial(maintenance.command, cls=Command)


@_command("add")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="For all integrations of the organisation, later ones too.")
@click.option("--from", "start", metavar="TIME", help="When it begins [default: now].")
@click.option("--to", "end", metavar="TIME", help="When it ends; a day stands for its end.")
@click.option("--for", "lasts", metavar="LENGTH", help="Instead of --to: 30m, 2h, 1d.")
@click.option("--weekly", is_flag=True, help="Again every week, at the same time of day in --tz.")
@zone_option
@click.option("--reason", metavar="TEXT", help="What is done, for those who look.")
@pass_context
def add(
    context: Context,
    name: str | None,
    everything: bool,
    start: str | None,
    end: str | None,
    lasts: str | None,
    weekly: bool,
    tz: str,
    reason: str | None,
) -> None:
    """Plan maintenance of the integration NAME, or of --all.

    It may lie in the past: then that time stops counting. What falls into error in it is told by
    the agent's --on-change when it is over, if it is in error still.
    """
    from intctl.metrics import maintenance as windows
    from intctl.store import changes, history, organization_changes, reads

    if (name is None) != everything:
        raise UsageError("Name an integration, or write --all.")
    if (end is None) == (lasts is None):
        raise UsageError("Say when it ends: with --to, or with --for.")
    within = zone(tz)
    database, org_id = context.database(), context.org_id()
    row = reads.find(database, org_id, name) if name is not None else None
    now = reads.now(database)
    begins = moment(start, "--from", within) if start is not None else now
    if abs(begins - now) > timedelta(days=3660):
        raise UsageError("--from is more than ten years away.")
    if lasts is not None:
        ends = begins + span(lasts, "--for")
    else:
        ends = moment(end or "", "--to", within, end_of_day=True)
    _check(begins, ends, weekly)
    new: Row = {
        "id": changes.new_id(),
        "integration_id": row["id"] if row else None,
        "starts_at": begins,
        "ends_at": ends,
        "weekly": weekly,
        "time_zone": "UTC" if within is UTC else tz,
        "stopped_at": None,
    }
    planned = [window for window in history.maintenance(database, org_id) if _lasts(window, now)]
    if other := windows.overlap(new, planned):
        raise ConflictError(
            f"That overlaps with {other['id'][:8]}, from {_shown(other['starts_at'], within)} to "
            f"{_shown(other['ends_at'], within)}{' every week' if other['weekly'] else ''}. "
            f"To replace it: intctl maintenance remove {other['id'][:8]}"
        )
    with changes.unit_of_work(context.target) as session:
        organization_changes.add_maintenance(
            session,
            organization_changes.NewMaintenance(
                id=new["id"],
                org_id=org_id,
                integration_id=new["integration_id"],
                starts_at=begins,
                ends_at=ends,
                weekly=weekly,
                time_zone=new["time_zone"],
                reason=clean(reason) or None if reason else None,
            ),
        )
    whom = clean(row["name"]) if row else "All integrations"
    when = f"from {_shown(begins, within)} to {_shown(ends, within)} ({within})"
    context.out(f"{whom}: maintenance {when}{', every week' if weekly else ''}. Id: {new['id'][:8]}\n")
    if ends <= now and not weekly:
        context.say("It is over already: that time does not count any more.")


def _check(begins: datetime, ends: datetime, weekly: bool) -> None:
    from intctl.metrics.maintenance import LONGEST_DAYS

    if ends <= begins:
        raise UsageError("It ends before it begins: --to must be later than --from.")
    if weekly and ends - begins >= timedelta(days=7):
        raise UsageError("A weekly maintenance must be shorter than a week.")
    if ends - begins > timedelta(days=LONGEST_DAYS):
        raise UsageError(
            f"That is longer than {LONGEST_DAYS} days. What is away for so long is switched off: "
            "intctl toggle NAME --off"
        )


def _lasts(window: Row, now: datetime) -> bool:
    """Whether the window has not been ended."""
    return window["stopped_at"] is None or window["stopped_at"] > now


def _shown(moment: datetime, within: Any) -> str:
    return f"{moment.astimezone(within):%Y-%m-%d %H:%M}"


@_command("list")
@click.argument("name", required=False)
@click.option("--past", is_flag=True, help="Also those that are over.")
@zone_option
@output_option
@pass_context
def list_(context: Context, name: str | None, past: bool, tz: str, style: str) -> None:
    """List what is running and planned: of NAME, or of all."""
    from intctl.render.rows import Column
    from intctl.store import history, reads

    within = zone(tz)
    database, org_id = context.database(), context.org_id()
    row = reads.find(database, org_id, name) if name is not None else None
    now = reads.now(database)
    found = [_described(window, now) for window in history.maintenance(database, org_id)]
    if row:
        found = [window for window in found if window["integration_id"] in (None, row["id"])]
    if not past:
        found = [window for window in found if window["state"] in ("running", "planned")]
    columns = [
        Column("Id", lambda one: one["id"][:8]),
        Column("Integration", lambda one: one["integration"] or "(all)"),
        Column(f"From ({within})", lambda one: _shown(one["next_from"], within)),
        Column("To", lambda one: _shown(one["next_to"], within)),
        Column("Weekly", lambda one: f"yes ({one['time_zone']})" if one["weekly"] else ""),
        Column("State", lambda one: one["state"]),
        Column("Reason", lambda one: one["reason"]),
    ]
    context.rows(found, columns, KEYS, style, name="id", empty="No maintenance is planned.\n")


def _described(window: Row, now: datetime) -> Row:
    from intctl.metrics.maintenance import next_time

    when = next_time(window, now)
    state = "over" if when is None else "running" if when[0] <= now else "planned"
    begins, ends = when or (window["starts_at"], min(window["ends_at"], window["stopped_at"] or window["ends_at"]))
    if ends <= begins:  # removed before it began
        state, ends = "cancelled", window["ends_at"]
    first = {"from": window["starts_at"], "to": window["ends_at"]}
    return {**window, **first, "state": state, "next_from": begins, "next_to": ends}


@_command("remove")
@click.argument("id")
@click.option("--erase", is_flag=True, help="As if it had never been: the time that it took out counts again.")
@pass_context
def remove(context: Context, id: str, erase: bool) -> None:
    """End the maintenance ID now, or never let it begin. What is over stays out of uptime."""
    from intctl.store import changes, history, organization_changes

    database, org_id = context.database(), context.org_id()
    found = [one for one in history.maintenance(database, org_id) if one["id"].startswith(id.lower())] if id else []
    if not found:
        raise NotFoundError(f'There is no maintenance "{clean(id, 40)}". See: intctl maintenance list --past')
    if len(found) > 1:
        raise UsageError(f'"{clean(id, 40)}" could be {len(found)} of them. Write more of the id.')
    with changes.unit_of_work(context.target) as session:
        organization_changes.end_maintenance(session, id=found[0]["id"], org_id=org_id, erase=erase)
    whom = clean(found[0]["integration"] or "all integrations")
    context.out(f"Maintenance {found[0]['id'][:8]} of {whom} is {'erased' if erase else 'ended'}.\n")
