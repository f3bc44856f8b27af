"""list, show, dashboard, stats, alerts: what is there and how it is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from intctl.cli.context import Context, Seconds, command, output_option, pass_context
from intctl.errors import EXIT_NOT_HEALTHY, EXIT_OK, KeyringError, UsageError
from intctl.text import clean

Row = dict[str, Any]

LIST_KEYS = (
    "id", "name", "type", "provider", "status", "verdict", "last_health_check", "last_sync", "last_sync_error",
    "error_message", "error_count", "health_check_interval_minutes", "maintenance_until",
)  # fmt: skip
STATS_KEYS = ("total", "active", "error", "disabled")
ALERT_KEYS = (
    "id", "name", "type", "provider", "verdict", "code", "message", "impact", "since", "error_count",
    "scheduled_checks_stopped", "next_step", "command",
)  # fmt: skip
#: What people write for a status, and what the database has.
STATUSES = {"active": "active", "error": "error", "inactive": "inactive", "disabled": "inactive"}


@command("list")
@click.option("--search", metavar="TEXT", default="", help="Text in name, provider or type.")
@click.option("--type", "type_", metavar="TYPE", default="", help="Only this type, such as email.")
@click.option("--provider", metavar="PROVIDER", default="", help="Only this provider, such as sendgrid.")
@click.option("--status", type=click.Choice(list(STATUSES)), help="Only this status.")
@click.option("--deleted", is_flag=True, help="The deleted ones instead, which intctl restore brings back.")
@click.option("--sort", metavar="KEY", default="name", show_default=True, help="Sort by this; -KEY reverses.")
@output_option
@pass_context
def list_(
    context: Context, search: str, type_: str, provider: str, status: str | None, deleted: bool, sort: str, style: str
) -> None:
    """List the integrations."""
    from intctl.render.rows import Column
    from intctl.render.words import ago, last_sync_text, status_text
    from intctl.store import reads

    if sort.removeprefix("-") not in reads.SORTS:
        raise UsageError(f"--sort takes one of: {', '.join(reads.SORTS)}; with a leading - it is reversed.")
    if len(search) > 256:
        raise UsageError("--search takes at most 256 characters.")
    database, org_id = context.database(), context.org_id()
    rows = reads.integrations(
        database,
        org_id,
        search=search,
        type_=type_,
        provider=provider,
        status=STATUSES.get(status or "", ""),
        sort=sort,
        deleted=deleted,
    )
    now = reads.now(database)
    _add_maintenance(context, rows)
    titles = _titles()
    columns = [
        Column("Integration", lambda row: row["name"]),
        Column("Type", lambda row: row["type"]),
        Column("Provider", lambda row: titles.get(row["provider"], row["provider"])),
        Column("Status", status_text),
        Column("Last Check", lambda row: ago(row["last_health_check"], now)),
        Column("Last Sync", lambda row: last_sync_text(row, now)),
    ]
    found_none = (
        "No integration matches.\n"
        if search or type_ or provider or status or deleted
        else ("No integrations yet. Add one: intctl add smtp -f smtp.yaml\n")
    )
    context.rows(rows, columns, LIST_KEYS, style, empty=found_none)


def _add_maintenance(context: Context, rows: list[Row]) -> None:
    """Says of each row until when it is in maintenance: `maintenance_until`, None where it is not."""
    from intctl.metrics.maintenance import until
    from intctl.store import history, reads

    database = context.database()
    windows = history.maintenance(database, context.org_id())
    found = until(windows, reads.now(database)) if windows else {}
    for row in rows:
        ends = [moment for moment in (found.get(None), found.get(row["id"])) if moment is not None]
        row["maintenance_until"] = max(ends, default=None)


def _titles() -> Mapping[str, str]:
    from intctl.providers.catalogue import CATALOGUE

    return {name: entry.title for name, entry in CATALOGUE.items()}


@command()
@output_option
@pass_context
def stats(context: Context, style: str) -> None:
    """Count total, active, error and disabled integrations."""
    from intctl.render.dashboard import overview
    from intctl.store import reads

    counts = reads.stats(context.database(), context.org_id())
    if style == "name":
        raise UsageError("stats has no names to show; use another -o.")
    context.one(counts, STATS_KEYS, style, overview(counts), "")


def _alerts(context: Context) -> list[Row]:
    """The alerts with their words: message, impact, next step, the command to type."""
    from intctl.health.codes import CODES
    from intctl.health.judge import MAX_REJECTIONS
    from intctl.providers.base import IMPACT
    from intctl.providers.catalogue import secret_field
    from intctl.store import reads
    from intctl.views.steps import next_step, quoted

    found = reads.alerts(context.database(), context.org_id())
    _add_maintenance(context, found)
    for row in found:
        code = row["code"] if row["code"] in CODES else ""
        rejected = bool(code) and CODES[code].rejection
        secret = secret_field(row["provider"]) if rejected else ""
        blind = row["status"] != "error"
        if blind and code:
            row["message"] = CODES[code].meaning
        else:
            row["message"] = row["error_message"] or "in error, and no check says why"
        row["impact"] = "Not known: it cannot be checked" if blind else IMPACT.get(row["type"], IMPACT["custom"])
        row["since"] = row["since_at"]
        row["scheduled_checks_stopped"] = (row["rejections"] or 0) >= MAX_REJECTIONS
        row["next_step"] = next_step(code, row["name"], secret)
        if row["scheduled_checks_stopped"]:
            row["next_step"] += (
                f" Scheduled logins stopped after {row['rejections']} refusals, so as not to lock the account."
            )
        if secret:
            row["command"] = f"intctl edit {quoted(row['name'])} --secret {secret}"
        else:
            row["command"] = f"intctl {'check' if blind else 'reconnect'} {quoted(row['name'])}"
    return found


@command()
@click.option("--exit-code", is_flag=True, help="Exit 1 when there are alerts.")
@output_option
@pass_context
def alerts(context: Context, exit_code: bool, style: str) -> int:
    """Show what fails or can't be checked, since when, its impact, its cause and what to type next.

    What is in maintenance is no alert (intctl maintenance).

    For cron: intctl alerts --exit-code >alerts.txt 2>&1 || mail -s alerts ops@example.com <alerts.txt
    """
    from intctl.render.dashboard import alert_lines
    from intctl.render.rows import Column
    from intctl.render.words import alert_light, maintained
    from intctl.store import reads

    everything = _alerts(context)
    found = [row for row in everything if row["maintenance_until"] is None]
    if style == "table":
        now = reads.now(context.database())
        texts = ["\n".join(alert_lines(row, now, alert_light(row, plain=context.plain))) for row in found]
        texts += [maintained(row) for row in everything if row["maintenance_until"] is not None]
        context.out("\n\n".join(texts) + "\n" if texts else "No alerts: nothing is in error.\n")
    else:
        context.rows(found, [Column("Integration", lambda row: row["name"])], ALERT_KEYS, style)
    return EXIT_NOT_HEALTHY if found and exit_code else EXIT_OK


@command()
@click.option("--watch", is_flag=True, help="Show it again every few seconds, until Ctrl-C.")
@click.option(
    "--every", metavar="SECONDS", type=Seconds(1, 3600), default=5.0, show_default=True, help="With --watch: how often."
)
@pass_context
def dashboard(context: Context, watch: bool, every: float) -> None:
    """Show overview, critical alerts and all integrations."""
    import sys

    while True:
        text = _dashboard(context)
        if watch and sys.stdout.isatty():
            click.clear()
        context.out(text)
        if not watch:
            return
        sys.stdout.flush()
        context.close()  # nothing is held between two looks
        time.sleep(every)


def _dashboard(context: Context) -> str:
    from intctl.errors import StoreError
    from intctl.render.dashboard import dashboard_page
    from intctl.store import reads

    database, org_id = context.database(), context.org_id()
    try:
        names = {row["id"]: row["name"] for row in reads.organizations(database)}
    except StoreError:
        names = {}
    rows = reads.integrations(database, org_id)
    _add_maintenance(context, rows)
    return dashboard_page(
        reads.stats(database, org_id),
        _alerts(context),
        rows,
        organisation=names.get(org_id, org_id),
        now=reads.now(database),
        width=context.width,
        plain=context.plain,
        titles=_titles(),
        usages=reads.usages(database, org_id),
    )


@command()
@click.argument("name")
@click.option("--reveal", is_flag=True, help="Show the secrets in clear; asks first.")
@click.option("--yes", is_flag=True, help="With --reveal: do not ask.")
@output_option
@pass_context
def show(context: Context, name: str, reveal: bool, yes: bool, style: str) -> None:
    """Show the integration NAME: its config with secrets masked, health, metrics and recent errors."""
    from intctl.metrics.report import of_day
    from intctl.render.detail import detail
    from intctl.store import reads
    from intctl.views.steps import next_step

    if reveal:
        context.confirm(f"Show the secrets of {clean(name)} in clear?", yes)
    database, org_id = context.database(), context.org_id()
    row = reads.find(database, org_id, name)
    row["config"], row["config_problem"] = _config(context, row, reveal)
    row["title"] = _titles().get(row["provider"], row["provider"])
    row["next_step"] = next_step(row["code"], row["name"])
    row["metrics"] = of_day(database, org_id, row["id"])
    _add_maintenance(context, [row])
    row["usage"] = reads.usages(database, org_id, id=row["id"]).get(row["id"])
    row["recent_errors"] = [
        {key: log[key] for key in ("checked_at", "verdict", "code", "phase", "error_message")}
        for log in reads.logs(database, org_id, id=row["id"], limit=5, failures=True)
    ]
    context.one(row, SHOW_KEYS, style, detail(row, reads.now(database)), row["name"])


SHOW_KEYS = (
    *LIST_KEYS, "code", "phase", "phases_ms", "facts", "next_step", "next_check_at", "created_at", "updated_at",
    "config", "config_problem", "metrics", "recent_errors", "usage",
)  # fmt: skip


def _config(context: Context, row: Row, reveal: bool) -> tuple[Row | None, str | None]:
    """The config as it may be shown, or why it can't be: one unreadable row hides nothing else."""
    from intctl.manifest import masked, to_plain
    from intctl.providers import catalogue
    from intctl.store import reads
    from intctl.vault import open_config

    provider = catalogue.get(row["provider"])
    if provider is None:
        return None, f'This version of intctl does not know the provider "{row["provider"]}".'
    sealed = reads.sealed(context.database(), row["org_id"], id=row["id"])[0]
    try:
        config = open_config(context.keyring(), sealed, provider)
    except KeyringError as error:
        return None, str(error)
    return (to_plain(provider, config) if reveal else masked(provider, config)), None
