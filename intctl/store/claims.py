"""The right to check one integration now: claim, record, give back, set aside.

A lease has an owner, an expiry and a fencing token that only rises. A result is recorded only by
the owner of a lease that is still valid, under its token: anything later is dropped. Only the
database's clock counts. Every function is one transaction, and none is open during a probe.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from intctl.db.connect import Database
from intctl.db.ids import jitter, new_log_id
from intctl.db.url import POSTGRESQL
from intctl.errors import ConflictError, RefusedError, UsageError
from intctl.failpoint import hit
from intctl.health.codes import CODES, LOG_STATUS
from intctl.health.outcome import Outcome
from intctl.store import transitions
from intctl.store.reads import OFF_AT

Row = dict[str, Any]

#: How many seconds a lease outlives the deadline of its probe: time to record, with room to spare.
LEASE_MARGIN_S = 40
#: How long before its end a lease is no longer written under, in seconds.
LEASE_SAFETY_S = 5
#: Claims without a finish, after which an integration is set aside for an hour.
MAX_ATTEMPTS = 3
#: Definite rejections, after which scheduled logins stop until somebody acts.
MAX_REJECTIONS = 3
#: Scheduled time-outs and resets in a row, from which on an integration is in error.
FAILURE_THRESHOLD = 2
#: Until then it is looked at again so soon, in seconds.
RECHECK_S = 60.0
#: Failures in a row, from which on an outage counts as a long one and is looked at less often.
LONG_OUTAGE = 10
#: Answers that neither prove nor disprove a credential.
NO_PROOF = frozenset({"http.rate_limited", "temporary"})
#: While there are only such, the last proof holds for so long, in seconds, or for two intervals.
PROOF_HOLDS_S = 3600.0
#: How much earlier than two intervals the next check of such a one is due: the timer's minute and the check itself.
BACK_OFF_MARGIN_S = 90.0
#: No next check is further off, in seconds: two intervals of the longest, and some minutes.
LATEST_S = 7500

_FREE = "(s.lease_expires_at IS NULL OR s.lease_expires_at <= {start} OR s.lease_expires_at > {after 600})"
# A lease that ends later than any can means that the clock was set back since: it counts as past.
# The order is the index's and nothing more, so that the cost follows what is taken and not what is due.
_CANDIDATES = f"""
SELECT {{wanted}} FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE s.next_check_at <= {{start}} AND {_FREE} AND s.attempts {{attempts}}
   AND i.deleted_at IS NULL AND i.status IN ('active', 'error') {{scope}}
 ORDER BY s.next_check_at LIMIT :free_slots"""
_TAKE = """lease_owner = :owner, lease_token = s.lease_token + 1, attempts = s.attempts + 1,
       lease_expires_at = {after :lease_s}"""
_INTEGRATION = """{i}.id, {i}.org_id, {i}.name, {i}.provider, {i}.type, {i}.config, {i}.config_version, {i}.status,
       {i}.health_check_interval_minutes"""
# What is known of a credential decides whether it is tried without once more, which only this provider's probe does.
_LAST_OF_HTTP = """CASE WHEN {i}.provider = 'http' THEN
       (SELECT l.metadata FROM integration_health_logs l WHERE l.integration_id = {i}.id AND l.status = 'success'
           AND l.checked_at IS NOT NULL ORDER BY l.checked_at DESC, l.id DESC LIMIT 1) END AS last_success"""
_COLUMNS = f"{_INTEGRATION}, {_LAST_OF_HTTP}, s.lease_token, s.attempts"

# MATERIALIZED: inlined, the LIMIT could be evaluated more than once and take far more rows.
_CLAIM_POSTGRESQL = f"""
WITH due AS MATERIALIZED ({_CANDIDATES.replace("{wanted}", _INTEGRATION.replace("{i}", "i"))}
   FOR UPDATE OF s SKIP LOCKED)
