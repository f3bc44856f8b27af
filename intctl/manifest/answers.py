"""Answers to prompts, under the rules of manifests: they are converted to a manifest and loaded as one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from intctl.errors import ManifestError
from intctl.manifest import tree
from intctl.manifest.loader import KEYS, Loaded, load
from intctl.manifest.references import ValueSources, from_file
from intctl.manifest.template import variable
from intctl.manifest.values import Wrong, from_node, from_text, located
from intctl.providers.base import Field, Provider
from intctl.text import name_problem

#: The `file` of problems that concern several answers together.
ANSWERS = "<answers>"


def judge(field: Field, text: str, forbidden: tuple[Path, ...] = ()) -> object:
    """Return the answer `text` as a manifest's value; the answer for PEM is the path of a file. Raises Wrong."""
    here = Path()
    if field.kind == "pem":
        content, _ = from_file(text, here, ValueSources({}, forbidden), secret=field.secret)
        from_text(field, content, here)
        return {"file": str(located(here, text))}
    if field.kind != "json":
        return from_text(field, text, here)
    try:
        node, problems = tree.parse(text.encode("utf-8", "replace"), ANSWERS)
    except ManifestError as error:
        raise Wrong(error.problems[0].message) from None
    if node is None or problems:
        raise Wrong(problems[0].message if problems else "is empty")
    return from_node(field, node, here)


def judge_name(text: str) -> str:
    """Return a valid name of an integration. Raises Wrong."""
    name = str(from_text(KEYS[0], text, Path()))
    if problem := name_problem(name):
        raise Wrong(problem)
    return name


def load_answers(
    provider: Provider, name: str, answers: Mapping[str, object], forbidden: tuple[Path, ...] = ()
) -> Loaded:
    """Load the integration from validated answers (field name to value). Raises ManifestError."""
    environ: dict[str, str] = {}
    config: dict[str, object] = {}
    for field in provider.fields:
        value = answers.get(field.name)
        if field.secret and isinstance(value, str):
            environ[variable(provider, field)] = value
            value = {"env": variable(provider, field)}
        if value is not None:
            config[field.name] = value
    text = json.dumps({"name": name, "provider": provider.name, "config": config}, ensure_ascii=False)
    return load(text.encode(), file=ANSWERS, sources=ValueSources(environ, forbidden))
