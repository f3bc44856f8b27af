"""Mutations of intctl.store.tokens."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "tokens: a locked row is reserved",
        "intctl.store.tokens:SealedTokens.reserve",
        "                    continue\n",
        "                    pass\n",
        "tests/store/test_locked_rows.py::test_no_token_is_spent_while_its_row_is_locked",
    ),
    Mutation(
        "tokens: nothing is inserted before a token is spent",
        "intctl.store.tokens:SealedTokens.reserve",
        "self._insert(database, self._row(placed))",
        "pass",
        "tests/store/test_locked_rows.py::test_a_token_is_saved_while_its_integration_is_locked",
    ),
    Mutation(
        "tokens: they are serialised by the integration's row",
        "intctl.store.tokens:_SCHEDULE",
        "SELECT s.integration_id FROM integration_schedules s WHERE s.integration_id = :integration_id",
        "SELECT s.id FROM integrations s WHERE s.id = :integration_id",
        "tests/store/test_locked_rows.py::test_a_token_is_saved_while_its_integration_is_locked",
    ),
)