UPDATE integration_schedules s SET {_TAKE} FROM due
 WHERE s.integration_id = due.id RETURNING {_COLUMNS.replace("{i}", "due")}"""
_CLAIM_SQLITE = f"""
UPDATE integration_schedules AS s SET {_TAKE}
 WHERE s.integration_id IN ({_CANDIDATES.replace("{wanted}", "s.integration_id")}) RETURNING integration_id AS id"""
_CLAIM_ONE = f"""
UPDATE integration_schedules AS s SET {_TAKE}
 WHERE s.integration_id = :id AND {_FREE} RETURNING integration_id AS id"""
_CLAIMED = f"""
SELECT {_COLUMNS.replace("{i}", "i")}
  FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE s.lease_owner = :owner AND s.integration_id {{among}} ORDER BY s.integration_id"""

# The guard: whoever lost the lease finds no row here. Locked until the results are written.
_HELD = """
SELECT s.integration_id AS id, s.lease_token, s.lease_expires_at, s.rejections, {now} AS now_at, i.name,
       i.status, i.error_count, i.error_message, i.config_version, i.deleted_at, i.health_check_interval_minutes
  FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE s.integration_id {among} AND s.lease_owner = :owner AND s.lease_expires_at > {now}
 ORDER BY s.integration_id"""
_RELEASE = """
UPDATE integration_schedules SET lease_owner = NULL, lease_expires_at = NULL, attempts = 0,
       rejections = :rejections, next_check_at = :next_at WHERE integration_id = :id"""
_STATUS = """
UPDATE integrations SET status = :status, error_message = :error_message, error_count = :error_count,
       last_health_check = {now} WHERE id = :id"""
_LOG = """
INSERT INTO integration_health_logs (id, integration_id, check_type, status, response_time_ms, error_message,
                                     metadata, checked_at, lease_token)
VALUES (:log_id, :id, :check_type, :log_status, :response_time_ms, :log_message, :metadata, {now}, :lease_token)"""
# The three above for many at once: one document, unpacked by the server, in one statement.
_WRITE_POSTGRESQL = """
WITH given AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(CAST(:results AS jsonb)) AS g (
    id uuid, rejections int, next_at timestamptz, settles boolean, status text, error_message text, error_count int,
    logs boolean, log_id uuid, check_type text, log_status text, response_time_ms int, log_message text,
    metadata jsonb, lease_token bigint)),
released AS (
  UPDATE integration_schedules s SET lease_owner = NULL, lease_expires_at = NULL, attempts = 0,
         rejections = g.rejections, next_check_at = g.next_at FROM given g WHERE s.integration_id = g.id),
settled AS (
  UPDATE integrations i SET status = g.status, error_message = g.error_message, error_count = g.error_count,
         last_health_check = {now} FROM given g WHERE i.id = g.id AND g.settles)
INSERT INTO integration_health_logs (id, integration_id, check_type, status, response_time_ms, error_message,
                                     metadata, checked_at, lease_token)
