"""Claiming integrations for a check, and giving the claims back.

The lease is that of `db.lease`: only the owner of a lease that is still valid records a result (`results.py`), under
its token. Every function is one transaction, and no transaction is open during a probe.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from intctl.db import lease
from intctl.db.connect import Database, among
from intctl.db.url import POSTGRESQL
from intctl.health.status import DEFAULT_INTERVAL_MINUTES, ENABLED, interval_minutes

if TYPE_CHECKING:
    from datetime import datetime

    from intctl.health.judge import LastSuccess
    from intctl.store.configs import SealedConfig

#: How long a locked row is tried again, in seconds. A lease that is not given back is in the way until it ends.
_TRIES_S = 0.5
_GIVE_BACK_TRIES_S = 3.0
_LOCK_PAUSE_S = 0.05
#: Claims that never completed after which an integration is paused for one hour.
MAX_ATTEMPTS = 3

_ENABLED = ", ".join(f"'{status}'" for status in ENABLED)
# Ordered by the index alone: the cost depends on the rows claimed, not on the rows due.
_CANDIDATES = f"""
SELECT {{wanted}} FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE s.next_check_at <= {{start}} AND {lease.is_free("s", now="{start}")} AND s.attempts {{attempts}}
   AND i.deleted_at IS NULL AND i.status IN ({_ENABLED}) {{scope}}
 ORDER BY s.next_check_at LIMIT :free_slots"""
_INTEGRATION = """{i}.id, {i}.org_id, {i}.name, {i}.provider, {i}.type, {i}.config, {i}.config_version, {i}.status,
       {i}.health_check_interval_minutes"""
# The probes of these do not ask everything each time: the last success says what is known already.
_LAST_SUCCESS = """CASE WHEN {i}.provider IN ('http', 'caldav', 'smtp') THEN
       (SELECT l.metadata FROM integration_health_logs l WHERE l.integration_id = {i}.id AND l.status = 'success'
           AND l.checked_at IS NOT NULL ORDER BY l.checked_at DESC, l.id DESC LIMIT 1) END AS last_success"""
_COLUMNS = f"{_INTEGRATION}, {_LAST_SUCCESS}, s.lease_token, s.attempts, s.rejections"


# MATERIALIZED: if inlined, the LIMIT could be evaluated more than once and claim far more rows.
_CLAIM_POSTGRESQL = f"""
WITH due AS MATERIALIZED ({_CANDIDATES.replace("{wanted}", _INTEGRATION.replace("{i}", "i"))}
   FOR UPDATE OF s SKIP LOCKED)
UPDATE integration_schedules s SET {lease.take("s")} FROM due
 WHERE s.integration_id = due.id RETURNING {_COLUMNS.replace("{i}", "due")}"""
_CLAIM_SQLITE = f"""
UPDATE integration_schedules AS s SET {lease.take("s")}
 WHERE s.integration_id IN ({_CANDIDATES.replace("{wanted}", "s.integration_id")}) RETURNING integration_id AS id"""
# The row is found first, so that one that another session has locked is skipped (`lease.lock`).
_FREE = f"""
SELECT s.integration_id FROM integration_schedules s
 WHERE s.integration_id = :id AND {lease.is_free("s", now="{start}")}"""
_CLAIM_ONE = f"""
UPDATE integration_schedules AS s SET {lease.take("s")}
 WHERE s.integration_id IN ({_FREE}{{lock}}) RETURNING integration_id AS id"""
_CLAIMED = f"""
SELECT {_COLUMNS.replace("{i}", "i")}
  FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE s.lease_owner = :owner AND s.integration_id {{among}} ORDER BY s.integration_id"""


_GIVE_BACK = f"""
UPDATE integration_schedules SET {lease.GIVE_BACK} WHERE integration_id IN (
  SELECT s.integration_id FROM integration_schedules s WHERE s.lease_owner = :owner AND {{which}}{{lock}})"""
_STILL_HELD = "SELECT 1 FROM integration_schedules s WHERE s.lease_owner = :owner AND {which} LIMIT 1"
_CAN_LOCK = "SELECT i.id FROM integrations i WHERE i.id = :id"


@dataclass(frozen=True, slots=True)
class Claimed:
    """One integration that this process may check now, under `lease_token`.

    `attempts` counts claims without a result, including this one; `rejections` counts refused logins in a row, which
    are zero after any other result. `last_success` is the last successful check where the
    provider is http, caldav or smtp, without its times. `valid_until` is the time of this machine's monotonic clock
    after which nothing may be written under the lease.
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
    last_success: LastSuccess | None = field(repr=False)
    lease_token: int
    attempts: int = 1
    rejections: int = 0
    valid_until: float = math.inf

    @property
    def suspect(self) -> bool:
        """Whether the integration is paused if this claim never completes either."""
        return self.attempts >= MAX_ATTEMPTS

    @property
    def compared(self) -> bool:
        """Whether the API's reply without the credential is already known for this config."""
        from intctl.health.judge import credential_proven

        return credential_proven(self.last_success, self.config_version) is not None

    def was_asked(self, now: float) -> bool:
        """Whether the mail server need not be asked to relay at this UNIX time, in seconds."""
        from intctl.health.judge import relay_was_asked

        return relay_was_asked(self.last_success, self.config_version, self.status, now)

    @property
    def sealed(self) -> SealedConfig:
        """The sealed config, as `vault` opens it."""
        from intctl.store.configs import SealedConfig

        return SealedConfig(
            id=self.id,
            org_id=self.org_id,
            name=self.name,
            type=self.type,
            provider=self.provider,
            status=self.status,
            config=self.config,
            config_version=self.config_version,
            health_check_interval_minutes=self.health_check_interval_minutes,
        )


