"""The command agent: check due integrations once or as a service, and show the status of agents."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from intctl.cli.context import (
    Context,
    Seconds,
    SharedOptions,
    affordable,
    command,
    output_option,
    pass_context,
    timeout_option,
)
from intctl.cli.notifiers import chosen_target, notifier_options
from intctl.errors import EXIT_BUG, EXIT_NOT_HEALTHY, EXIT_OK, IntctlError, NotFoundError, UsageError, frames
from intctl.notify.catalogue import CATALOGUE
from intctl.text import clean, one_line

if TYPE_CHECKING:
    from datetime import datetime

    from intctl.agent import PassSettings, Stop
    from intctl.db.connect import Database
    from intctl.notify.catalogue import Subscriber
    from intctl.render.rows import Column
    from intctl.service.journal import Journal
    from intctl.service.runner import PassRunner
    from intctl.store.undelivered import Undelivered
    from intctl.views.agents import AgentStatus

STATUS_KEYS = (
    "host", "org_id", "version", "state", "started_at", "finished_at", "age_s", "failed_at", "failure", "passes",
    "checks", "last", "held_back", "notifications_pending", "notifications_dead",
)  # fmt: skip

#: How many dead letters `agent status` lists.
_LISTED_DEAD = 20
#: The budget of a pass that a timer starts every minute, in seconds.
_MINUTE_TIMER_S = 55.0


class Agent(SharedOptions, click.Group):
    """The command `agent`: a group that also runs without a subcommand."""


class AgentOptions(NamedTuple):
    """The options of a pass; `targets` maps each notifier's catalogue name to its option, `files` to its file."""

    once: bool
    every: float
    concurrency: int
    budget: float | None
    deadline_s: float
    log_format: str
    metrics_file: str | None
    targets: Mapping[str, str | None]
    files: Mapping[str, str | None]

    @property
    def pass_s(self) -> float | None:
        """The duration of a pass in seconds; None if it has no limit."""
        return self.budget or (_MINUTE_TIMER_S if self.once else None)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> AgentOptions:
        """Build the options from click's parameters."""
        targets = {name: entry.parameter for name, entry in CATALOGUE.items()}
        files = {name: f"{entry.parameter}_file" for name, entry in CATALOGUE.items() if entry.file_option}
        own = {name: value for name, value in given.items() if name not in {*targets.values(), *files.values()}}
        return cls(
            **own,
            targets={name: given[parameter] for name, parameter in targets.items()},
            files={name: given[parameter] for name, parameter in files.items()},
        )


@click.group(cls=Agent, invoke_without_command=True, subcommand_metavar="[COMMAND]")
@click.option("--once", is_flag=True, help="Run one pass over the due integrations and exit; for a timer or cron.")
@click.option(
    "--every",
    metavar="SECONDS",
    type=Seconds(1, 3600),
    default=15.0,
    show_default=True,
    help="Without --once: how often to look for due integrations.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="Maximum number of concurrent checks.",
)
@click.option(
    "--budget",
    metavar="SECONDS",
    type=Seconds(5, 3600),
    help="Maximum duration of a pass; unreached integrations stay due.  [default: 55 with --once]",
)
@timeout_option
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Plain text, or one JSON object per line.",
)
@notifier_options
@click.option(
    "--metrics-file",
    metavar="FILE",
    help="Write metrics to FILE after each pass, for node_exporter's textfile collector (it reads *.prom files).",
)
@pass_context
@click.pass_context
def agent(click_context: click.Context, context: Context, /, **given: Any) -> int:
    """Check due integrations once, or as a service until SIGTERM.

    Serves all organisations unless --org is given. Exits 0 if the pass was completed and
    recorded, whatever the checks found: a failure of this command means that the agent itself is
    broken. As a service it supports systemd (Type=notify, WatchdogSec=) and reloads its keyring on
    SIGHUP. Errors of --on-change, --ping-url and --metrics-file never fail a pass.
    """
    if (subcommand := click_context.invoked_subcommand) is not None:
        for option in click_context.command.params:
            source = option.name and click_context.get_parameter_source(option.name)
            if option.name in click_context.params and source is click.core.ParameterSource.COMMANDLINE:
                raise UsageError(f"{option.opts[0]} cannot be used with: intctl agent {subcommand}")
        return EXIT_OK
    from intctl.service.journal import Journal

    options = AgentOptions.of(given)
    context.keep_going()
    journal = Journal(options.log_format, _write, time.time)
    context.listener = lambda text: journal.say("warning", "warning", text)

    def work() -> None:
        from intctl import agent as agents

        runner = _runner(context, journal, options)
        if context.environ.get("INTCTL_DENY_NETWORKS") or context.environ.get("INTCTL_ALLOW_NETWORKS"):
            context.policy()  # report an invalid value before any integration is claimed
        with agents.Stop() as stop:
            if options.once:
                ends = time.monotonic() + (options.budget or _MINUTE_TIMER_S)
                runner.run(
                    lambda: _arrived(context, ends),
                    context.keyring,
                    lambda: _settings(context, options, max(1.0, ends - time.monotonic())),
                    stop,
                )
            else:
                _serve(context, runner, _settings(context, options, options.budget), stop, options.every)

    return _exit_code(journal, work)


