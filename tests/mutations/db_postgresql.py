"""Mutations of intctl.db.postgresql."""

from __future__ import annotations

from tests.mutate import Mutation

MUTATIONS = (
    Mutation(
        "trouble: a frozen session is waited for",
        "intctl.db.postgresql:Bounded._bounded",
        "if not ready and monotonic() >= ends:",
        "if False:",
        "tests/chaos/test_database.py::test_a_frozen_session_is_cut_off",
    ),
    Mutation(
        "trouble: no limits inside a transaction",
        "intctl.db.postgresql:BEGIN",
        'BEGIN = f"BEGIN; {LIMITS}"',
        'BEGIN = "BEGIN"',
        "tests/chaos/test_database.py::test_limits_and_zone_behind_pgbouncer",
    ),
    Mutation(
        "trouble: PgBouncer's refusal is final",
        "intctl.db.postgresql:open_connection",
        'if "unsupported startup parameter" not in str(error):',
        "if True:",
        "tests/chaos/test_database.py::test_behind_pgbouncer",
    ),
)