SELECT log_id, id, check_type, log_status, response_time_ms, log_message, metadata, {now}, lease_token
  FROM given WHERE logs"""
_WRITTEN = """
SELECT l.integration_id AS id, l.lease_token, l.metadata FROM integration_health_logs l
 WHERE l.integration_id {among} AND l.lease_token IS NOT NULL"""

_LAST_SUCCESSES = """
SELECT i.id, l.metadata, l.checked_at, {off_at},
       (SELECT max(f.checked_at) FROM integration_health_logs f
         WHERE f.integration_id = i.id AND f.status = 'failure' AND f.checked_at > l.checked_at) AS failed_at
  FROM integrations i JOIN integration_health_logs l ON l.id =
       (SELECT n.id FROM integration_health_logs n WHERE n.integration_id = i.id AND n.status = 'success'
           AND n.checked_at IS NOT NULL ORDER BY n.checked_at DESC, n.id DESC LIMIT 1)
 WHERE i.id {among}""".replace("{off_at}", OFF_AT)

_GIVE_BACK = """
UPDATE integration_schedules SET lease_owner = NULL, lease_expires_at = NULL,
       attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END
 WHERE lease_owner = :owner AND {which}"""
_DOUBTFUL = f"""
SELECT s.attempts, s.next_check_at, {{after {LATEST_S}}} AS latest_at FROM integration_schedules s
 WHERE s.attempts >= {MAX_ATTEMPTS - 1} OR s.next_check_at > {{after {LATEST_S}}}"""
_PULL_FORWARD = f"UPDATE integration_schedules SET next_check_at = {{now}} WHERE next_check_at > {{after {LATEST_S}}}"
_STUCK = f"""
SELECT s.integration_id AS id, s.lease_token, i.config_version
  FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE s.attempts >= {MAX_ATTEMPTS} AND (s.lease_expires_at IS NULL OR s.lease_expires_at <= {{now}})"""
_SET_ASIDE = """
UPDATE integration_schedules SET lease_owner = NULL, lease_expires_at = NULL, attempts = 0,
       next_check_at = CASE WHEN next_check_at IS NULL THEN NULL ELSE {after 3600} END WHERE integration_id = :id"""
_TOUCHED = "UPDATE integrations SET last_health_check = {now} WHERE id = :id"


# A value that the database or JSON does not take: of one result, and no fault of the others.
_ITS_OWN_FAULT = (ConflictError, RefusedError, UsageError, TypeError, ValueError, OverflowError)


@dataclass(frozen=True, slots=True)
class Claimed:
    """One integration that this process may check now, under `lease_token`.

    `attempts` counts claims without a result, this one included. `last_success` is the metadata of the last
    successful check where the provider is http. `valid_until` is the moment of this machine's monotonic
    clock after which nothing may be written under the lease any more.
    """

    id: str
    org_id: str
    name: str
    provider: str
    type: str
    config: object = field(repr=False)
    config_version: int
    status: str
    health_check_interval_minutes: int
    last_success: object = field(repr=False)
    lease_token: int
    attempts: int = 1
    valid_until: float = math.inf

    @property
    def suspect(self) -> bool:
        """Whether a third failure to finish would set it aside."""
        return self.attempts >= MAX_ATTEMPTS

    @property
    def compared(self) -> bool:
        """Whether it is known what the API says to this very config without its credential."""
        return _proven(self.last_success, self.config_version) is not None

    def row(self) -> Row:
        """The stored row, as the reads give it."""
        return {
            "id": self.id,
            "org_id": self.org_id,
            "name": self.name,
            "provider": self.provider,
            "config": self.config,
        }


@dataclass(frozen=True, slots=True)
class Result:
    """What a probe found, for the lease that it ran under."""

    claimed: Claimed
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Recorded:
    """A result that is in the database: what it says, and the status before and after it."""

    id: str
    name: str
    outcome: Outcome
    was: str
    became: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What an outcome makes of an integration. `next_in_s` counts from the claim; None is never."""

    status: str
    error_count: int
    error_message: str | None
    rejections: int
    next_in_s: float | None


def settle(state: Row, outcome: Outcome, check_type: str) -> Settled:
    """The one place that turns an outcome into a status and a next time.

    `state` has id, status, error_count, error_message, rejections and health_check_interval_minutes.
    """
    cause = CODES[outcome.code]
    interval_s = (state["health_check_interval_minutes"] or 5) * 60.0
    wait_s = interval_s
    status, count, message = state["status"], state["error_count"] or 0, state["error_message"]
    rejections = 0 if check_type != "scheduled" else state["rejections"]
    if outcome.code in ("http.rate_limited", "provider.busy"):
        wait_s = backed_off(interval_s)
    if cause.verdict in ("healthy", "degraded"):
        status, count, message, rejections = "active", 0, None, 0
    elif cause.verdict != "unknown":
        count, message = count + 1, outcome.message
        # A time-out or a reset may be a passing thing, unless a person asked just now.
        if check_type != "scheduled" or not cause.transient or count >= FAILURE_THRESHOLD:
            status = "error"
        else:
            wait_s = min(interval_s, RECHECK_S)
        if count >= LONG_OUTAGE:
            wait_s = backed_off(interval_s)
    next_in_s: float | None = max(wait_s * jitter(state["id"]), float(outcome.retry_after_s or 0))
    if cause.rejection:
        # Trying a dead password again and again locks accounts: slow down, then stop.
        rejections += 1
        next_in_s = None if rejections >= MAX_REJECTIONS else min(interval_s * 4**rejections, 3600.0)
    if state["status"] not in ("active", "error"):
        status, next_in_s = state["status"], None
    return Settled(status, count, message, rejections, next_in_s)


