"""The one lease: the right to do something alone, with an owner, an expiry and a fencing token that only rises.

Claims of integrations, the reporting of transitions and the roll-up of the history take it alike. What is done under
a lease is written only by its owner, under its token, while it is valid. Only the database's clock counts; a lease
that ends later than any can was taken before the clock was set back, and counts as past.

The functions give SQL for a table with the columns lease_owner, lease_token, lease_expires_at and attempts, known by
`alias`. `:owner` and `:lease_s` are parameters.
"""

from __future__ import annotations

import time

#: How many seconds a lease outlives the deadline of its probe: time to record, with room to spare.
MARGIN_S = 40
#: How long before its end a lease is no longer written under, in seconds.
SAFETY_S = 5
#: No lease ends later than this from now, in seconds.
LONGEST_S = 600

#: What frees a lease.
RELEASE = "lease_owner = NULL, lease_expires_at = NULL"
#: What frees a lease whose work was not done, as if it had not been taken.
GIVE_BACK = f"{RELEASE}, attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END"


def is_past(expiry: str, *, now: str = "{now}", longest_s: int = LONGEST_S) -> str:
    """Whether a lease with this expiry is over, or ends later than any can."""
    return f"{expiry} <= {now} OR {expiry} > {{after {longest_s}}}"


def is_free(alias: str, *, now: str = "{now}") -> str:
    """Whether nobody holds the lease."""
    expiry = f"{alias}.lease_expires_at"
    return f"({expiry} IS NULL OR {is_past(expiry, now=now)})"


def is_held(alias: str) -> str:
    """The guard of every write: this owner holds the lease, and it is valid. The token is compared besides."""
    return f"{alias}.lease_owner = :owner AND {alias}.lease_expires_at > {{now}}"


def take(alias: str) -> str:
    """What takes the lease: the token rises, and the attempt is counted until it is finished or given back."""
    return f"""lease_owner = :owner, lease_token = {alias}.lease_token + 1, attempts = {alias}.attempts + 1,
       lease_expires_at = {{after :lease_s}}"""


def length(deadline_s: float) -> tuple[float, float]:
    """Until when this process may write under a lease that it asks for now, and how long the lease is, in seconds.

    The first is a moment of the monotonic clock. It counts from before the request, so it is never too late.
    """
    lease_s = deadline_s + MARGIN_S
    return time.monotonic() + lease_s - SAFETY_S, lease_s
