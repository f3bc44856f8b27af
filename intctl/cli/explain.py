"""The commands explain and troubleshoot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from intctl.cli.context import Context, command, output_option, pass_context, timeout_option
from intctl.errors import EXIT_NOT_HEALTHY, EXIT_OK, NotFoundError

if TYPE_CHECKING:
    from intctl.probes.guard import AddressPolicy
    from intctl.render.rows import Column
    from intctl.views.causes import ExplainedCode
    from intctl.views.trouble import StatusPage

CODE_KEYS = ("code", "verdict", "who_acts", "meaning", "next_step", "docs")
TROUBLE_KEYS = (
    "integration", "id", "provider", "verdict", "code", "phase", "message", "phases", "facts", "steps", "pattern",
    "status_page", "checked_at",
)  # fmt: skip


@command()
@click.argument("code", required=False)
@output_option
@pass_context
def explain(context: Context, code: str | None, style: str) -> None:
    """Explain a cause CODE, such as smtp.auth.rejected: meaning, who must act, next step.

    Without CODE, lists all codes; with a leading part such as smtp, the codes that start with it.
    """
    from intctl.health.codes import CODES
    from intctl.render.rows import Column
    from intctl.text import clean, nearest
    from intctl.views.causes import explained

    wanted = [name for name in CODES if code in (None, name) or name.startswith(f"{code}.")]
    if not wanted:
        meant = nearest(str(code), tuple(CODES)) or "."
        raise NotFoundError(f'There is no code "{clean(code, 60)}"{meant} To list all codes, run: intctl explain')
    rows = [explained(name) for name in wanted]
    if style == "table" and len(rows) == 1:
        row = rows[0]
        context.out(
            f"{row.code}\n  Meaning:   {row.meaning}.\n  Verdict:   {row.verdict}\n"
            f"  Who acts:  {row.who_acts}\n  Next step: {row.next_step}\n  Docs:      {row.docs}\n"
        )
        return
    columns: list[Column[ExplainedCode]] = [
        Column("Code", lambda row: row.code),
        Column("Verdict", lambda row: row.verdict),
        Column("Who acts", lambda row: row.who_acts),
        Column("Meaning", lambda row: row.meaning),
    ]
    context.rows(rows, columns, CODE_KEYS, style, name="code")


@command()
@click.argument("name")
@click.option("--status-page", is_flag=True, help="Also query the vendor's public status page, without credentials.")
@timeout_option
@output_option
@pass_context
def troubleshoot(context: Context, name: str, status_page: bool, deadline_s: float, style: str) -> int:
    """Diagnose the connection of NAME phase by phase: where it stopped, why, and what to do.

    Contacts the provider now and records nothing, except a refresh token that the provider replaces.
    """
    from intctl.cli.runtime import make_runtime
    from intctl.plan import trial
    from intctl.render.trouble import trouble
    from intctl.store import integrations, logs
    from intctl.store.clock import now
    from intctl.views.trouble import troubleshot

    integration = integrations.find(context.database(), context.org_id(), name)
    runtime = make_runtime(context, deadline_s)
    view = troubleshot(
        integration,
        trial.troubleshoot_stored(runtime, integration),
        logs.newest(context.database(), integration.org_id, id=integration.id, limit=50),
        status_page=_status_page(runtime.policy, integration.provider, deadline_s) if status_page else None,
        database_now=now(context.database()),
        checked_at=datetime.now(UTC),
    )
    context.one(view, TROUBLE_KEYS, style, trouble(view, plain=context.plain), integration.name)
    return EXIT_OK if view.verdict in ("healthy", "degraded") else EXIT_NOT_HEALTHY


def _status_page(policy: AddressPolicy | None, provider: str, deadline_s: float) -> StatusPage:
    """Query the vendor's status page; a page that cannot be read is reported as unknown."""
    from intctl.plan import trial
    from intctl.providers import catalogue
    from intctl.views.trouble import StatusPage

    known = catalogue.get(provider)
    url = known.status_page if known else ""
    if not url:
        return StatusPage(None, "no status page is known for this provider")
    outcome = trial.ask_status_page(url, policy=policy, deadline_s=deadline_s)
    if outcome.verdict != "healthy":
        return StatusPage(url, f"unknown: the page could not be read ({outcome.code})")
    return StatusPage(url, str(outcome.facts.get("description") or outcome.facts.get("indicator")))