def backed_off(interval_s: float) -> float:
    """As late as every integration's right to a check within two intervals allows; never sooner than usual."""
    return max(interval_s, 2 * interval_s - BACK_OFF_MARGIN_S)


def _proves_nothing(outcome: Outcome) -> bool:
    """Whether the provider only put us off, before a login was done with or a token given for the credential."""
    accepted = outcome.facts.get("token_exchanged") or (outcome.code == "temporary" and outcome.phase == "api")
    return outcome.code in NO_PROOF and not accepted


def as_unverified(outcome: Outcome) -> Outcome:
    """The outcome for a config that no exchange has proved: a provider that only puts us off says nothing of it."""
    return replace(outcome, code="provider.busy") if _proves_nothing(outcome) else outcome


def apply_throttling(outcome: Outcome, previous: object, state: Row, config_version: int) -> Outcome:
    """The outcome of an answer that proves nothing, in the light of the last success (see `last_success`).

    While the last proof of this very config is fresh, and it neither failed since nor was off, it works, but is
    throttled; when the proof was stays in `facts["proven_at"]`. Else nobody knows. `state` is as for `settle`, with
    `now_at`.
    """
    if not _proves_nothing(outcome):
        return outcome
    known = previous if isinstance(previous, dict) else {}
    if known.get("config_version") != config_version:
        return as_unverified(outcome)
    try:
        proven_at = datetime.fromisoformat(str(_facts(known).get("proven_at", known.get("checked_at"))))
        age_s = (state["now_at"] - proven_at).total_seconds()
        since = [known[name] for name in ("failed_at", "off_at") if known.get(name) and known[name] > proven_at]
    except (ValueError, TypeError):  # another hand's row
        return as_unverified(outcome)
    holds_s = max(PROOF_HOLDS_S, 120.0 * (state["health_check_interval_minutes"] or 5))
    if since or not -LEASE_MARGIN_S < age_s <= holds_s:  # a proof of tomorrow: the clock was set back
        return as_unverified(outcome)
    return replace(outcome, facts={**outcome.facts, "proven_at": proven_at.isoformat()})


def compare_with_last_success(outcome: Outcome, previous: object, config_version: int) -> Outcome:
    """The outcome of a healthy exchange in the light of the last success, whose metadata `previous` is.

    Another account than before is a warning (`account.changed`), said once only and so before a quota,
    which will be high at the next check too. What an HTTP API says without the credential stays known
    for the same config, until somebody finds it out anew.
    """
    before, account = _facts(previous).get("account"), outcome.facts.get("account")
    if outcome.code in ("ok", "quota.high") and before is not None and account is not None and before != account:
        return replace(outcome, code="account.changed", detail=f"it was {before}, now it is {account}")
    proven = _proven(previous, config_version)
    if proven is None or "credential_proven" in outcome.facts:
        return outcome
    code = outcome.code
    if code in ("ok", "credential.uncompared"):
        code = "ok" if proven else "credential.unproven"
    return replace(outcome, code=code, facts={**outcome.facts, "credential_proven": proven})


def _facts(metadata: object) -> Row:
    facts = metadata.get("facts") if isinstance(metadata, dict) else None
    return facts if isinstance(facts, dict) else {}


def _proven(metadata: object, config_version: int) -> object:
    """Whether a check proved the credential of this very config; None when that is not known."""
    if not isinstance(metadata, dict) or metadata.get("config_version") != config_version:
        return None
    return _facts(metadata).get("credential_proven")


def needs_last_success(outcome: Outcome, provider: str) -> bool:
    """Whether `beside_last` could say anything about this outcome."""
    return outcome.verdict in ("healthy", "degraded") and ("account" in outcome.facts or provider == "http")


def metadata(outcome: Outcome, agent: str, config_version: int) -> Row:
    """What a health log keeps beside its columns: plain JSON, nothing secret."""
    kept: Row = {
        "verdict": outcome.verdict,
        "code": outcome.code,
        "phase": outcome.phase,
        "phases_ms": dict(outcome.phases_ms),
        "facts": dict(outcome.facts),
        "agent": agent,
        "config_version": config_version,
    }
    if outcome.detail:
        kept["detail"] = outcome.detail
    return kept


