"""The commands logs and metrics: recorded checks and their figures."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import click

from intctl.cli.context import Command, Context, command, output_option, pass_context, takes
from intctl.cli.times import moment, span, zone, zone_option
from intctl.errors import UsageError

if TYPE_CHECKING:
    from intctl.metrics.report import Window
    from intctl.store.logs import LogEntry

LOG_KEYS = (
    "integration", "checked_at", "check_type", "status", "verdict", "code", "phase", "response_time_ms",
    "error_message",
)  # fmt: skip


class _Logs(Command):
    """`logs NAME` and `logs prune`; any other first word is the name of an integration."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args and args[0] in self.commands:
            inner = self.commands[args[0]]
            return inner.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    @property
    def commands(self) -> Mapping[str, click.Command]:
        """The subcommands, which take precedence over names."""
        return {"prune": prune}


@click.command(cls=_Logs)
@click.argument("name", required=False)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Maximum number of checks."
)
@click.option("--failures", is_flag=True, help="Only failed checks.")
@click.option("--since", metavar="TIME", help="Only checks since TIME: 30m, 24h, 7d, or ISO 8601.")
@output_option
@pass_context
def logs(context: Context, name: str | None, limit: int, failures: bool, since: str | None, style: str) -> None:
    """Show the recorded health checks of NAME, or of all integrations, newest first.

    intctl logs prune deletes old checks. For an integration named prune: intctl logs -- prune
    """
    from intctl.render.rows import Column
    from intctl.store import integrations
    from intctl.store import logs as store
    from intctl.store.clock import now
    from intctl.text import rfc3339

    database, org_id = context.database(), context.org_id()
    id = integrations.find(database, org_id, name).id if name else None
    start = _since(since, now(database)) if since else None
    found = store.newest(database, org_id, id=id, limit=limit, failures=failures, since=start)
    columns: list[Column[LogEntry]] = [
        Column("Checked (UTC)", lambda log: rfc3339(log.checked_at)[:19].replace("T", " ")),
        Column("Integration", lambda log: log.integration),
        Column("Type", lambda log: log.check_type),
        Column("Verdict", lambda log: log.verdict),
        Column("Code", lambda log: log.code),
        Column("ms", lambda log: log.response_time_ms),
        Column("Message", lambda log: log.error_message),
    ]
    context.rows(found, columns, LOG_KEYS, style, name="integration", empty="No matching checks are recorded.\n")


def _since(text: str, now: datetime) -> datetime:
    if re.fullmatch(r"[1-9][0-9]{0,5}[mhd]", text):
        try:
            return now - span(text, "--since")
        except OverflowError:
            raise UsageError("--since is too far in the past.") from None
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UsageError("--since must be 30m, 24h, 7d, or a time such as 2026-01-31T09:30:00Z") from None


@command()
@click.option("--older-than", metavar="DAYS", help="Such as 30d [default: the organisation's retention].")
@click.option("--dry-run", is_flag=True, help="Print what would be deleted without deleting it.")
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
@pass_context
def prune(context: Context, older_than: str | None, dry_run: bool, yes: bool) -> None:
    """Delete old health checks and keep their daily figures.

    Each day is rolled up before its checks are deleted, so intctl metrics still reports it. The
    agent does the same for checks older than intctl org set --retention-days. The newest check and
    the newest success of each integration are always kept.
    """
    from intctl.metrics import retention
    from intctl.store import history
    from intctl.store import retention as steps
    from intctl.text import rfc3339

    database, org_id = context.database(), context.org_id()
    days = history.retention_days(database, org_id)
    if older_than is not None:
        days = span(older_than, "--older-than", "d").days
        if days < 2:
            raise UsageError("--older-than must be at least 2d: a day is rolled up some hours after its end.")
    before = retention.cutoff(database, days)
    there = steps.count_old(database, org_id, before)
    day = rfc3339(history.time_at(before))[:10]
    what = f"{there.checks} checks of {there.integrations} integrations from before {day} (UTC)"
    if not there.checks:
        context.out(f"Nothing to delete: no checks are recorded from before {day} (UTC).\n")
        return
    if dry_run:
        assert there.oldest_at is not None
        oldest = rfc3339(there.oldest_at)[:10]
        context.out(f"Would delete up to {what}; the oldest is from {oldest}. Nothing was deleted.\n")
        return
    context.confirm(f"Delete {what}?", yes)
    gone = 0

    def deleted(rows: int) -> None:
        nonlocal gone
        gone += rows
        if sys.stderr.isatty():  # called several times per second: too often for a log file
            sys.stderr.write(f"\rDeleted {gone} of {there.checks}")

    retention.roll_up(database)
    retention.prune(database, org_id, days, deleted=deleted)
    if gone and sys.stderr.isatty():
        context.say("")
    context.out(f"Deleted {gone} checks from before {day} (UTC); their daily figures are kept.\n")