_INTERVAL = f"coalesce(nullif(i.health_check_interval_minutes, 0), {DEFAULT_INTERVAL_MINUTES})"
# Due later than in two intervals: rare enough to read the newest log of each.
_ANOMALIES = f"""
SELECT s.integration_id AS id, s.attempts, s.rejections, s.next_check_at, {{now}} AS now_at,
       i.health_check_interval_minutes
  FROM integration_schedules s JOIN integrations i ON i.id = s.integration_id
 WHERE s.attempts >= {MAX_ATTEMPTS - 1} OR s.next_check_at > {{after 120.0 * {_INTERVAL}}}"""
_NEWEST = """
SELECT i.id, (SELECT l.metadata FROM integration_health_logs l WHERE l.integration_id = i.id
                 AND l.checked_at IS NOT NULL ORDER BY l.checked_at DESC, l.id DESC LIMIT 1) AS metadata
  FROM integrations i WHERE i.id {among}"""
_PULL_FORWARD = """
UPDATE integration_schedules SET next_check_at = {after :wait_s} WHERE integration_id IN (
  SELECT s.integration_id FROM integration_schedules s
   WHERE s.integration_id = :id AND s.next_check_at > {after :bound_s}{lock})"""


def claim_due(
    database: Database,
    owner: str,
    *,
    free_slots: int,
    deadline_s: float,
    org_id: str | None = None,
    suspects: bool = False,
) -> list[Claimed]:
    """Claim up to `free_slots` integrations that are due, longest due first.

    `suspects` are those that were claimed twice and never completed. They are claimed only with this option,
    one at a time, so that one that kills its agent does not pause the others.
    """
    attempts = f"= {MAX_ATTEMPTS - 1}" if suspects else f"< {MAX_ATTEMPTS - 1}"
    text = _CLAIM_POSTGRESQL if database.dialect == POSTGRESQL else _CLAIM_SQLITE
    text = text.replace("{attempts}", attempts).replace("{scope}", "AND i.org_id = :org_id" if org_id else "")
    valid_until, lease_s = lease.length(deadline_s)
    parameters: dict[str, object] = {"owner": owner, "free_slots": free_slots, "lease_s": lease_s}
    if org_id:
        parameters["org_id"] = org_id
    with database.transaction():
        rows = database.rows(text, parameters)
        if database.dialect != POSTGRESQL:
            rows = _claimed(database, owner, [row["id"] for row in rows])
    return [_decoded(**row, valid_until=valid_until) for row in rows]


def claim_one(database: Database, owner: str, id: str, *, deadline_s: float) -> Claimed | None:
    """Claim one integration now, due or not. None if another process holds its lease, or has locked its row."""
    valid_until, lease_s = lease.length(deadline_s)
    text = _CLAIM_ONE.replace("{lock}", lease.lock(database.dialect, "s"))
    for _ in lock_tries(database):
        with database.transaction():
            taken = database.rows(text, {"owner": owner, "id": id, "lease_s": lease_s})
            found = _claimed(database, owner, [str(row["id"]) for row in taken])
        if found:
            return _decoded(**found[0], valid_until=valid_until)
        if database.row(_FREE, {"id": id}) is None:
            break
    return None


def lock_tries(database: Database, seconds: float = _TRIES_S) -> Iterator[None]:
    """Yield once, and again while other processes of intctl may hold row locks: they do so for milliseconds."""
    ends = time.monotonic() + seconds
    yield
    while database.dialect == POSTGRESQL and time.monotonic() < ends:
        time.sleep(_LOCK_PAUSE_S)
        yield


def _claimed(database: Database, owner: str, ids: Sequence[str]) -> list[dict[str, object]]:
    if not ids:
        return []
    text, parameters = among(database, _CLAIMED, ids)
    return database.rows(text, {**parameters, "owner": owner})


def _decoded(*, last_success: object, valid_until: float, **columns: Any) -> Claimed:
    last = None
    if last_success is not None:
        from intctl.health import log_entry
        from intctl.health.judge import LastSuccess

        last = LastSuccess(log_entry.read(last_success))
    return Claimed(**columns, last_success=last, valid_until=valid_until)