def _among(database: Database, sql: str, ids: Sequence[str]) -> tuple[str, dict[str, object]]:
    """`sql` with `{among}` as a membership test, and its parameter."""
    if database.dialect == POSTGRESQL:
        return sql.replace("{among}", "= ANY(CAST(:ids AS uuid[]))"), {"ids": list(ids)}
    return sql.replace("{among}", "IN (SELECT value FROM json_each(:ids))"), {"ids": json.dumps(list(ids))}


def _locked(database: Database, sql: str, tables: str = "s, i") -> str:
    """SQLite's write lock is the whole file's; PostgreSQL's rows are locked one by one."""
    return f"{sql} FOR UPDATE OF {tables}" if database.dialect == POSTGRESQL else sql


def claim_due(
    database: Database,
    owner: str,
    *,
    free_slots: int,
    deadline_s: float,
    org_id: str | None = None,
    suspects: bool = False,
) -> list[Claimed]:
    """Takes up to `free_slots` integrations that are due, longest due first.

    `suspects` are those that were claimed twice and never finished: they are in no other answer, and
    whoever takes them takes one at a time, so that one that kills its checker sets none of its
    neighbours aside.
    """
    attempts = f"= {MAX_ATTEMPTS - 1}" if suspects else f"< {MAX_ATTEMPTS - 1}"
    text = _CLAIM_POSTGRESQL if database.dialect == POSTGRESQL else _CLAIM_SQLITE
    text = text.replace("{attempts}", attempts).replace("{scope}", "AND i.org_id = :org_id" if org_id else "")
    valid_until, lease_s = _lease(deadline_s)
    parameters: dict[str, object] = {"owner": owner, "free_slots": free_slots, "lease_s": lease_s}
    if org_id:
        parameters["org_id"] = org_id
    with database.transaction():
        rows = database.rows(text, parameters)
        if database.dialect != POSTGRESQL:
            rows = _claimed(database, owner, [row["id"] for row in rows])
    return [Claimed(**row, valid_until=valid_until) for row in rows]


def claim_one(database: Database, owner: str, id: str, *, deadline_s: float) -> Claimed | None:
    """Takes one integration now, due or not; None when somebody else holds it."""
    valid_until, lease_s = _lease(deadline_s)
    with database.transaction():
        taken = database.rows(_CLAIM_ONE, {"owner": owner, "id": id, "lease_s": lease_s})
        found = _claimed(database, owner, [str(row["id"]) for row in taken])
    return Claimed(**found[0], valid_until=valid_until) if found else None


def _lease(deadline_s: float) -> tuple[float, float]:
    """Until when this machine may write under a lease that is asked for now, and how long the lease is."""
    lease_s = deadline_s + LEASE_MARGIN_S
    return time.monotonic() + lease_s - LEASE_SAFETY_S, lease_s


def _claimed(database: Database, owner: str, ids: Sequence[str]) -> list[Row]:
    if not ids:
        return []
    text, parameters = _among(database, _CLAIMED, ids)
    return database.rows(text, {**parameters, "owner": owner})


def last_success(database: Database, id: str) -> object:
    """The metadata of an integration's last successful check, its `checked_at`, when it failed since (`failed_at`),
    and when it was switched off last (`off_at`); or None."""
    return _last_successes(database, [id]).get(id)


def _last_successes(database: Database, ids: Sequence[str]) -> dict[str, object]:
    if not ids:
        return {}
    found = database.rows(*_among(database, _LAST_SUCCESSES, ids))
    return {
        str(row["id"]): {**row["metadata"], **{name: row[name] for name in ("checked_at", "failed_at", "off_at")}}
        for row in found
        if isinstance(row["metadata"], dict)
    }


