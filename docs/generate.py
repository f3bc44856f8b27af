"""Writes what the docs say about the code, from the code: `python docs/generate.py`, or with --check.

commands.md is the help of every command, codes.md the table of causes, and two blocks of the README
(between `<!-- name -->` and `<!-- end -->`) are the root help and the exit codes.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

import click

from intctl import cli
from intctl.codes import ACTORS, CODES
from intctl.errors import EXIT_CODES

ROOT = Path(__file__).parent.parent


def helps() -> dict[str, str]:
    """The help text of the root and of every command and subcommand, at 80 columns."""
    found = {"intctl": _help(cli.root, None, "intctl")}
    for name, (module, attribute, _) in cli.COMMANDS.items():
        command = getattr(import_module(module), attribute)
        found[f"intctl {name}"] = _help(command, None, f"intctl {name}")
        if isinstance(command, click.Group):
            for inner, sub in command.commands.items():
                found[f"intctl {name} {inner}"] = _help(sub, None, f"intctl {name} {inner}")
    return found


def _help(command: click.Command, parent: click.Context | None, name: str) -> str:
    context = click.Context(
        command, parent, info_name=name, terminal_width=78, help_option_names=["-h", "--help"]
    )
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
        "Made by `python docs/generate.py` from `intctl/codes.py`. A code is stable: alerts and scripts may key on it.",
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
    """The README with its two blocks made anew."""
    text = (ROOT / "README.md").read_text("utf-8")
    table = "\n".join(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    blocks = {"exit codes": f"| code | meaning |\n|---|---|\n{table}", "help": f"```text\n{helps()['intctl']}\n```"}
    for name, body in blocks.items():
        found = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        assert found.search(text), name
        text = found.sub(lambda match, body=body: f"{match[1]}{body}\n{match[2]}", text)
    return text


FILES = {"docs/commands.md": commands, "docs/codes.md": codes, "README.md": readme}


def stale() -> list[str]:
    """The files that do not say what the code says."""
    return [
        name for name, made in FILES.items()
        if not (ROOT / name).exists() or (ROOT / name).read_text("utf-8") != made()
    ]  # fmt: skip


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(f"stale: {', '.join(found)}; run: python docs/generate.py" if (found := stale()) else 0)
    for name, made in FILES.items():
        (ROOT / name).write_text(made(), "utf-8")
