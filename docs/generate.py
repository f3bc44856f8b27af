"""Writes what the docs say about the code, from the code: `python docs/generate.py`, or with --check.

commands.md is the help of every command, codes.md the table of causes, providers/ has a page for each
provider of the catalogue, and some blocks (between `<!-- name -->` and `<!-- end -->`) are texts that
come from the code: in the README the providers, the root help and the exit codes, in add-a-provider.md a
provider's file, in add-a-notifier.md a notifier's.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import click

from intctl import cli
from intctl.errors import EXIT_CODES
from intctl.health.codes import ACTORS, CODES
from intctl.manifest.template import takes, template
from intctl.providers import catalogue
from intctl.providers.base import CONFIDENCE, TYPES, Field, Provider
from intctl.render.providers import facts, need
from intctl.views.providers import provider_view

ROOT = Path(__file__).parent.parent


def helps() -> dict[str, str]:
    """The help text of the root and of every command and subcommand, at 80 columns."""
    found = {"intctl": _command_help(cli.root, None, "intctl")}
    for name, (module, attribute, _) in cli.COMMANDS.items():
        command = getattr(import_module(module), attribute)
        found[f"intctl {name}"] = _command_help(command, None, f"intctl {name}")
        for inner, sub in getattr(command, "commands", {}).items():
            found[f"intctl {name} {inner}"] = _command_help(sub, None, f"intctl {name} {inner}")
    return found


def _command_help(command: click.Command, parent: click.Context | None, name: str) -> str:
    context = click.Context(command, parent, info_name=name, terminal_width=78, help_option_names=["-h", "--help"])
    return command.get_help(context).rstrip()


def commands() -> str:
    """docs/commands.md."""
    parts = ["# Commands\n\nMade by `python docs/generate.py` from the commands themselves.\n"]
    parts += [f"## {name}\n\n```text\n{text}\n```\n" for name, text in helps().items()]
    return "\n".join(parts)


def codes() -> str:
    """docs/codes.md."""
    lines = [
        "# Codes",
        "",
        "Made by `python docs/generate.py` from the table of causes. A code is stable: alerts and scripts key on it.",
        "Codes that start with `self.` are faults and limits of the machine that checks, never the provider's.",
        "",
    ]
    for code, cause in CODES.items():
        notes = []
        if cause.transient:
            notes.append("Tried once more inside the deadline; an error of scheduled checks from the second time on.")
        if cause.rejection:
            notes.append("A definite refusal: scheduled logins slow down and stop after three.")
        lines += [
            f"## {code}",
            "",
            f"{cause.meaning}.",
            "",
            f"- Verdict: {cause.verdict}",
            f"- Who acts: {ACTORS[cause.actor]}",
            f"- Next step: {cause.next_step}",
            *[f"- {note}" for note in notes],
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def readme() -> str:
    """The README with its blocks rewritten."""
    table = "\n".join(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    return _with_blocks("README.md", {
        "exit codes": f"| code | meaning |\n|---|---|\n{table}",
        "providers": providers_by_type(),
        "help": f"```text\n{helps()['intctl']}\n```",
    })  # fmt: skip


def providers_by_type() -> str:
    """A list item for each type with the providers that have a proof, then a sentence on those without one."""
    unproven = [name for name in catalogue.names() if _provider(name).confidence == "none"]
    lines = []
    for kind in TYPES:
        names = [name for name, entry in catalogue.CATALOGUE.items() if entry.type == kind and name not in unproven]
        lines += [f"- `{kind}`: {', '.join(names)}"] if names else []
    *most, last = unproven
    kept = f"{', '.join(most)} and {last} can be stored, but are never shown as healthy:"
    return "\n".join([*lines, "", kept, "intctl knows no read-only proof for them."])


def add_a_provider() -> str:
    """docs/add-a-provider.md with the provider's file and its example as they are."""
    return _with_files("docs/add-a-provider.md", "intctl/providers/bamboohr.py", "examples/bamboohr.yaml")


def add_a_notifier() -> str:
    """docs/add-a-notifier.md with the notifier's file as it is."""
    return _with_files("docs/add-a-notifier.md", "intctl/notify/ping.py")


