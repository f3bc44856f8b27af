"""The words that style rules out everywhere stay out of the table of causes, the help, and the documents."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from intctl.health.codes import ACTORS, CODES

ROOT = Path(__file__).parents[1]
BANNED = re.compile(
    r"\b(somebody|nobody|whoever|anew|beside|in\s+vain|of\s+ours|puts\s+((us|it)\s+)?off)\b", re.IGNORECASE
)
#: Identifiers that a document has to name: the document, and the text that may stand in it.
INTERFACE: dict[str, tuple[str, ...]] = {
    "docs/add-a-provider.md": ("`beside`",)  # an argument of `Field`
}


def _helps() -> dict[str, str]:
    """The help of every command, from docs/generate.py."""
    spec = importlib.util.spec_from_file_location("docs_generate_for_words", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    helps: dict[str, str] = module.helps()
    return helps


def _sources() -> Iterator[tuple[str, str]]:
    """Every text that the rule covers, by a name for the message."""
    for code, cause in CODES.items():
        yield f"codes.py: {code}", f"{cause.meaning}\n{cause.next_step}"
    yield "codes.py: ACTORS", "\n".join(ACTORS.values())
    for name, text in _helps().items():
        yield f"help: {name}", text
    named = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    documents = [*named, *sorted((ROOT / "docs").rglob("*.md"))]
    for path in documents:
        yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")


SOURCES = dict(_sources())


def found(name: str) -> tuple[str, ...]:
    """The banned words of a source, in lower case, each once."""
    text = SOURCES[name]
    for identifier in INTERFACE.get(name, ()):
        text = text.replace(identifier, "")
    return tuple(sorted({" ".join(match[0].lower().split()) for match in BANNED.finditer(text)}))


@pytest.mark.parametrize("name", SOURCES)
def test_no_banned_word(name: str) -> None:
    """A text has no banned word."""
    assert found(name) == ()


@pytest.mark.parametrize("text", ["Nobody", "beside it", "puts us off", "puts off", "puts it\noff", "a file of ours"])
def test_what_is_banned(text: str) -> None:
    """Case and line breaks make no difference."""
    assert BANNED.search(text)


@pytest.mark.parametrize("text", ["besides", "no one", "puts the file", "of course", "anewer"])
def test_what_is_not_banned(text: str) -> None:
    """Longer words and other phrases are allowed."""
    assert not BANNED.search(text)


def test_every_exception_is_needed() -> None:
    """An exception whose text or word is gone is removed."""
    for name, identifiers in INTERFACE.items():
        assert [one for one in identifiers if one not in SOURCES[name]] == []