def _write(data: bool, line: str) -> None:
    stream = sys.stdout if data else sys.stderr
    stream.write(f"{one_line(line)}\n")
    stream.flush()


def _exit_code(journal: Journal, work: Callable[[], None]) -> int:
    """Run `work` and return the exit code; a JSON journal records an error as a line."""
    if not journal.json:
        work()
        return EXIT_OK
    try:
        work()
    except IntctlError as error:
        journal.say("error", "failed", str(error), exit_code=error.exit_code)
        return error.exit_code
    except (OSError, click.exceptions.Exit):
        raise
    except Exception as error:
        text = f"this is a bug in intctl ({type(error).__name__}); please report it with this stack trace"
        journal.say("error", "bug", text, where=frames(error), exit_code=EXIT_BUG)
        return EXIT_BUG
    return EXIT_OK


def _settings(context: Context, options: AgentOptions, budget_s: float | None) -> PassSettings:
    from intctl.agent import PassSettings

    return PassSettings(
        host=context.host,
        concurrency=affordable(options.concurrency),
        deadline_s=options.deadline_s,
        org_id=context.org_id() if context.organisation else None,
        policy=context.policy,
        witness=context.witness,
        budget_s=budget_s,
    )


def _arrived(context: Context, ends: float) -> Database:
    """Open the database, retrying temporary errors until `ends` on the monotonic clock."""
    from intctl.db.persist import patiently

    return patiently(lambda _again: context.database(), lambda: ends)


def _runner(context: Context, journal: Journal, options: AgentOptions) -> PassRunner:
    """Build the runner of passes from the options. Raises UsageError."""
    from pathlib import Path

    from intctl.service.reporter import Reporter
    from intctl.service.runner import PassRunner
    from intctl.service.steps import Surroundings

    metrics_file = None if options.metrics_file is None else Path(options.metrics_file)
    around = Surroundings(journal, Reporter(journal, _subscribers(context, options)), metrics_file)
    return PassRunner(around, context.host, say_idle=options.once)


def _subscribers(context: Context, options: AgentOptions) -> list[Subscriber]:
    """Build the notifiers that the options or the environment enable. Raises UsageError."""
    from intctl.notify.catalogue import subscriber
    from intctl.notify.notifier import Setting

    found = []
    for name, entry in CATALOGUE.items():
        target, source = chosen_target(context, entry, options.targets[name], options.files.get(name))
        # An empty value disables a notifier that has a variable; for the others it is an invalid target.
        if target is None or (entry.variable and not target):
            continue
        setting = Setting(
            target, source, context.environ, context.policy, is_service=not options.once, budget_s=options.pass_s
        )
        found.append(subscriber(entry, setting))
    return found


def _serve(context: Context, runner: PassRunner, settings: PassSettings, stop: Stop, every: float) -> None:
    from intctl.db.connect import connect
    from intctl.service.loop import Service
    from intctl.service.systemd import ServiceManager

    def opened() -> Database:
        return connect(context.target)

    # Fail at startup, with the database's exit code, if it is not ready; retry while it is restarting.
    _arrived(context, time.monotonic() + (settings.budget_s or _MINUTE_TIMER_S))
    context.close()  # each pass opens its own connection
    manager = ServiceManager(context.environ)
    runner.around.progress = manager.progress
    Service(
        runner=runner,
        connect=opened,
        keyring=context.keyring(),
        reload=context.load_keyring,
        settings=settings,
        manager=manager,
        every_s=every,
    ).run(stop)


# --- status --------------------------------------------------------------------------------------


