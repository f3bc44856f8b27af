"""The commands init and org: set up the database, the keyring and organisations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from intctl.cli.context import Context, command, output_option, pass_context
from intctl.errors import KeyringError, UsageError

if TYPE_CHECKING:
    from intctl.render.rows import Column
    from intctl.schema.setup import Prepared
    from intctl.views.organizations import ListedOrganization


@command()
@click.option(
    "--org-name", metavar="NAME", default="Default", show_default=True, help="Name of the first organisation."
)
@click.option("--org-slug", metavar="SLUG", help="Short name of the organisation [default: derived from its name].")
@click.option("--new-key", is_flag=True, help="Create a keyring even if integrations are sealed with a lost key.")
@pass_context
def init(context: Context, org_name: str, org_slug: str | None, new_key: bool) -> None:
    """Prepare the database, keyring and organisation.

    Creates missing parts and upgrades an older database. Running it again changes nothing.
    The database is an SQLite file in the data folder (INTCTL_HOME), or the PostgreSQL database
    that INTCTL_DATABASE_URL or --database-url-file names.
    """
    from intctl import keyring
    from intctl.schema.setup import prepare
    from intctl.store import organization_changes

    _check_name(org_name)
    slug = org_slug or _slug(org_name)
    there = keyring.is_named(context.environ) or keyring.exists(context.environ, context.trusted_home())
    if there:
        context.keyring()  # report an unusable keyring before creating anything
    if not there or context.is_database_in_home:
        _make_folder(context)
    prepared = prepare(context.target, organization_changes.first_organization(org_name, slug))
    if not there and not new_key:
        _require_unsealed(context)
    made = not there and _make_keyring(context)
    for line in _told(context, prepared, made):
        context.out(f"{line}\n")
    for notice in prepared.notices:
        context.warn(notice)
    if not prepared.changed and not made and not prepared.organization_created:
        context.out("Nothing to do: everything is in place.\n")


def _make_folder(context: Context) -> None:
    context.trusted_home()
    try:
        context.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        raise UsageError(
            f"The data folder {context.home} cannot be created. Set INTCTL_HOME to a writable folder."
        ) from None


def _require_unsealed(context: Context) -> None:
    """Raise KeyringError if integrations are sealed with a key that a new keyring would not contain."""
    from intctl.store.configs import key_ids

    found = key_ids(context.database())
    if found:
        number, keys = sum(found.values()), " and ".join(sorted(found))
        raise KeyringError(
            f"{number} integrations are sealed with {keys}, but there is no keyring. Restore it from its "
            "backup or from the machine that has it. Only if it is permanently lost, run: intctl init --new-key"
        )


def _make_keyring(context: Context) -> bool:
    from intctl import keyring

    path = context.home / "keyring.json"
    try:
        keyring.write_file(path, [keyring.new_key()])
    except KeyringError:
        if path.exists():  # a concurrent init created it: use that keyring
            keyring.read_file(path)
            return False
        raise
    return True


def _told(context: Context, prepared: Prepared, made: bool) -> list[str]:
    label = context.target.label
    lines = []
    if prepared.created:
        lines.append(f"Database: created {label}")
    elif prepared.changed:
        came = f" (was at revision {prepared.upgraded_from})" if prepared.upgraded_from else ""
        lines.append(f"Database: prepared {label}{came}")
    else:
        lines.append(f"Database: {label} is up to date")
    if made:
        path = context.home / "keyring.json"
        lines.append(f"Keyring: created {path}")
        lines.append("Back it up, separately from the database: without it, stored secrets cannot be read.")
    else:
        lines.append("Keyring: in place")
    organization = prepared.organization
    if organization:
        verb = "created" if prepared.organization_created else "using"
        lines.append(f"Organisation: {verb} {organization.name} ({organization.id})")
    if prepared.adopted:
        lines.append(f"Adopted {len(prepared.adopted)} integrations that are not sealed; they were not changed:")
        lines += [f"  {name} ({id})" for id, name in prepared.adopted]
    return lines


def _check_name(name: str) -> None:
    from intctl.text import name_problem

    if problem := name_problem(name):
        raise UsageError(f"Invalid organisation name: {problem}")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "organisation"


@click.group()
def org() -> None:
    """List, create and configure organisations."""


@org.command("list", cls=command.keywords["cls"])
@output_option
@pass_context
def list_(context: Context, style: str) -> None:
    """List the organisations that this database role can read."""
    from intctl.render.rows import Column
    from intctl.views.organizations import listed

    columns: list[Column[ListedOrganization]] = [
        Column("Name", lambda row: row.name),
        Column("Slug", lambda row: row.slug),
        Column("Id", lambda row: row.id),
        Column("Keeps checks", lambda row: f"{row.retention_days} days"),
    ]
    context.rows(
        listed(context.database()),
        columns,
        ("id", "name", "slug", "retention_days"),
        style,
        empty="No organisation is visible. Create one: intctl org create NAME\n",
    )


@org.command("create", cls=command.keywords["cls"])
@click.argument("name")
@click.option("--slug", help="Short name [default: derived from NAME].")
@pass_context
def create(context: Context, name: str, slug: str | None) -> None:
    """Create an organisation called NAME."""
    from intctl.store import changes, organization_changes

    _check_name(name)
    from intctl.store import organizations

    with changes.unit_of_work(context.target) as session:
        made = organization_changes.create_organization(session, name, slug or _slug(name))
    context.out(f"Created {made.name} ({made.id})\n")
    if len(organizations.find_all(context.database())) == 2:
        context.say("There are two organisations now: commands require --org or INTCTL_ORG.")


@org.command("set", cls=command.keywords["cls"])
@click.option(
    "--retention-days",
    metavar="DAYS",
    type=click.IntRange(2, 3650),
    required=True,
    help="Days for which every check is kept, 2 to 3650; older days are rolled up.",
)
@pass_context
def set_(context: Context, retention_days: int) -> None:
    """Configure the organisation that --org names, or the only one."""
    from intctl.store import changes, organization_changes

    org_id = context.org_id()
    with changes.unit_of_work(context.target) as session:
        organization_changes.set_retention(session, org_id=org_id, days=retention_days)
    context.out(f"Checks are kept for {retention_days} days; for older days, the agent keeps daily figures.\n")
