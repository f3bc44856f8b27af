"""Breaks the agent's protocol on purpose, one rule at a time, and looks whether a directed test turns red.

    python tests/mutate.py            all of them; exits 1 when one survives
    python tests/mutate.py fence      those whose name holds this word
    python tests/mutate.py --write    tests/mutations.md anew

Each mutation is a piece of text that is replaced in a copy of the tree; the tests named beside it run there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "tests" / "mutations.md"

CLAIMS, AGENT, WORK = "intctl/store/claims.py", "intctl/agent/__init__.py", "intctl/agent/work.py"
CONNECT, PERSIST, POSTGRESQL = "intctl/store/connect.py", "intctl/store/persist.py", "intctl/store/postgresql.py"
PASSES, TRANSITIONS, ON_CHANGE = "intctl/store/passes.py", "intctl/store/transitions.py", "intctl/watch/on_change.py"
IN_ON_CHANGE = "tests/watch/test_on_change.py::"
IN_CLAIMS, IN_AGENT = "tests/store/test_claims.py::", "tests/test_agent.py::"
IN_DATABASE, IN_FAILPOINTS = "tests/chaos/test_database.py::", "tests/chaos/test_failpoints.py::"
IN_CLI = "tests/cli/test_agent.py::"


@dataclass(frozen=True)
class Mutation:
    """`old` stands exactly once in `file`; with `new` in its place `test` must fail."""

    name: str
    file: str
    old: str
    new: str
    test: str


MUTATIONS = (
    # --- claim
    Mutation(
        "claim: no SKIP LOCKED",
        CLAIMS,
        "FOR UPDATE OF s SKIP LOCKED)",
        "FOR UPDATE OF s)",
        IN_CLAIMS + "test_rows_that_somebody_has_locked_are_passed_over",
    ),
    Mutation(
        "claim: IN (SELECT … LIMIT …) instead of the CTE",
        CLAIMS,
        """WITH due AS MATERIALIZED ({_CANDIDATES.replace("{wanted}", _INTEGRATION.replace("{i}", "i"))}
   FOR UPDATE OF s SKIP LOCKED)
