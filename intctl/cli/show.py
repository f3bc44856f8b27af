"""The commands list, show, dashboard, stats and alerts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from intctl.cli.context import Context, Seconds, command, output_option, pass_context, takes
from intctl.errors import EXIT_NOT_HEALTHY, EXIT_OK, UsageError
from intctl.text import clean

if TYPE_CHECKING:
    from intctl.render.rows import Column
    from intctl.views.alerts import Alert
    from intctl.views.maintenance import Listed

_STORED_KEYS = (
    "id", "name", "type", "provider", "status", "verdict", "last_health_check", "last_sync", "last_sync_error",
    "error_message", "error_count", "health_check_interval_minutes",
)  # fmt: skip
LIST_KEYS = (*(f"integration.{key}" for key in _STORED_KEYS), "maintenance_until")
_SHOWN_KEYS = ("code", "phase", "phases_ms", "facts")
SHOW_KEYS = (
    *LIST_KEYS, *(f"integration.{key}" for key in _SHOWN_KEYS), "next_step", "integration.next_check_at",
    "integration.created_at", "integration.updated_at", "config", "config_problem", "metrics", "recent_errors", "usage",
)  # fmt: skip
STATS_KEYS = ("total", "active", "error", "disabled")
ALERT_KEYS = (
    "id", "name", "type", "provider", "verdict", "code", "message", "impact", "since", "error_count",
    "scheduled_checks_stopped", "next_step", "command",
)  # fmt: skip
#: Each status as typed on the command line, and as stored in the database.
STATUSES = {"active": "active", "error": "error", "inactive": "inactive", "disabled": "inactive"}


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The options of `intctl list`."""

    search: str
    type_: str
    provider: str
    status: str | None
    deleted: bool
    sort: str
    style: str


@command("list")
@click.option("--search", metavar="TEXT", default="", help="Text in name, provider or type.")
@click.option("--type", "type_", metavar="TYPE", default="", help="Only this type, such as email.")
@click.option("--provider", metavar="PROVIDER", default="", help="Only this provider, such as sendgrid.")
@click.option("--status", type=click.Choice(list(STATUSES)), help="Only this status.")
@click.option("--deleted", is_flag=True, help="Only deleted integrations (see intctl restore).")
@click.option("--sort", metavar="KEY", default="name", show_default=True, help="Sort key; -KEY reverses the order.")
@output_option
@pass_context
@takes(ListOptions)
def list_(context: Context, options: ListOptions) -> None:
    """List the integrations."""
    from intctl.render.rows import Column
    from intctl.render.words import ago, last_sync_text, status_text
    from intctl.store import integrations
    from intctl.store.clock import now
    from intctl.views.maintenance import listed
    from intctl.views.titles import title

    if options.sort.removeprefix("-") not in integrations.SORTS:
        raise UsageError(f"--sort must be one of: {', '.join(integrations.SORTS)}; a leading - reverses the order.")
    if len(options.search) > 256:
        raise UsageError("--search must not be longer than 256 characters.")
    wanted = integrations.Selection(
        search=options.search,
        type=options.type_,
        provider=options.provider,
        status=STATUSES.get(options.status or "", ""),
        sort=options.sort,
        deleted=options.deleted,
    )
    database, org_id = context.database(), context.org_id()
    rows = listed(database, org_id, integrations.find_all(database, org_id, wanted))
    moment = now(database)
    columns: list[Column[Listed]] = [
        Column("Integration", lambda row: row.integration.name),
        Column("Type", lambda row: row.integration.type),
        Column("Provider", lambda row: title(row.integration.provider)),
        Column("Status", lambda row: status_text(row.integration, row.maintenance_until)),
        Column("Last Check", lambda row: ago(row.integration.last_health_check, moment)),
        Column("Last Sync", lambda row: last_sync_text(row.integration, moment)),
    ]
    found_none = (
        "No integration matches.\n"
        if wanted.narrows
        else "No integrations yet. Add one: intctl add smtp -f smtp.yaml\n"
    )
    context.rows(rows, columns, LIST_KEYS, options.style, name="integration.name", empty=found_none)


