"""The table of mutations is true of the tree: what is replaced is there, once, and the tests exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from . import mutate

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("mutation", mutate.MUTATIONS, ids=lambda mutation: mutation.name)
def test_every_mutation_fits_the_code(mutation: mutate.Mutation) -> None:
    """Its piece of text stands exactly once in its file, and its test is defined where it says."""
    assert (ROOT / mutation.file).read_text("utf-8").count(mutation.old) == 1
    assert mutation.old != mutation.new
    file, _, test = mutation.test.partition("::")
    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)


def test_the_document_lists_them_all() -> None:
    """tests/mutations.md is what python tests/mutate.py --write makes."""
    assert mutate.DOCUMENT.read_text("utf-8") == mutate.document()
    assert len({mutation.name for mutation in mutate.MUTATIONS}) == len(mutate.MUTATIONS)