@agent.command(cls=command.keywords["cls"])
@click.option(
    "--max-age",
    metavar="TIME",
    default="15m",
    show_default=True,
    help="Maximum age of the last finished pass: 90s, 15m, 2h, 1d.",
)
@output_option
@pass_context
def status(context: Context, max_age: str, style: str) -> int:
    """Show the last pass of each host, and undelivered notifications.

    Exits 1 if no pass finished within --max-age. With --org, only agents that serve that organisation are shown, with
    the counts of its checks.
    """
    from intctl.render.rows import Column
    from intctl.store import undelivered
    from intctl.text import rfc3339
    from intctl.views.agents import agents

    limit_s = _seconds(max_age)
    org_id = context.org_id() if context.organisation else None
    counts = undelivered.count(context.database(), org_id)
    rows = agents(context.database(), org_id, limit_s, counts)

    def shown(moment: datetime | None) -> str:
        return "-" if moment is None else rfc3339(moment)[:19].replace("T", " ")

    columns: list[Column[AgentStatus]] = [
        Column("Host", lambda row: row.host),
        Column("Serves", lambda row: row.org_id or "all"),
        Column("State", lambda row: row.state),
        Column("Started (UTC)", lambda row: shown(row.started_at)),
        Column("Finished (UTC)", lambda row: shown(row.finished_at)),
        Column("Checked", lambda row: row.last.get("checked", "-")),
        Column("Passes", lambda row: row.passes),
        Column("Version", lambda row: row.version),
        Column("Failure", lambda row: row.failure),
    ]
    context.rows(rows, columns, STATUS_KEYS, style, name="host", empty="No agent has run yet.\n")
    if held_back := sorted({name for row in rows for name in row.held_back}):
        context.say(f"Held back, because another database session keeps the row locked: {', '.join(held_back)}.")
        context.say("Run: intctl explain self.row_locked")
    for line in _own_faults(rows):
        context.say(line)
    if style == "table":
        context.out(_undelivered(context.database(), org_id, counts))
    if any(row.in_time for row in rows):
        return EXIT_OK
    context.say(f"No pass finished in the last {max_age}. Run: systemctl status intctl-agent")
    return EXIT_NOT_HEALTHY


def _own_faults(rows: Sequence[AgentStatus]) -> list[str]:
    """What is wrong with the hosts of the agents by their last passes: a line for each host and cause."""
    from intctl.health.codes import CODES

    found = []
    for row in rows:
        faults = row.last.get("faults")
        for code in sorted(faults if isinstance(faults, dict) else {}):
            if code in CODES:
                cause = CODES[code]
                step = cause.next_step.replace(", then run intctl check NAME", "")
                found.append(f"On {clean(row.host)}: {cause.meaning} ({code}). {step}")
    return found


def _undelivered(database: Database, org_id: str | None, counts: Undelivered) -> str:
    """The lines about undelivered notifications."""
    from intctl.render.notifications import dead_letter_lines, undelivered_line
    from intctl.store.undelivered import dead_letters

    if not (line := undelivered_line(counts)):
        return ""
    letters = dead_letters(database, org_id, limit=_LISTED_DEAD) if counts.dead else []
    return "\n".join(["", line, *dead_letter_lines(letters, counts.dead), ""])


@agent.command(cls=command.keywords["cls"])
@click.argument("id", required=False)
@click.option("--dead", is_flag=True, help="All dead letters.")
@pass_context
def retell(context: Context, id: str | None, dead: bool) -> None:
    """Send undelivered notifications again.

    ID is that of one notification, or the name or id of an integration for all of its
    notifications. They are due at once, with all their retries; an agent with --on-change
    delivers them in its next pass. For the IDs of dead letters: intctl agent status
    """
    from intctl.store import undelivered

    if (id is None) != dead:
        raise UsageError("Give the ID of a notification, the name of an integration, or --dead.")
    org_id = context.org_id() if context.organisation else None
    if id is None:
        count = undelivered.retell_dead(context.database(), org_id)
    elif not (count := undelivered.retell(context.database(), id, org_id)):
        raise NotFoundError(
            f'No undelivered notification has the ID or integration "{clean(id, 100)}". '
            "List dead letters: intctl agent status"
        )
    if count == 0:
        context.out("There are no dead letters.\n")
        return
    are = "notification is" if count == 1 else "notifications are"
    context.out(f"{count} {are} due again; the next pass of an agent with --on-change delivers them.\n")


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", text)
    if not found:
        raise UsageError("--max-age must be a time such as 90s, 15m, 2h or 1d.")
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
