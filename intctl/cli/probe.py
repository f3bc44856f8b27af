"""The commands test, check and reconnect: contact the provider now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from intctl.cli.context import Context, affordable, command, output_option, pass_context, takes, timeout_option
from intctl.errors import EXIT_BUSY, EXIT_NOT_HEALTHY, EXIT_OK, IntctlError, UsageError
from intctl.health.status import is_enabled
from intctl.text import clean

if TYPE_CHECKING:
    from intctl.health.outcome import Outcome
    from intctl.manifest import Manifest
    from intctl.store.integrations import Integration
    from intctl.views.finding import Finding
from intctl.cli.manifests import Access, access_options, load
from intctl.cli.outcomes import tell
from intctl.cli.runtime import agent_settings, make_runtime, progress


@command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "all_", is_flag=True, help="Check all enabled integrations.")
@click.option("--nagios", is_flag=True, help="Print one line and exit 0 to 3, as a Nagios plugin.")
@timeout_option
@output_option
@pass_context
def check(context: Context, names: tuple[str, ...], all_: bool, nagios: bool, deadline_s: float, style: str) -> int:
    """Check integrations now and record the results.

    Exits 0 if all are healthy (or degraded, with a warning), 1 if one is not, and 7 if another
    process was checking one and did not finish in time. With --nagios, exits 0 to 3 only.
    """
    if nagios:
        return _as_plugin(context, names, all_, deadline_s)
    if bool(names) == all_:
        raise UsageError("Name the integrations to check or use --all, not both.")
    return run_checks(context, _named(context, names, all_), deadline_s, style)


def _as_plugin(context: Context, names: Sequence[str], all_: bool, deadline_s: float) -> int:
    """Run the checks as a plugin: any error is one line on standard output and exit code 3."""
    try:
        if bool(names) == all_:
            raise UsageError("name the integrations to check or use --all, not both")
        return run_checks(context, _named(context, names, all_), deadline_s, "table", nagios=True)
    except IntctlError as error:
        context.out(f"INTCTL UNKNOWN - {clean(error).replace('|', ' ')}\n")
        return 3


def _named(context: Context, names: Sequence[str], all_: bool) -> list[Integration]:
    from intctl.store import integrations

    database, org_id = context.database(), context.org_id()
    if all_:
        return [one for one in integrations.find_all(database, org_id) if is_enabled(one.status)]
    found = {one.id: one for one in (integrations.find(database, org_id, name) for name in names)}
    return list(found.values())


def run_checks(
    context: Context, integrations: Sequence[Integration], deadline_s: float, style: str, *, nagios: bool = False
) -> int:
    """Check integrations, print the findings and return the exit code."""
    from intctl.agent import Stop, Summary
    from intctl.agent.on_demand import check as check_now
    from intctl.views.finding import Finding

    if not integrations and not nagios:
        if style == "table":
            context.say("Nothing to check: no integration is enabled.")
        else:
            tell(context, [], style)
        return EXIT_OK
    database, keyring = context.database(), context.keyring()
    summary = Summary()
    with progress(len(integrations), "Checking") as step, Stop() as stop:
        checked = check_now(database, keyring, agent_settings(context, deadline_s), integrations, stop, step, summary)
    if stop:
        raise KeyboardInterrupt
    found = [
        Finding.of(
            one.outcome,
            name=one.integration.name,
            id=one.integration.id,
            provider=one.integration.provider,
            checked_at=one.checked_at,
        )
        for one in checked
        if one.outcome is not None
    ]
    if summary.notice:
        context.warn(summary.notice)
    code = tell(context, found, style, nagios=nagios)
    busy = [one.integration.name for one in checked if one.outcome is None]
    if busy:
        context.say(f"Another process is checking and did not finish in time; try again later: {', '.join(busy)}")
        return code if code != EXIT_OK else 3 if nagios else EXIT_BUSY
    return code


@command()
@click.argument("name")
@timeout_option
@output_option
@pass_context
def reconnect(context: Context, name: str, deadline_s: float, style: str) -> int:
    """Clear the error state of NAME, test it, and activate it when the test passes."""
    from intctl.store import changes, integrations

    org_id = context.org_id()
    integration = integrations.find(context.database(), org_id, name)
    code = run_checks(context, [integration], deadline_s, style)
    if code == EXIT_OK and not is_enabled(integration.status):
        with changes.unit_of_work(context.target) as session:
            changes.set_status(session, id=integration.id, org_id=org_id, status="active")
    return code


@dataclass(frozen=True, slots=True)
class TestOptions(Access):
    """The arguments of `intctl test`."""

    name: str | None
    file: str | None
    send_to: str | None
    assignments: tuple[str, ...]
    spend_token: bool
    deadline_s: float
    style: str


@command()
@click.argument("name", required=False)
@click.option("-f", "--file", "file", metavar="FILE", help="Test this manifest file, or - for standard input.")
@click.option("--send-to", metavar="ADDRESS", help="Send a real test mail to ADDRESS.")
@click.option("--set", "assignments", metavar="KEY=VALUE", multiple=True, help="With -f: override a non-secret key.")
@access_options
@click.option("--spend-token", is_flag=True, help="With -f: use up a single-use refresh token.")
@timeout_option
@output_option
@pass_context
@takes(TestOptions)
def test(context: Context, options: TestOptions) -> int:
    """Test the connection of the integration NAME, or of a manifest file. Never writes anything.

    It therefore does not use a refresh token that the provider replaces on use; intctl check NAME
    does, and saves the new one. --spend-token uses up the file's token; the new one is lost.
    """
    if (options.name is None) == (options.file is None):
        raise UsageError("Name an integration to test or use -f FILE, not both.")
    if options.name is not None and (options.assignments or options.is_given):
        raise UsageError("--set, --allow-inline-secrets, --allow-env and --files-below require -f.")
    if options.name is not None and options.spend_token:
        raise UsageError("--spend-token requires -f. To save the new token of an integration, run: intctl check NAME")
    if options.name is not None:
        found = [_test_stored(context, options.name, options)]
    else:
        found = _test_file(context, str(options.file), options)
    for one in found if options.send_to else []:
        context.say(f"{clean(one.integration)}: the test mail to {clean(options.send_to)} {_sent(one)}.")
    code = tell(context, found, options.style)
    return EXIT_NOT_HEALTHY if code == EXIT_OK and options.send_to and any(one.code != "ok" for one in found) else code


def _sent(found: Finding) -> str:
    """What became of the test mail."""
    step = str(found.facts.get("smtp_step", ""))
    if found.code == "ok":
        return f"was accepted ({found.facts['server_reply']})"
    if step == "DATA" and found.code in _CUT_SHORT:
        return "may have been sent: the connection ended before the mail server replied to it"
    return f"was not accepted at {step}, and nothing was sent" if step else "was not sent"


#: Ends of a connection that leave open whether the mail server took the mail.
_CUT_SHORT = ("connection.closed", "connection.reset", "reply.timeout", "deadline", "protocol.error")


def _test_stored(context: Context, name: str, options: TestOptions) -> Finding:
    from intctl.plan import trial
    from intctl.store import integrations
    from intctl.views.finding import Finding

    stored = integrations.find(context.database(), context.org_id(), name)
    outcome = trial.test_stored(make_runtime(context, options.deadline_s), stored, options.send_to)
    now = datetime.now(UTC)
    return Finding.of(outcome, name=stored.name, id=stored.id, provider=stored.provider, checked_at=now)


def _test_file(context: Context, file: str, options: TestOptions) -> list[Finding]:
    from intctl import plan
    from intctl.plan import trial
    from intctl.views.finding import Finding

    manifests = load(context, [file], options.assignments, options)
    for manifest in manifests if options.spend_token else []:
        if plan.single_use(manifest):
            context.warn(f"{_label(manifest)}: this test uses up its refresh token, and the new one is not saved.")
    outcomes = trial.test_manifests(
        manifests,
        policy=context.policy(),
        deadline_s=options.deadline_s,
        concurrency=affordable(),
        send_to=options.send_to,
        spend_token=options.spend_token,
    )
    now, found = datetime.now(UTC), []
    for manifest, outcome in zip(manifests, outcomes, strict=True):
        _say_spent(context, manifest, outcome)
        provider = manifest.provider.name
        found.append(Finding.of(outcome, name=manifest.name or provider, id=None, provider=provider, checked_at=now))
    return found


def _say_spent(context: Context, manifest: Manifest, outcome: Outcome) -> None:
    """Warn if the test used up, or may have used up, the file's refresh token."""
    from intctl import plan

    name, single_use, again = _label(manifest), plan.single_use(manifest), "authorise again at the provider"
    if single_use and outcome.facts.get("token_exchanged"):
        context.warn(f"{name}: the refresh token in the file is now used up and invalid: {again} before add or apply.")
    elif outcome.facts.get("refresh_token_replaced"):
        refused = f"if add or apply fails, {again}"
        context.warn(f"{name}: the provider sent a new refresh token, which a test does not save: {refused}.")
    elif single_use and outcome.phase == "auth" and not _is_refusal(outcome.code) and outcome.verdict != "unknown":
        context.warn(f"{name}: the refresh token in the file may be used up: if add or apply fails, {again}.")


def _is_refusal(code: str) -> bool:
    from intctl.health.codes import CODES

    return CODES[code].rejection or CODES[code].slows


def _label(manifest: Manifest) -> str:
    return clean(manifest.name or manifest.provider.name)
