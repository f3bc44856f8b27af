"""The command providers: list providers and write manifest templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from intctl.cli.context import Context, command, output_option, pass_context
from intctl.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from intctl.providers.base import Provider
    from intctl.render.rows import Column
    from intctl.views.providers import ProviderView


@click.group()
def providers() -> None:
    """List providers and write manifest templates."""


@providers.command("list", cls=command.keywords["cls"])
@click.option("--type", "type_", metavar="TYPE", help="Only providers of this type, such as email or payroll.")
@output_option
@pass_context
def list_(context: Context, type_: str | None, style: str) -> None:
    """List the providers that can be integrated."""
    from intctl.providers import catalogue
    from intctl.providers.base import TYPES
    from intctl.render.providers import LIST_KEYS
    from intctl.render.rows import Column
    from intctl.text import clean, nearest
    from intctl.views.providers import provider_view

    if type_ is not None and type_ not in TYPES:
        raise UsageError(f'There is no type "{clean(type_, 40)}"{nearest(type_, TYPES)} (types: {", ".join(TYPES)})')
    names = [name for name, entry in catalogue.CATALOGUE.items() if type_ is None or entry.type == type_]
    rows = [provider_view(known(name)) for name in names]
    columns: list[Column[ProviderView]] = [
        Column("Name", lambda row: row.name),
        Column("Title", lambda row: row.title),
        Column("Type", lambda row: row.type),
        Column("Speaks", lambda row: row.speaks),
        Column("Proof", lambda row: row.proof),
    ]
    empty = f"There is no provider of type {type_}. Providers of type custom accept any type.\n"
    context.rows(rows, columns, LIST_KEYS, style, empty=empty)


@providers.command("show", cls=command.keywords["cls"])
@click.argument("name")
@output_option
@pass_context
def show(context: Context, name: str, style: str) -> None:
    """Show the provider NAME: its fields, its proof and the confidence in it."""
    from intctl.render.providers import SHOW_KEYS, page
    from intctl.views.providers import provider_view

    found = provider_view(known(name))
    context.one(found, SHOW_KEYS, style, page(found), found.name)


@providers.command("template", cls=command.keywords["cls"])
@click.argument("name")
@pass_context
def template(context: Context, name: str) -> None:
    """Write a commented manifest template for the provider NAME.

    For example: intctl providers template twilio > twilio.yaml
    """
    from intctl.manifest.template import template as made

    context.out(made(known(name)))


@providers.command("schema", cls=command.keywords["cls"])
@click.argument("name", required=False)
@pass_context
def schema(context: Context, name: str | None) -> None:
    """Write the JSON Schema of manifests.

    It covers the provider NAME, or all providers. An editor finds it through the first line of a manifest:

    \b
      # yaml-language-server: $schema=intctl.schema.json

    The schema validates single values. To validate their combination, run: intctl test -f FILE
    """
    import json

    from intctl.manifest.schema import schema as made
    from intctl.providers import catalogue

    wanted = [known(name)] if name is not None else [known(one) for one in catalogue.names()]
    context.out(json.dumps(made(wanted), indent=2, ensure_ascii=False) + "\n")


def known(name: str) -> Provider:
    """The provider of that name. Raises NotFoundError, which suggests the nearest name."""
    from intctl.providers import catalogue
    from intctl.text import clean, nearest

    found = catalogue.get(name)
    if found is None:
        raise NotFoundError(
            f'There is no provider "{clean(name, 40)}"{nearest(name, catalogue.names())}. '
            "To list all: intctl providers list"
        )
    return found