def record(
    database: Database,
    owner: str,
    results: Sequence[Result],
    *,
    check_type: str,
    agent: str,
    deadline_s: float,
    again: bool = False,
) -> dict[str, Recorded]:
    """Writes log rows and statuses together, frees the leases; what was recorded, by id.

    Those whose lease was lost are not in the answer: their results are dropped, somebody else has the lease now.
    An integration edited meanwhile keeps its status and is due again at once. `again`: an earlier try
    with these results may have been committed; what it wrote is in the answer. A result that the
    database does not take spoils none of the others: it becomes `self.crash`.
    """
    write = partial(_record, database, owner, check_type=check_type, agent=agent, deadline_s=deadline_s)
    try:
        recorded = write(results)
    except _ITS_OWN_FAULT:
        recorded = {}
        for result in results:
            try:
                recorded |= write([result])
            except _ITS_OWN_FAULT:
                outcome = Outcome("self.crash", detail="the database did not take its result")
                recorded |= write([Result(result.claimed, outcome)])
    if again:
        recorded |= _written(database, [result for result in results if result.claimed.id not in recorded])
    return recorded


def _record(
    database: Database, owner: str, results: Sequence[Result], *, check_type: str, agent: str, deadline_s: float
) -> dict[str, Recorded]:
    text, parameters = _among(database, _locked(database, _HELD), [result.claimed.id for result in results])
    with database.transaction():
        held = {str(row["id"]): row for row in database.rows(text, {**parameters, "owner": owner})}
        ours = []
        for result in results:
            state = held.get(result.claimed.id)
            if state is not None and state["lease_token"] == result.claimed.lease_token:
                ours.append(result)
        asking = [one for one in ours if _proves_nothing(one.outcome) or "account" in one.outcome.facts]
        before = _last_successes(database, [one.claimed.id for one in asking])
        rows, recorded = [], {}
        for result in ours:
            id = result.claimed.id
            outcome = apply_throttling(result.outcome, before.get(id), held[id], result.claimed.config_version)
            if needs_last_success(outcome, result.claimed.provider):
                previous = before.get(id, result.claimed.last_success)
                outcome = compare_with_last_success(outcome, previous, result.claimed.config_version)
            known = Result(result.claimed, outcome)
            row = _row(held[id], known, check_type=check_type, agent=agent, deadline_s=deadline_s)
            rows.append(row)
            became = row["status"] if row["settles"] else held[id]["status"]
            recorded[id] = Recorded(id, held[id]["name"], known.outcome, held[id]["status"], became)
        _write(database, rows)
        changes = (transitions.Change(one.id, one.was, one.became, one.outcome) for one in recorded.values())
        transitions.add(database, changes)
        hit("in_record")
    return recorded


def _row(state: Row, result: Result, *, check_type: str, agent: str, deadline_s: float) -> Row:
    """All that a result writes."""
    outcome, claimed = result.outcome, result.claimed
    settled = settle(state, outcome, check_type)
    claimed_at: datetime = state["lease_expires_at"] - timedelta(seconds=deadline_s + LEASE_MARGIN_S)
    next_at = None if settled.next_in_s is None else claimed_at + timedelta(seconds=settled.next_in_s)
    if next_at and outcome.retry_after_s:
        next_at = max(next_at, state["now_at"] + timedelta(seconds=outcome.retry_after_s))
    rejections = settled.rejections
    deleted = state["deleted_at"] is not None
    edited = state["config_version"] != claimed.config_version
    if edited and state["status"] in ("active", "error"):
        next_at, rejections = state["now_at"], 0
    kept = metadata(outcome, agent, claimed.config_version)
    if not edited and settled.status != state["status"]:
        kept |= {"was": state["status"], "became": settled.status}
    return {
        "id": claimed.id,
        "rejections": rejections,
        "next_at": None if deleted else next_at,
        "settles": not (edited or deleted),
        "status": settled.status,
        "error_message": settled.error_message,
        "error_count": settled.error_count,
        "logs": not deleted,
        "log_id": new_log_id(),
        "check_type": check_type,
        "log_status": "unknown" if edited else LOG_STATUS[outcome.verdict],  # of the config that stands it says nothing
        "response_time_ms": outcome.response_time_ms,
        "log_message": None if outcome.verdict == "healthy" else outcome.message,
        "metadata": kept,
        "lease_token": claimed.lease_token,
    }