@command()
@output_option
@pass_context
def stats(context: Context, style: str) -> None:
    """Count total, active, error and disabled integrations."""
    from intctl.render.dashboard import numbers
    from intctl.store.stats import stats as count

    counts = count(context.database(), context.org_id())
    if style == "name":
        raise UsageError("stats has no names to print; use another -o format.")
    context.one(counts, STATS_KEYS, style, numbers(counts), "")


@command()
@click.option("--exit-code", is_flag=True, help="Exit 1 if there are alerts.")
@output_option
@pass_context
def alerts(context: Context, exit_code: bool, style: str) -> int:
    """Show failing and uncheckable integrations: since when, impact, cause and next command.

    Integrations in maintenance raise no alert (see intctl maintenance). Notifications of --on-change
    that failed are shown after the alerts, and with another format than table on standard error.

    For cron: intctl alerts --exit-code >alerts.txt 2>&1 || mail -s alerts ops@example.com <alerts.txt
    """
    from intctl.render.dashboard import alert_lines
    from intctl.render.notifications import undelivered_line
    from intctl.render.words import alert_light, maintained
    from intctl.store import undelivered
    from intctl.store.clock import now
    from intctl.views import alerts as views

    everything = views.alerts(context.database(), context.org_id())
    found = [alert for alert in everything if alert.maintenance_until is None]
    failed = undelivered_line(undelivered.count(context.database(), context.org_id()))
    if style == "table":
        moment = now(context.database())
        texts = ["\n".join(alert_lines(one, moment, alert_light(one, plain=context.plain))) for one in found]
        texts += [maintained(alert) for alert in everything if alert.maintenance_until is not None]
        texts = texts or ["No alerts: nothing is in error."]
        context.out("\n\n".join([*texts, failed] if failed else texts) + "\n")
    else:
        no_columns: list[Column[Alert]] = []
        context.rows(found, no_columns, ALERT_KEYS, style)
        if failed:
            context.say(failed)
    return EXIT_NOT_HEALTHY if found and exit_code else EXIT_OK


@command()
@click.option("--watch", is_flag=True, help="Refresh every few seconds until Ctrl-C.")
@click.option(
    "--every",
    metavar="SECONDS",
    type=Seconds(1, 3600),
    default=5.0,
    show_default=True,
    help="With --watch: refresh interval.",
)
@pass_context
def dashboard(context: Context, watch: bool, every: float) -> None:
    """Show the overview, critical alerts and all integrations."""
    import sys

    from intctl.render.dashboard import dashboard_page
    from intctl.views.overview import overview

    while True:
        view = overview(context.database(), context.org_id())
        text = dashboard_page(view, width=context.width, plain=context.plain)
        if watch and sys.stdout.isatty():
            click.clear()
        context.out(text)
        if not watch:
            return
        sys.stdout.flush()
        if not context.has_reader:
            return
        context.close()  # hold no connection between refreshes
        time.sleep(every)


@command()
@click.argument("name")
@click.option("--reveal", is_flag=True, help="Show secrets in plaintext (asks for confirmation).")
@click.option("--yes", is_flag=True, help="With --reveal: skip the confirmation.")
@output_option
@pass_context
def show(context: Context, name: str, reveal: bool, yes: bool, style: str) -> None:
    """Show the integration NAME: config with masked secrets, health, metrics and recent errors."""
    from intctl.render.detail import detail
    from intctl.store import integrations
    from intctl.views.integration import integration_page

    if reveal:
        context.confirm(f"Show the secrets of {clean(name)} in plaintext?", yes)
    integration = integrations.find(context.database(), context.org_id(), name)
    page = integration_page(context.database(), context.keyring, integration, reveal=reveal)
    context.one(page, SHOW_KEYS, style, detail(page), integration.name)
