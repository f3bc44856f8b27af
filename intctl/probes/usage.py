"""The usage of a quota or a balance, by the vendor's own figures: read, judged, and formatted.

A usage is plain JSON under `facts["usage"]`: kind ("quota" or "balance"), used, limit, remaining,
percent, period and unit, each None if unknown. A balance has only `remaining`, and its currency
as unit.
Invalid figures are ignored: nothing here raises for data that a vendor sends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intctl.health.outcome import Outcome
    from intctl.probes.reply import Reply
    from intctl.probes.spec import Balance, Quota

Usage = dict[str, Any]

#: Above this share of the limit, in percent, intctl warns.
HIGH_PERCENT = 80
#: The largest plausible figure; larger ones are ignored.
_MOST = 10**15
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")
#: The keys of a usage, in the order in which they are shown.
KEYS = ("kind", "used", "limit", "remaining", "percent", "period", "unit")

#: The vendors' words for a period.
_PERIODS = {
    "hour": "hour", "hourly": "hour", "1h": "hour",
    "day": "day", "daily": "day", "1d": "day",
    "month": "month", "monthly": "month", "1m": "month",
}  # fmt: skip
_SPOKEN = {"hour": "this hour", "day": "today", "month": "this month"}


def read(quotas: Sequence[Quota | Balance], reply: Reply, words: Callable[[str], str]) -> tuple[Usage | None, str]:
    """Return the usage in a reply, or None, and its cause code ("ok" for none).

    Of several, the one closest to its limit. `words` sanitizes external text.
    """
    found = list(_all(quotas, reply, words))
    if not found:
        return None, "ok"
    return max(found, key=lambda one: -1 if one[0]["percent"] is None else one[0]["percent"])


def _all(quotas: Sequence[Quota | Balance], reply: Reply, words: Callable[[str], str]) -> Iterator[tuple[Usage, str]]:
    from intctl.probes.reply import MISSING, value_at
    from intctl.probes.spec import Balance  # here, because commands that only show usages need no probe

    document = reply.json()

    def at(place: str) -> Any:
        if place.startswith("/"):
            return value_at(document, place) if document is not MISSING else MISSING
        return reply.headers.get(place, MISSING) if place else MISSING

    for quota in quotas:
        if quota.only_if is not None and not _holds(at(quota.only_if[0]), quota.only_if[1], MISSING):
            continue
        if isinstance(quota, Balance):
            amount, currency = (
                number(at(quota.amount)),
                at(quota.currency) if quota.currency[:1] == "/" else quota.currency,
            )
            if amount is not None:
                unit = words(currency) if isinstance(currency, str) else ""
                usage = _shaped(kind="balance", remaining=amount, unit=unit or None)
                yield usage, "balance.empty" if quota.stops and amount <= 0 else "ok"
        else:
            limit = quota.limit if isinstance(quota.limit, int) else number(at(quota.limit))
            period = at(quota.period) if quota.period[:1] == "/" else quota.period
            told = measured(
                number(at(quota.used)), number(at(quota.remaining)), limit, known=isinstance(quota.limit, int)
            )
            if told is not None:
                told["period"] = _PERIODS.get(period.lower()) if isinstance(period, str) else None
                told["unit"] = quota.unit or None
                yield told, _code(told, hard=quota.hard)


def _holds(found: object, wanted: object, missing: object) -> bool:
    return found is not missing and (wanted is None or found == wanted)


def number(value: object) -> int | float | None:
    """Return a vendor's figure, a JSON number or its digits as text; None for everything else."""
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            return None
        value = float(text) if "." in text else int(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if abs(value) > _MOST or not isfinite(value):  # in this order: isfinite overflows for a huge integer
        return None
    return int(value) if value == int(value) else value


def measured(
    used: int | float | None, remaining: int | float | None, limit: int | float | None, *, known: bool = False
) -> Usage | None:
    """Return the usage that the figures give, or None if there are none.

    A negative figure is ignored, and so is a limit of zero, which some vendors send for "no limit".
    A limit that the reply contradicts is ignored: less than what remains, or, if it is `known` from
    another source, less than what is used; and one so small that the share would exceed any figure.
    """
    used, remaining = (None if one is not None and one < 0 else one for one in (used, remaining))
    limit = limit if limit is not None and limit > 0 else None
    most = _MOST if limit is None else limit if known else limit * (_MOST / 100)
    if limit is not None and ((remaining or 0) > limit or (used or 0) > most):
        limit = None
    if used is None and remaining is None:
        return None
    if limit is not None:
        used = limit - (remaining or 0) if used is None else used
        remaining = max(limit - used, 0)
    percent = None if limit is None or used is None else int(100 * used / limit)  # 10 // 0.1 is 99
    return _shaped(kind="quota", used=used, limit=limit, remaining=remaining, percent=percent)


def _shaped(**figures: object) -> Usage:
    return {key: figures.get(key) for key in KEYS}


def _code(usage: Usage, *, hard: bool) -> str:
    used, limit = usage["used"], usage["limit"]
    if limit is None:
        return "ok"
    if hard and used >= limit:
        return "quota.exhausted"
    return "quota.high" if 100 * used > HIGH_PERCENT * limit else "ok"


def judged(outcome: Outcome, usage: Usage | None, code: str) -> Outcome:
    """Return the outcome with the usage added. A worse verdict or an earlier warning has priority.

    Only a healthy or degraded outcome is changed: a failed check shows no valid usage.
    """
    if usage is None or outcome.verdict not in ("healthy", "degraded"):
        return outcome
    outcome = replace(outcome, facts={**outcome.facts, "usage": usage})
    if code == "ok" or (outcome.code != "ok" and code != "quota.exhausted"):
        return outcome
    return replace(outcome, code=code, detail=_particulars(usage))


def _particulars(usage: Usage) -> str:
    if usage["limit"] is None:
        return worded(usage)
    figures, _, percent = worded(usage).rpartition(" (")
    return f"{figures} are used ({percent}"


def worded(usage: Mapping[str, Any]) -> str:
    """Format a usage: `247 of 25,000 emails today (1 %)`, `42 emails this month`, `balance 12.50 EUR`."""
    used, limit, remaining = usage["used"], usage["limit"], usage["remaining"]
    unit = f" {usage['unit']}" if usage["unit"] else ""
    span = f" {_SPOKEN[usage['period']]}" if usage["period"] in _SPOKEN else ""
    if limit is not None:
        return f"{_figure(used)} of {_figure(limit)}{unit}{span} ({usage['percent']} %)"
    if used is not None:
        return f"{_figure(used)}{unit}{span}"
    if usage["kind"] == "balance":
        return f"balance {remaining:,.2f}{unit}"
    return f"{_figure(remaining)}{unit} left{span}"


def sound(usage: Mapping[str, Any]) -> bool:
    """Whether a stored usage can be formatted: another program may have written the row."""
    if usage.keys() != set(KEYS) or usage["kind"] not in ("quota", "balance"):
        return False
    figures = [usage[key] for key in ("used", "limit", "remaining", "percent") if usage[key] is not None]
    if any(isinstance(one, str) or number(one) is None for one in figures):
        return False
    if any(not isinstance(usage[key], str | None) for key in ("period", "unit")):
        return False
    if usage["limit"] is not None:
        return usage["used"] is not None and usage["percent"] is not None
    return usage["remaining"] is not None or (usage["kind"] == "quota" and usage["used"] is not None)


def _figure(value: int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
