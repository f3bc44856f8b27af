"""agent: check what is due, once from a timer or for ever as a service."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from intctl import failpoint
from intctl.cli.context import Context, Seconds, command, pass_context, timeout_option
from intctl.errors import IntctlError, KeyringError

if TYPE_CHECKING:
    from intctl.agent import Settings, Summary
    from intctl.store.connect import Database

#: The budget of a pass that a timer starts every minute, in seconds.
_MINUTE_TIMER_S = 55.0


@command()
@click.option("--once", is_flag=True, help="One pass over what is due, then exit: for a timer or cron.")
@click.option("--every", metavar="SECONDS", type=Seconds(1, 3600), default=15.0, show_default=True,
              help="Without --once: how often to look for what is due.")  # fmt: skip
@click.option(
    "--concurrency", type=click.IntRange(1, 1000), default=50, show_default=True, help="Checks at the same time."
)
@click.option(
    "--budget", metavar="SECONDS", type=Seconds(5, 3600),
    help="Seconds that a pass may take; what it does not reach stays due.  [default: 55 with --once]",
)  # fmt: skip
@timeout_option
@pass_context
def agent(
    context: Context, once: bool, every: float, concurrency: int, budget: float | None, deadline_s: float
) -> None:
    """Check what is due: once, or as a service that SIGTERM ends.

    Serves all organisations unless --org is given. Exits 0 when the pass was completed and
    recorded, whatever it found: a failure of this command means that the agent itself is broken.
    """
    from intctl import agent as agents

    if context.environ.get("INTCTL_DENY_NETWORKS") or context.environ.get("INTCTL_ALLOW_NETWORKS"):
        context.policy()  # a wrong one is said before anything is claimed
    left_s = _arrived(context, budget or _MINUTE_TIMER_S)
    org_id = context.org_id() if context.organisation else None
    settings = agents.Settings(
        host=context.host,
        concurrency=_affordable(concurrency),
        deadline_s=deadline_s,
        org_id=org_id,
        policy=context.policy,
        witness=context.witness,
        budget_s=left_s if once else budget,
    )
    failpoint.arm(context.environ)
    with agents.Stop() as stop:
        if once:
            summary = agents.run_once(context.database(), context.keyring(), settings, stop)
            context.out(f"{summary.line()}\n")
            if summary.keyless:
                raise KeyringError(summary.notice)
            if summary.notice:
                context.warn(summary.notice)
        else:
            _serve(context, settings, stop, every)


def _arrived(context: Context, budget_s: float) -> float:
    """Opens the database, with patience where its trouble may pass; what is left of the budget, in seconds."""
    import time

    from intctl.store.persist import patiently

    started = time.monotonic()
    patiently(lambda _again: context.database(), lambda: started + budget_s)
    return max(1.0, started + budget_s - time.monotonic())


def _affordable(concurrency: int) -> int:
    """Fewer checks at once where the process may not open files enough for all."""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return concurrency if soft == resource.RLIM_INFINITY else max(1, min(concurrency, (soft - 32) // 2))


def _serve(context: Context, settings: Settings, stop: object, every: float) -> None:
    from intctl import agent as agents
    from intctl.store.connect import connect

    def opened() -> Database:
        return connect(context.target)

    def report(summary: Summary) -> None:
        if summary.recorded or summary.set_aside or summary.lost or summary.given_back:
            context.out(f"{summary.line()}\n")
            sys.stdout.flush()
        if summary.notice:
            context.warn(summary.notice)

    def complain(error: IntctlError) -> None:
        context.say(f"intctl: {error} Trying again every {every:g} seconds.")

    context.close()  # each pass opens it anew
    assert isinstance(stop, agents.Stop)
    agents.run_forever(opened, context.keyring(), settings, stop, every_s=every, report=report, complain=complain)