UPDATE integration_schedules s SET {_TAKE} FROM due
 WHERE s.integration_id = due.id RETURNING""",
        """UPDATE integration_schedules s SET {_TAKE} FROM integrations due
 WHERE s.integration_id = due.id AND s.integration_id IN (
 {_CANDIDATES.replace("{wanted}", "s.integration_id")} FOR UPDATE OF s SKIP LOCKED) RETURNING""",
        IN_CLAIMS + "test_no_plan_takes_more_than_there_are_slots",
    ),
    Mutation(
        "claim: no limit",
        CLAIMS,
        "ORDER BY s.next_check_at LIMIT :free_slots",
        "ORDER BY s.next_check_at LIMIT :free_slots + 99",
        IN_CLAIMS + "test_the_longest_due_come_first_and_no_more_than_there_are_slots",
    ),
    Mutation(
        "claim: not the longest due first",
        CLAIMS,
        "ORDER BY s.next_check_at LIMIT",
        "ORDER BY s.next_check_at DESC LIMIT",
        IN_CLAIMS + "test_the_longest_due_come_first_and_no_more_than_there_are_slots",
    ),
    Mutation(
        "claim: > for <= in what is due",
        CLAIMS,
        "WHERE s.next_check_at <= {{start}}",
        "WHERE s.next_check_at > {{start}}",
        IN_CLAIMS + "test_what_is_off_or_not_due_is_left_alone",
    ),
    Mutation(
        "claim: a valid lease counts for nothing",
        CLAIMS,
        "AND {_FREE} AND s.attempts {{attempts}}",
        "AND s.attempts {{attempts}}",
        IN_CLAIMS + "test_what_is_due_is_claimed_once",
    ),
    Mutation(
        "claim: > for <= in a lease that has run out",
        CLAIMS,
        "OR s.lease_expires_at <= {start} OR",
        "OR s.lease_expires_at > {start} OR",
        IN_CLAIMS + "test_a_stale_result_is_dropped",
    ),
    Mutation(
        "claim: by name a valid lease counts for nothing",
        CLAIMS,
        "WHERE s.integration_id = :id AND {_FREE}",
        "WHERE s.integration_id = :id",
        IN_CLAIMS + "test_what_is_due_is_claimed_once",
    ),
    Mutation(
        "claim: the token does not rise",
        CLAIMS,
        "lease_token = s.lease_token + 1",
        "lease_token = s.lease_token + 0",
        IN_CLAIMS + "test_what_is_due_is_claimed_once",
    ),
    Mutation(
        "claim: attempts are not counted",
        CLAIMS,
        "attempts = s.attempts + 1",
        "attempts = s.attempts + 0",
        IN_CLAIMS + "test_three_claims_without_a_result_are_set_aside",
    ),
    Mutation(
        "claim: the organisation is not looked at",
        CLAIMS,
        '"AND i.org_id = :org_id" if org_id else ""',
        '"AND :org_id = :org_id" if org_id else ""',
        IN_CLAIMS + "test_an_agent_may_be_kept_to_one_organisation",
    ),
    Mutation(
        "claim: what is off too",
        CLAIMS,
        "AND i.deleted_at IS NULL AND i.status IN ('active', 'error') {{scope}}",
        "{{scope}}",
        IN_CLAIMS + "test_what_another_program_switched_off_is_left_alone",
    ),
    Mutation(
        "claim: <= for < in the attempts of the many",
        CLAIMS,
        'else f"< {MAX_ATTEMPTS - 1}"',
        'else f"<= {MAX_ATTEMPTS - 1}"',
        IN_CLAIMS + "test_three_claims_without_a_result_are_set_aside",
    ),
    Mutation(
        "claim: a lease from the far future counts",
        CLAIMS,
        " OR s.lease_expires_at > {after 600})",
        ")",
        IN_CLAIMS + "test_a_clock_that_went_back_stops_nothing",
    ),
    Mutation(
        "claim: a time in the far future is not pulled forward",
        CLAIMS,
        'SET next_check_at = {{now}} WHERE next_check_at > {{after {LATEST_S}}}"',
        'SET next_check_at = {{now}} WHERE next_check_at < {{now}}"',
        IN_CLAIMS + "test_a_clock_that_went_back_stops_nothing",
    ),
    Mutation(
        "claim: the lease is counted from its answer",
        CLAIMS,
        "return time.monotonic() + lease_s - LEASE_SAFETY_S, lease_s",
        "return time.monotonic() + lease_s, lease_s",
        IN_AGENT + "test_a_lease_counts_from_before_it_was_asked_for",
    ),
    Mutation(
        "claim: suspects all at once",
        AGENT,
        "        if self._suspects and not suspect:\n",
        "        if self._suspects:\n",
        IN_AGENT + "test_what_was_never_finished_twice_is_taken_one_at_a_time",
    ),
    Mutation(
        "claim: suspects never",
        AGENT,
        "self._suspects = doubtful.suspects",
        "self._suspects = False",
        IN_AGENT + "test_what_was_never_finished_twice_is_taken_one_at_a_time",
    ),
    Mutation(
        "claim: what a lost answer took is kept",
        AGENT,
        "claims.give_back_unknown(work.database, work.owner, known)",
        "pass",
        IN_DATABASE + "test_a_reply_that_is_lost",
    ),
    Mutation(
        "claim on SQLite: the write lock is taken late",
        CONNECT,
        'self._begin = "BEGIN IMMEDIATE"',
        'self._begin = "BEGIN DEFERRED"',
        "tests/store/test_connect.py::test_who_has_read_in_a_transaction_can_still_write",
    ),
    # --- record
    Mutation(
        "record: no token clause (fence)",
        CLAIMS,
        'if state is not None and state["lease_token"] == result.claimed.lease_token:',
        "if state is not None:",
        IN_CLAIMS + "test_the_token_decides_even_for_the_same_owner",
    ),
    Mutation(
        "record: no owner clause (fence)",
        CLAIMS,
        "AND s.lease_owner = :owner AND s.lease_expires_at > {now}",
        "AND s.lease_owner IS NOT NULL AND s.lease_expires_at > {now}",
        IN_CLAIMS + "test_the_owner_decides_even_for_the_same_token",
    ),
    Mutation(
        "record: no expiry clause (fence)",
        CLAIMS,
        "AND s.lease_owner = :owner AND s.lease_expires_at > {now}",
        "AND s.lease_owner = :owner",
        IN_CLAIMS + "test_a_stale_result_is_dropped",
    ),
    Mutation(
        "record: no config_version guard",
        CLAIMS,
        'edited = state["config_version"] != claimed.config_version',
        "edited = False",
        IN_CLAIMS + "test_an_edit_during_the_probe_keeps_its_status_and_is_checked_again_at_once",
    ),
    Mutation(
        "record: uptime for an earlier config",
        CLAIMS,
        '"unknown" if edited else LOG_STATUS',
        "LOG_STATUS",
        IN_CLAIMS + "test_an_edit_during_the_probe_keeps_its_status_and_is_checked_again_at_once",
    ),
    Mutation(
        "record: who is put off is well again",
        CLAIMS,
        "if since or not -LEASE",
        "if not -LEASE",
        IN_CLAIMS + "test_who_is_put_off_is_not_well_again",
    ),
    Mutation(
        "record: a proof of another config",
        CLAIMS,
        'if known.get("config_version") != config_version:',
        "if not known:",
        IN_CLAIMS + "test_who_is_put_off_knows_nothing_new",
    ),
    Mutation(
        "record: a proof for ever",
        CLAIMS,
        "if since or not -LEASE_MARGIN_S < age_s <= holds_s:",
        "if since:",
        IN_CLAIMS + "test_who_is_put_off_knows_nothing_new",
    ),
    Mutation(
        "record: a login that was accepted proves nothing",
        CLAIMS,
        "in NO_PROOF and not accepted",
        "in NO_PROOF",
        IN_CLAIMS + "test_who_is_put_off_after_the_login_has_proved_it",
    ),
    Mutation(
        "check: a verdict on an earlier config",
        AGENT,
        'if not log["current"]:',
        "if False:",
        IN_CLI + "test_a_verdict_on_an_earlier_config_is_no_answer",
    ),
    Mutation(
        "record: a deletion is not looked at",
        CLAIMS,
        'deleted = state["deleted_at"] is not None',
        "deleted = False",
        IN_CLAIMS + "test_a_deletion_during_the_probe_is_final",
    ),
    Mutation(
        "record: the rows are not locked",
        CLAIMS,
        "_among(database, _locked(database, _HELD), [",
        "_among(database, _HELD, [",
        IN_CLAIMS + "test_a_change_that_is_under_way_is_waited_for",
    ),
    Mutation(
        "record: attempts are not forgotten",
        CLAIMS,
        "lease_owner = NULL, lease_expires_at = NULL, attempts = 0,\n         rejections = g.rejections",
        "lease_owner = NULL, lease_expires_at = NULL,\n         rejections = g.rejections",
        IN_CLAIMS + "test_a_result_is_recorded_with_log_and_status_together",
    ),
    Mutation(
        "record: the status stays",
        CLAIMS,
        "FROM given g WHERE i.id = g.id AND g.settles)",
        "FROM given g WHERE i.id = g.id AND NOT g.settles)",
        IN_CLAIMS + "test_a_result_is_recorded_with_log_and_status_together",
    ),
    Mutation(
        "record: a lease that is nearly over is written under",
        WORK,
        "[result for result in results if now < result.claimed.valid_until]",
        "list(results)",
        IN_AGENT + "test_a_result_near_the_end_of_its_lease_is_not_even_tried",
    ),
    Mutation(
        "record: what an earlier try wrote is not looked for",
        CLAIMS,
        "    if again:\n        recorded |=",
        "    if False:\n        recorded |=",
        IN_DATABASE + "test_a_commit_of_results_whose_reply_is_lost",
    ),
    Mutation(
        "record: one bad result ends all",
        CLAIMS,
        "    except _ITS_OWN_FAULT:\n        recorded = {}",
        "    except ZeroDivisionError:\n        recorded = {}",
        IN_CLAIMS + "test_a_result_that_is_not_taken_spoils_no_other",
    ),
    Mutation(
        "record: > for >= in the failures that make an error",
        CLAIMS,
        "or count >= FAILURE_THRESHOLD:",
        "or count > FAILURE_THRESHOLD:",
        IN_CLAIMS + "test_what_an_outcome_makes_of_the_status",
    ),
    Mutation(
        "record: > for >= in the refused logins",
        CLAIMS,
        "rejections >= MAX_REJECTIONS",
        "rejections > MAX_REJECTIONS",
        IN_CLAIMS + "test_a_dead_password_stops_after_three_logins",
    ),
    Mutation(
        "record: the next time counts from the end",
        CLAIMS,
        "next_at = None if settled.next_in_s is None else claimed_at +",
        'next_at = None if settled.next_in_s is None else state["lease_expires_at"] +',
        IN_CLAIMS + "test_the_next_check_is_early_never_late",
    ),
    Mutation(
        "record: a back-off beyond two intervals",
        CLAIMS,
        "2 * interval_s - BACK_OFF_MARGIN_S)",
        "2 * interval_s + BACK_OFF_MARGIN_S)",
        IN_CLAIMS + "test_when_it_is_checked_next",
    ),
    Mutation(
        "record: no second look soon",
        CLAIMS,
        "wait_s = min(interval_s, RECHECK_S)",
        "pass",
        IN_CLAIMS + "test_when_it_is_checked_next",
    ),
    # --- give back, set aside
    Mutation(
        "give back: somebody else's too",
        CLAIMS,
        " WHERE lease_owner = :owner AND {which}",
        " WHERE {which} AND :owner = :owner",
        IN_CLAIMS + "test_given_back_is_due_again_and_uncounted",
    ),
    Mutation(
        "give back: it counts as an attempt",
        CLAIMS,
        "attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END",
        "attempts = attempts + 0",
        IN_CLAIMS + "test_given_back_is_due_again_and_uncounted",
    ),
    Mutation(
        "give back: never",
        WORK,
        "if ids := self.known():",
        "if ids := []:",
        IN_AGENT + "test_a_signal_before_the_first_check_gives_all_back",
    ),
    Mutation(
        "set aside: never",
        AGENT,
        "if doubtful.stuck:",
        "if False:",
        IN_AGENT + "test_three_checks_without_a_result_are_set_aside_and_said",
    ),
    Mutation(
        "set aside: < for <= in the lease that must be over",
        CLAIMS,
        "AND (s.lease_expires_at IS NULL OR s.lease_expires_at <= {{now}})",
        "",
        IN_CLAIMS + "test_what_is_still_being_checked_is_not_set_aside",
    ),
    Mutation(
        "set aside: the attempts stay",
        CLAIMS,
        "lease_owner = NULL, lease_expires_at = NULL, attempts = 0,\n       next_check_at = CASE",
        "lease_owner = NULL, lease_expires_at = NULL,\n       next_check_at = CASE",
        IN_CLAIMS + "test_three_claims_without_a_result_are_set_aside",
    ),
    # --- the database in trouble
    Mutation(
        "trouble: nothing is tried again",
        PERSIST,
        "if not _passing(error):",
        "if True:",
        IN_DATABASE + "test_read_only_for_a_while",
    ),
    Mutation(
        "trouble: tried again over the same connection",
        PERSIST,
        "if again or database.lost:",
        "if False:",
        IN_DATABASE + "test_an_immediate_restart_during_the_probes",
    ),
    Mutation(
        "trouble: a frozen session is waited for",
        POSTGRESQL,
        "if not ready and monotonic() >= ends:",
        "if False:",
        IN_DATABASE + "test_a_frozen_session_is_cut_off",
    ),
    Mutation(
        "trouble: no limits inside a transaction",
        POSTGRESQL,
        'BEGIN = f"BEGIN; {LIMITS}"',
        'BEGIN = "BEGIN"',
        IN_DATABASE + "test_limits_and_zone_behind_pgbouncer",
    ),
    Mutation(
        "trouble: PgBouncer's refusal is final",
        POSTGRESQL,
        'if "unsupported startup parameter" not in str(error):',
        "if True:",
        IN_DATABASE + "test_behind_pgbouncer",
    ),
    Mutation(
        "trouble: a pass may last for ever",
        AGENT,
        "    fuse.start()\n",
        "",
        IN_DATABASE + "test_a_pass_that_the_database_holds_for_ever",
    ),
    # --- the end
    Mutation(
        "end: the budget is not looked at",
        WORK,
        "return bool(self._stop) or time.monotonic() >= self._probes_end",
        "return bool(self._stop)",
        IN_AGENT + "test_a_pass_ends_within_its_budget_and_leaves_the_rest_due",
    ),
    Mutation(
        "end: a second signal is not heard",
        WORK,
        "            os._exit(130)",
        "            pass",
        IN_CLI + "test_a_second_sigterm_ends_at_once",
    ),
    Mutation(
        "end: a signal does not wake the pass",
        WORK,
        "        if self._wake:\n            self._wake()",
        "        if self._wake:\n            pass",
        IN_CLI + "test_sigterm_gives_back_and_exits_0",
    ),
    Mutation(
        "end: known results are not written",
        WORK,
        "                await self._write()\n        finally:",
        "                pass\n        finally:",
        IN_AGENT + "test_what_is_known_at_the_end_is_written",
    ),
    Mutation(
        "end: a note whose answer was lost counts twice",
        PASSES,
        'if found is not None and found.pop("metadata") == metadata:',
        "if False:",
        "tests/store/test_passes.py::test_a_pass_whose_note_got_no_answer_counts_once",
    ),
    Mutation(
        "end: nothing is noted over a new connection",
        "intctl/watch/service.py",
        "noted = persist(database, finish, until)",
        "noted = finish(False)",
        IN_DATABASE + "test_a_reply_that_is_lost",
    ),
    # --- tell
    Mutation(
        "tell: a mark whose answer was lost is another's",
        TRANSITIONS,
        "return again and database.row(_IS_TOLD, lease) is not None",
        "return False",
        "tests/store/test_transitions.py::test_a_death_in_between_is_told_again",
    ),
    Mutation(
        "tell: in maintenance too",
        TRANSITIONS,
        '_PENDING = f"{_WAITING} AND (t.quiet_until IS NULL OR t.quiet_until <= {{now}})"',
        "_PENDING = _WAITING",
        IN_ON_CHANGE + "test_maintenance_is_quiet_until_it_is_over",
    ),
    Mutation(
        "tell: what came and went in maintenance",
        ON_CHANGE,
        "left = [] if same else changes[-1:]",
        "left = changes[-1:]",
        IN_ON_CHANGE + "test_what_came_and_went_in_maintenance_is_not_told",
    ),
    Mutation(
        "tell: not before the planned end of maintenance",
        ON_CHANGE,
        'if row["quiet_until"] != quiet and (quiet is not None or row["quiet_until"] > now):',
        'if row["quiet_until"] != quiet and quiet is not None:',
        IN_ON_CHANGE + "test_maintenance_that_is_ended_early",
    ),
)


def survives(mutation: Mutation) -> str:
    """What the tests said, when they did not fail under this mutation; else nothing."""
    with tempfile.TemporaryDirectory(prefix="intctl-mutant-") as folder:
        copy = Path(folder) / "tree"
        ignored = shutil.ignore_patterns(".venv", ".git", "*_cache", "__pycache__", "dist", "build", ".coverage*")
        shutil.copytree(ROOT, copy, ignore=ignored)
        path = copy / mutation.file
        path.write_text(path.read_text("utf-8").replace(mutation.old, mutation.new), "utf-8")
        done = _run(copy, [mutation.test])
    # 1: tests failed. 2 and more: not even collected, which proves nothing.
    return "" if done.returncode == 1 else done.stdout[-2000:]


def _run(tree: Path, tests: list[str]) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests]
    return subprocess.run(words, cwd=tree, env=environ, capture_output=True, text=True)


def document() -> str:
    """tests/mutations.md."""
    lines = [
        "# Mutations of the agent's protocol",
        "",
        "Made by `python tests/mutate.py --write`. `make mutations` breaks each rule in a copy of the tree and runs",
        "the test beside it, which must turn red.",
        "",
        "| rule broken | in | seen by |",
        "|---|---|---|",
    ]
    for mutation in MUTATIONS:
        name, _, test = mutation.test.partition("::")
        shown = mutation.name.replace("|", "\\|")
        lines.append(f"| {shown} | `{mutation.file}` | `{Path(name).name}::{test}` |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("word", nargs="?", default="")
    parser.add_argument("--write", action="store_true", help="write tests/mutations.md")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default 2)")
    options = parser.parse_args()
    if options.write:
        DOCUMENT.write_text(document(), "utf-8")
        return 0
    chosen = [mutation for mutation in MUTATIONS if options.word in mutation.name]
    whole = _run(ROOT, sorted({mutation.test for mutation in chosen}))
    if whole.returncode != 0:
        print(f"without any mutation the tests are not green:\n{whole.stdout[-3000:]}")
        return 1
    survivors = 0
    with ThreadPoolExecutor(options.jobs) as threads:
        for mutation, said in zip(chosen, threads.map(survives, chosen), strict=True):
            print(f"{'SURVIVED' if said else 'red':<9} {mutation.name}", flush=True)
            if said:
                survivors += 1
                print(said)
    print(f"{len(chosen)} mutations, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
