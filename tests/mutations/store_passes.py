"""Mutations of intctl.store.passes."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "end: a note whose answer was lost counts twice",
        "intctl.store.passes:finish",
        'if found is not None and found.pop("metadata") == note.metadata:',
        "if False:",
        "tests/store/test_passes.py::test_a_pass_whose_note_got_no_answer_counts_once",
    ),
)
