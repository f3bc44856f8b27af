"""logs and metrics: what was recorded, and what it adds up to."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

from intctl.cli.context import Context, command, output_option, pass_context
from intctl.errors import UsageError

LOG_KEYS = (
    "integration", "checked_at", "check_type", "status", "verdict", "code", "phase", "response_time_ms",
    "error_message",
)  # fmt: skip
METRIC_KEYS = (
    "integration", "id", "window", "checks", "successes", "failures", "unknown", "uptime_percent",
    "error_rate_percent", "response_time_average_ms", "response_time_p95_ms", "usage",
)  # fmt: skip


@command()
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
@click.option("--failures", is_flag=True, help="Only failures.")
@click.option("--since", metavar="TIME", help="Only from then on: 30m, 24h, 7d, or ISO 8601.")
@output_option
@pass_context
def logs(context: Context, name: str | None, limit: int, failures: bool, since: str | None, style: str) -> None:
    """Show the recorded health checks, newest first: of NAME, or of all."""
    from intctl.render.rows import Column, iso
    from intctl.store import reads

    database, org_id = context.database(), context.org_id()
    row = reads.find(database, org_id, name) if name else None
    moment = _since(since, reads.now(database)) if since else None
    found = reads.logs(database, org_id, id=row["id"] if row else None, limit=limit, failures=failures, since=moment)
    columns = [
        Column("Checked (UTC)", lambda log: iso(log["checked_at"])[:19].replace("T", " ")),
        Column("Integration", lambda log: log["integration"]),
        Column("Type", lambda log: log["check_type"]),
        Column("Verdict", lambda log: log["verdict"]),
        Column("Code", lambda log: log["code"]),
        Column("ms", lambda log: log["response_time_ms"]),
        Column("Message", lambda log: log["error_message"]),
    ]
    context.rows(found, columns, LOG_KEYS, style, name="integration", empty="No checks are recorded there.\n")


def _since(text: str, now: datetime) -> datetime:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text)
    if found:
        unit = {"m": "minutes", "h": "hours", "d": "days"}[found[2]]
        try:
            return now - timedelta(**{unit: int(found[1])})
        except OverflowError:
            raise UsageError("--since reaches too far back.") from None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UsageError("--since takes 30m, 24h, 7d, or a time such as 2026-01-31T09:30:00Z") from None


@command()
@click.argument("name", required=False)
@click.option(
    "--window", type=click.Choice(["24h", "7d", "30d"]), default="24h", show_default=True, help="How far back."
)
@output_option
@pass_context
def metrics(context: Context, name: str | None, window: str, style: str) -> None:
    """Show uptime, response times, error rate and usage of NAME, or of all.

    Unknown checks, where nothing could be asked, count neither as up nor as down. The usage is what the
    provider told last, where it tells.
    """
    from intctl.metrics import WINDOWS, summarise
    from intctl.render.rows import Column
    from intctl.render.words import usage_text
    from intctl.store import reads

    database, org_id = context.database(), context.org_id()
    row = reads.find(database, org_id, name) if name else None
    since = reads.now(database) - WINDOWS[window]
    counted = reads.metrics(database, org_id, since=since, id=row["id"] if row else None)
    told = reads.usages(database, org_id, id=row["id"] if row else None)
    found = [{**summarise(one, window), "usage": told.get(one["id"])} for one in counted]

    def shown(value: object, unit: str) -> str:
        return "-" if value is None else f"{value}{unit}"

    columns = [
        Column("Integration", lambda one: one["integration"]),
        Column("Uptime", lambda one: shown(one["uptime_percent"], " %")),
        Column("Error rate", lambda one: shown(one["error_rate_percent"], " %")),
        Column("Average", lambda one: shown(one["response_time_average_ms"], " ms")),
        Column("p95", lambda one: shown(one["response_time_p95_ms"], " ms")),
        Column("Checks", lambda one: one["checks"]),
        Column("Unknown", lambda one: one["unknown"]),
    ]
    if told:
        now = reads.now(database)
        columns.append(Column("Usage", lambda one: usage_text(one["usage"], now) or "-"))
    context.rows(found, columns, METRIC_KEYS, style, name="integration", empty="No integrations yet.\n")