@dataclass(frozen=True, slots=True)
class MetricsOptions:
    """The arguments of `intctl metrics`."""

    name: str | None
    window: str | None
    start: str | None
    end: str | None
    tz: str
    target: float | None
    style: str


@command()
@click.argument("name", required=False)
@click.option(
    "--window", type=click.Choice(["24h", "7d", "30d", "90d"]), help="Length of the window, ending now.  [default: 24h]"
)
@click.option("--from", "start", metavar="TIME", help="Start of the window instead: a day or a time.")
@click.option(
    "--to", "end", metavar="TIME", help="With --from: end of the window, a day (to its end) or a time [default: now]."
)
@zone_option
@click.option(
    "--target",
    metavar="PERCENT",
    type=click.FloatRange(0, 100, max_open=True),
    help="Compare with a target uptime, such as 99.9.",
)
@output_option
@pass_context
@takes(MetricsOptions)
def metrics(context: Context, options: MetricsOptions) -> None:
    """Show uptime, response times, errors, incidents and usage of NAME, or of all integrations.

    Uptime is measured in time: the result of a check holds until the next check, for two intervals
    at most. Unknown time, maintenance and disabled time count as neither up nor down. Usage is what
    the provider last reported, if it does. For the meaning of each figure, see docs/metrics.md.
    """
    from intctl.metrics.figures import KEYS
    from intctl.render.history import page, report_columns, usage_column
    from intctl.store.clock import now
    from intctl.views.figures import figures

    target = options.target
    if target is not None and target != target:  # noqa: PLR0124 - NaN, which click lets through
        raise UsageError("--target must be a number.")
    within = zone(options.tz)
    database, org_id = context.database(), context.org_id()
    id = None
    if options.name:
        from intctl.store import integrations

        id = integrations.find(database, org_id, options.name).id
    moment = now(database)
    found = figures(database, org_id, _window(moment, options, within), id=id, target=target)
    if options.style == "table" and id:
        context.out(page(found[0], within, moment, plain=context.plain))
        return
    columns = report_columns(plain=context.plain, target=target is not None)
    if any(one.usage for one in found):
        columns.append(usage_column(moment))
    keys = (*(f"report.{key}" for key in KEYS), "usage")
    context.rows(found, columns, keys, options.style, name="report.integration", empty="No integrations yet.\n")


def _window(now: datetime, options: MetricsOptions, within: tzinfo) -> Window:
    """The window that the options select."""
    from intctl.metrics.report import WINDOWS, Window

    start, end = options.start, options.end
    if start is None:
        if end is not None:
            raise UsageError("--to requires --from.")
        name = options.window or "24h"
        return Window.of(name, now - WINDOWS[name], now, now)
    if options.window is not None:
        raise UsageError("--window and --from cannot be combined.")
    begins = moment(start, "--from", within)
    ends = moment(end, "--to", within, end_of_day=True) if end is not None else now
    if begins >= now:
        raise UsageError("--from is in the future.")
    if ends <= begins:
        raise UsageError("--to must be later than --from.")
    if begins < now - timedelta(days=3660):
        raise UsageError("--from is more than ten years in the past.")
    return Window.of("custom", begins, ends, now)
