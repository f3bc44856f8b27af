"""The prompts of `intctl add` without a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import click

from intctl.cli.context import Context
from intctl.errors import ManifestError
from intctl.text import Secret, clean, fold, one_line

if TYPE_CHECKING:
    from intctl.manifest import Manifest
    from intctl.providers.base import Field, Provider

_T = TypeVar("_T")


def ask(context: Context, kind: str, taken: Iterable[str]) -> Manifest:
    """Prompt for a manifest on the terminal; `taken` holds the names in use.

    Reports an invalid answer and prompts again. Raises click.Abort at the end of input.
    """
    from intctl.manifest.answers import load_answers

    provider = _provider(context, kind)
    context.say(
        f"{provider.title}. Press Enter to accept the default in [brackets] or skip an optional field. "
        "Ctrl-C cancels; nothing is saved."
    )
    name = _name(context, provider, {fold(one) for one in taken})
    answers: dict[str, object] = {}
    fields = sorted(provider.fields, key=lambda field: not field.required)
    while True:
        for field in fields:
            _field(context, provider, field, answers)
        try:
            loaded = load_answers(provider, name, answers, context.forbidden_files)
        except ManifestError as error:
            fields = _again(context, provider, error)
            for field in fields:
                answers.pop(field.name, None)
            continue
        for warning in loaded.warnings:
            context.warn(warning)
        return loaded.items[0]


def _provider(context: Context, kind: str) -> Provider:
    from pathlib import Path

    from intctl.cli.providers import known
    from intctl.manifest.values import from_text
    from intctl.providers import catalogue
    from intctl.providers.base import Field

    if kind in catalogue.names() and kind not in catalogue.SPOKEN:
        return known(kind)
    names = tuple(name for name in catalogue.names() if catalogue.accepts(kind, known(name)))
    if len(names) == 1:
        return known(names[0])
    field = Field("provider", "The provider of the service", kind="choice", required=True, choices=names)
    return known(
        _question(
            context, f"Provider ({', '.join(names)})", "provider", lambda text: str(from_text(field, text, Path()))
        )
    )


def _name(context: Context, provider: Provider, taken: set[str]) -> str:
    from intctl.manifest.answers import judge_name
    from intctl.manifest.values import Wrong

    def judged(text: str) -> str:
        name = judge_name(text)
        if fold(name) in taken:
            raise Wrong("an integration with this name already exists")
        return name

    return _question(context, "Name of the integration", "name", judged, preset=provider.title)


def _field(context: Context, provider: Provider, field: Field, answers: dict[str, object]) -> None:
    """Prompt for one field. A skipped field is not recorded: the manifest fills in its default."""
    from intctl.manifest.answers import judge
    from intctl.manifest.template import takes

    preset = "" if field.secret else _preset(provider, field, answers)
    what = "path of a PEM file" if field.kind == "pem" else takes(field)
    label = f"{field.name}: {field.help}{f' ({what})' if what else ''}{'' if field.required else ', optional'}"

    def judged(text: str) -> object:
        left_out = not field.required and (not text.strip() or text == preset)
        return None if left_out else judge(field, text, context.forbidden_files)

    value = _question(context, label, field.name, judged, preset=preset, hidden=field.secret and field.kind != "pem")
    if value is not None:
        answers[field.name] = value


def _preset(provider: Provider, field: Field, answers: dict[str, object]) -> str:
    """The value of a skipped field: its default, or one derived from other answers."""
    from intctl.manifest.config import filled

    if field.required:
        return "" if field.default is None else str(field.default)
    secrets = provider.secrets
    given = {name: Secret(str(value)) if name in secrets else value for name, value in answers.items()}
    value = filled(provider, given).get(field.name)
    return str(value).lower() if isinstance(value, bool) else str(value or "")


def _again(context: Context, provider: Provider, error: ManifestError) -> list[Field]:
    """Print the problems of the combined answers and return the fields to prompt for again."""
    named = {name for problem in error.problems for name in problem.fields}
    fields = [field for field in provider.fields if field.name in named]
    if not fields:
        raise error
    for problem in error.problems:
        context.say(f"  {problem.message}")
    return fields


def _question(
    context: Context, label: str, name: str, judged: Callable[[str], _T], *, preset: str = "", hidden: bool = False
) -> _T:
    """Prompt until `judged` accepts the answer, and return its result."""
    from intctl.manifest.values import Wrong

    shown = f"{label} [{clean(preset)}]" if preset else label
    while True:
        try:
            text = _hidden(shown) if hidden else _visible(shown)
            return judged(text or preset)
        except Wrong as wrong:
            context.say(f"  {name}: {wrong}")
        except UnicodeDecodeError:
            context.say(f"  {name}: is not UTF-8 text")


def _visible(label: str) -> str:
    # Not click.prompt: it writes a space to standard output, which is reserved for data.
    sys.stderr.write(one_line(f"{label}: "))
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise click.Abort
    return line.rstrip("\r\n")


def _hidden(label: str) -> str:
    value: str = click.prompt(f"{label} (not shown)", default="", show_default=False, hide_input=True, err=True)
    return value
