"""Leases: the exclusive right to do something, with an owner, an expiry and a fencing token that only rises.

Claims of integrations, deliveries of transitions and the roll-up of the history use the same lease. Results are
written only by the lease's owner, under its token, while it is valid. Only the database's clock counts. A lease that
ends later than the maximum was taken before the clock was set back, and counts as expired.

The functions return SQL for a table with the columns lease_owner, lease_token, lease_expires_at and attempts, known
as `alias`. `:owner` and `:lease_s` are parameters.
"""

from __future__ import annotations

import time

from intctl.db.url import POSTGRESQL

#: How many seconds a lease outlasts the deadline of its probe: time to record the result, with a margin.
MARGIN_S = 40
#: Nothing is written in this many seconds before the end of a lease.
SAFETY_S = 5
#: The maximum of a lease, in seconds from now.
LONGEST_S = 600

#: Frees a lease.
RELEASE = "lease_owner = NULL, lease_expires_at = NULL"
#: Frees a lease whose work was not done, as if it had not been taken.
GIVE_BACK = f"{RELEASE}, attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END"


def is_past(expiry: str, *, now: str = "{now}", longest_s: int = LONGEST_S) -> str:
    """Return a condition: a lease with this expiry has expired, or ends later than the maximum."""
    return f"{expiry} <= {now} OR {expiry} > {{after {longest_s}}}"


def is_free(alias: str, *, now: str = "{now}") -> str:
    """Return a condition: the lease is free."""
    expiry = f"{alias}.lease_expires_at"
    return f"({expiry} IS NULL OR {is_past(expiry, now=now)})"


def is_held(alias: str) -> str:
    """Return the condition of every write: this owner holds a valid lease. The token is compared separately."""
    return f"{alias}.lease_owner = :owner AND {alias}.lease_expires_at > {{now}}"


def take(alias: str) -> str:
    """Return assignments that take the lease: raise the token, and count the attempt until it ends."""
    return f"""lease_owner = :owner, lease_token = {alias}.lease_token + 1, attempts = {alias}.attempts + 1,
       lease_expires_at = {{after :lease_s}}"""


def lock(dialect: str, tables: str) -> str:
    """Return the end of a SELECT that locks its rows of `tables`, and skips those that another session has locked.

    A portal may keep a row locked for hours, and must not delay the rest. FOR NO KEY UPDATE is enough for every
    statement of an agent; unlike FOR UPDATE it also passes a foreign key check of another session. SQLite's write
    lock covers the whole file.
    """
    return f" FOR NO KEY UPDATE OF {tables} SKIP LOCKED" if dialect == POSTGRESQL else ""


def length(deadline_s: float) -> tuple[float, float]:
    """Return until when this process may write under a lease that it requests now, and the lease's length in seconds.

    The first is a time of the monotonic clock. It counts from before the request, so it is never too late.
    """
    lease_s = deadline_s + MARGIN_S
    return time.monotonic() + lease_s - SAFETY_S, lease_s