def _with_files(name: str, *files: str) -> str:
    """A document in which each block that has the name of a file holds that file."""
    source = Path(__file__).parent.parent
    language = {".py": "python", ".yaml": "yaml"}
    blocks = {file: f"```{language[Path(file).suffix]}\n{(source / file).read_text('utf-8')}```" for file in files}
    return _with_blocks(name, blocks)


def _with_blocks(name: str, blocks: dict[str, str]) -> str:
    text = (ROOT / name).read_text("utf-8")
    for block, body in blocks.items():
        found = re.compile(f"(<!-- {re.escape(block)} -->\n).*?(<!-- end -->)", re.DOTALL)
        assert found.search(text), block
        text = found.sub(lambda match, body=body: f"{match[1]}{body}\n{match[2]}", text)
    return text


def index() -> str:
    """docs/providers/README.md: all providers, in the catalogue's order."""
    known = [_provider(name) for name in catalogue.names()]
    lines = [
        "# Providers",
        "",
        "Made by `python docs/generate.py` from `intctl/providers/`; `intctl providers list` shows the same.",
        "",
        "Confidence says where the proof is known from: "
        + "; ".join(f"*{word}*, {meaning}" for word, meaning in CONFIDENCE.items())
        + ".",
        "",
        "| provider | type | proven by | confidence |",
        "|---|---|---|---|",
    ]
    lines += [f"| [{one.title}]({one.name}.md) | {one.type} | {_cell(one.proof)} | {one.confidence} |" for one in known]
    return "\n".join(lines) + "\n"


def page(name: str) -> str:
    """docs/providers/NAME.md."""
    one = _provider(name)
    view = provider_view(one)
    lines = [f"# {one.title}", "", *view.notes.replace("\n", "\n\n").splitlines(), ""]
    lines += [f"- Provider: `{one.name}`", f"- Type: {one.type}"]
    lines += [f"- Speaks: {one.speaks} (`intctl add {one.speaks}` takes it)"] if one.speaks else []
    known = facts(view)
    lines += [f"- Proven by: {known.pop('Proof')}", *(f"- {label}: {text}" for label, text in known.items())]
    lines += ["", "| field | takes | | what it is |", "|---|---|---|---|"]
    needs = {shown.name: need(shown) for shown in view.fields}
    lines += [f"| `{field.name}` | {_takes(field)} | {needs[field.name]} | {_help(field)} |" for field in one.fields]
    lines += ["", f"A manifest to fill in (`intctl providers template {name} > {name}.yaml`):", ""]
    return "\n".join([*lines, f"```yaml\n{template(one)}```"]) + "\n"


def _provider(name: str) -> Provider:
    one = catalogue.get(name)
    assert one is not None
    return one


def _takes(field: Field) -> str:
    what = takes(field) or "text"
    return _cell(f"a secret: {what}" if field.secret else what)


def _help(field: Field) -> str:
    words = [field.help, f"For example: {field.example}" if field.example else ""]
    place = field.needed_with or field.beside
    return _cell(". ".join(filter(None, [*words, f"Only with `{place}`" if place else ""])))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


FILES: dict[str, Callable[[], str]] = {
    "docs/commands.md": commands,
    "docs/codes.md": codes,
    "README.md": readme,
    "docs/add-a-provider.md": add_a_provider,
    "docs/add-a-notifier.md": add_a_notifier,
    "docs/providers/README.md": index,
    **{f"docs/providers/{name}.md": partial(page, name) for name in catalogue.names()},
}


def stale() -> list[str]:
    """The files that do not say what the code says, and pages of providers that are gone."""
    wrong = [
        name for name, made in FILES.items() if not (ROOT / name).exists() or (ROOT / name).read_text("utf-8") != made()
    ]
    return wrong + _left_over()


def _left_over() -> list[str]:
    pages = (f"docs/providers/{path.name}" for path in (ROOT / "docs" / "providers").glob("*"))
    return sorted(name for name in pages if name not in FILES)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(f"stale: {', '.join(found)}; run: python docs/generate.py" if (found := stale()) else 0)
    (ROOT / "docs" / "providers").mkdir(exist_ok=True)
    for name, made in FILES.items():
        (ROOT / name).write_text(made(), "utf-8")
    for name in _left_over():
        (ROOT / name).unlink()