def _write(database: Database, rows: Sequence[Row]) -> None:
    """All rows: one statement on PostgreSQL; on SQLite three prepared ones, which cost half of a document there."""
    if not rows:
        return
    if database.dialect == POSTGRESQL:
        document = json.dumps(rows, default=_iso, allow_nan=False)
        database.run(_WRITE_POSTGRESQL, {"results": document})
        return
    database.run_many(_RELEASE, rows)
    database.run_many(_STATUS, [row for row in rows if row["settles"]])
    database.run_many(_LOG, [row for row in rows if row["logs"]])


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError


def _written(database: Database, results: Sequence[Result]) -> dict[str, Recorded]:
    """Those of `results` that are in the log already."""
    if not results:
        return {}
    wanted = {(result.claimed.id, result.claimed.lease_token): result for result in results}
    found = {}
    text, parameters = _among(database, _WRITTEN, [result.claimed.id for result in results])
    for row in database.rows(text, parameters):
        id = str(row["id"])
        result = wanted.get((id, row["lease_token"]))
        if result is not None:
            log = row["metadata"]
            outcome = result.outcome if log["code"] == result.outcome.code else Outcome(log["code"], log["phase"])
            status = result.claimed.status
            found[id] = Recorded(id, result.claimed.name, outcome, log.get("was", status), log.get("became", status))
    return found


def give_back(database: Database, owner: str, ids: Sequence[str]) -> int:
    """Frees leases whose probes were not finished; they are due as they were. How many were ours."""
    if not ids:
        return 0
    text, parameters = _among(database, _GIVE_BACK.replace("{which}", "integration_id {among}"), ids)
    with database.transaction():
        return database.run(text, {**parameters, "owner": owner})


def give_back_unknown(database: Database, owner: str, known: Sequence[str]) -> int:
    """Frees what a claim took whose answer never came: all of this owner's leases but the known ones."""
    text, parameters = _among(database, _GIVE_BACK.replace("{which}", "NOT integration_id {among}"), known)
    with database.transaction():
        return database.run(text, {**parameters, "owner": owner})


@dataclass(frozen=True, slots=True)
class Anomalies:
    """What a pass must see to before it claims."""

    stuck: bool = False  # claimed three times without a result: to be set aside
    suspects: bool = False  # claimed twice without a result: to be taken one at a time
    ahead: bool = False  # due later than anything can be: the clock was set back


def find_anomalies(database: Database) -> Anomalies:
    """One look for all of it, which writes nothing: else each idle pass would take SQLite's write lock."""
    rows = database.rows(_DOUBTFUL)
    return Anomalies(
        stuck=any(row["attempts"] >= MAX_ATTEMPTS for row in rows),
        suspects=any(row["attempts"] == MAX_ATTEMPTS - 1 for row in rows),
        ahead=any(row["next_check_at"] is not None and row["next_check_at"] > row["latest_at"] for row in rows),
    )


def pull_forward(database: Database) -> int:
    """What is due later than anything can be is due now: the clock was set back since. How many."""
    with database.transaction():
        return database.run(_PULL_FORWARD)


def set_aside(database: Database, *, agent: str) -> int:
    """Puts off by an hour what was claimed three times and never finished, as `unknown`. How many."""
    skip = " FOR UPDATE OF s SKIP LOCKED" if database.dialect == POSTGRESQL else ""
    outcome = Outcome("self.set_aside")
    with database.transaction():
        stuck = database.rows(_STUCK + skip)
        for row in stuck:
            database.run(_SET_ASIDE, {"id": row["id"]})
            database.run(_TOUCHED, {"id": row["id"]})
            database.run(
                _LOG,
                {
                    "log_id": new_log_id(),
                    "id": row["id"],
                    "check_type": "scheduled",
                    "log_status": "unknown",
                    "response_time_ms": None,
                    "log_message": outcome.message,
                    "metadata": metadata(outcome, agent, row["config_version"]),
                    "lease_token": row["lease_token"],
                },
            )
    return len(stuck)


def lease(database: Database, id: str) -> tuple[int, bool]:
    """The token of an integration's newest lease, and whether somebody holds it now."""
    found = database.row(
        "SELECT lease_token, CASE WHEN lease_expires_at > {now} THEN 1 ELSE 0 END AS held"
        "  FROM integration_schedules WHERE integration_id = :id",
        {"id": id},
    )
    return (int(found["lease_token"]), bool(found["held"])) if found else (0, False)