def give_back(database: Database, owner: str, ids: Sequence[str]) -> int:
    """Release leases whose probes did not finish; the due times are unchanged. Returns how many this owner held."""
    if not ids:
        return 0
    return _given_back(database, owner, "s.integration_id {among}", ids)


def give_back_unknown(database: Database, owner: str, known: Sequence[str]) -> int:
    """Release the leases of a claim whose reply was lost: all of this owner's but the known ones."""
    return _given_back(database, owner, "NOT s.integration_id {among}", known)


def _given_back(database: Database, owner: str, which: str, ids: Sequence[str]) -> int:
    sql = _GIVE_BACK.replace("{lock}", lease.lock(database.dialect, "s")).replace("{which}", which)
    text, parameters = among(database, sql, ids)
    left, _ = among(database, _STILL_HELD.replace("{which}", which), ids)
    parameters["owner"] = owner
    released = 0
    for _ in lock_tries(database, _GIVE_BACK_TRIES_S):
        with database.transaction():
            released += database.run(text, parameters)
        if database.dialect != POSTGRESQL or database.row(left, parameters) is None:
            break
    return released


def can_lock(database: Database, id: str) -> bool:
    """Return whether no other session keeps the integration's row locked, so that a result could be recorded now."""
    if database.dialect != POSTGRESQL:
        return True
    text = _CAN_LOCK + lease.lock(database.dialect, "i")
    return any(database.row(text, {"id": id}) is not None for _ in lock_tries(database))


class Ahead(NamedTuple):
    """An integration that is due later than in `bound_s` seconds, the latest that its schedule allows.

    It is due in `wait_s` seconds instead: at once, unless a delay of its own applies (`judge.extra_wait_s`).
    """

    id: str
    bound_s: float
    wait_s: float


@dataclass(frozen=True, slots=True)
class Anomalies:
    """Rows that a pass must repair or treat specially before it claims."""

    stuck: bool = False  # claimed three times without a result: must be paused
    suspects: bool = False  # claimed twice without a result: must be claimed one at a time
    ahead: tuple[Ahead, ...] = ()  # due too late: a clock that was ahead scheduled them


class _Odd(NamedTuple):
    """A row of `_ANOMALIES`."""

    id: str
    attempts: int
    rejections: int
    next_check_at: datetime | None
    now_at: datetime
    health_check_interval_minutes: int | None

    @property
    def two_intervals_s(self) -> float:
        """Two intervals, in seconds."""
        return 120.0 * interval_minutes(self.health_check_interval_minutes)

    def is_later(self, seconds: float) -> bool:
        """Whether the check is due later than in so many seconds."""
        return self.next_check_at is not None and (self.next_check_at - self.now_at).total_seconds() > seconds


def find_anomalies(database: Database) -> Anomalies:
    """Find all anomalies in one query without a write: otherwise each idle pass would take SQLite's write lock."""
    rows = [_Odd(**row) for row in database.rows(_ANOMALIES)]
    return Anomalies(
        stuck=any(row.attempts >= MAX_ATTEMPTS for row in rows),
        suspects=any(row.attempts == MAX_ATTEMPTS - 1 for row in rows),
        ahead=_ahead(database, [row for row in rows if row.is_later(row.two_intervals_s)]),
    )


def _ahead(database: Database, late: Sequence[_Odd]) -> tuple[Ahead, ...]:
    """The rows that are due later than in two intervals without a reason."""
    if not late:
        return ()
    from intctl.health import judge, log_entry

    text, parameters = among(database, _NEWEST, [row.id for row in late])
    newest = {row["id"]: row["metadata"] for row in database.rows(text, parameters)}
    found = []
    for row in late:
        minutes = interval_minutes(row.health_check_interval_minutes)
        wait_s = judge.extra_wait_s(minutes, row.rejections, log_entry.read(newest.get(row.id)))
        bound_s = wait_s or row.two_intervals_s
        if row.is_later(bound_s):
            found.append(Ahead(str(row.id), bound_s, wait_s))
    return tuple(found)


def pull_forward(database: Database, ahead: Sequence[Ahead]) -> int:
    """Make due what a clock that was ahead scheduled too late. Returns how many."""
    text = _PULL_FORWARD.replace("{lock}", lease.lock(database.dialect, "s"))
    with database.transaction():
        return sum(database.run(text, one._asdict()) for one in ahead)


def holder(database: Database, id: str) -> tuple[int, bool]:
    """The token of an integration's newest lease, and whether the lease is held now."""
    found = database.row(
        "SELECT lease_token, CASE WHEN lease_expires_at > {now} THEN 1 ELSE 0 END AS held"
        "  FROM integration_schedules WHERE integration_id = :id",
        {"id": id},
    )
    return (int(found["lease_token"]), bool(found["held"])) if found else (0, False)
