"""The figures of a window of time, with the usage that each provider reported last."""

from __future__ import annotations

from dataclasses import dataclass

from intctl.db.connect import Database
from intctl.metrics.figures import Report
from intctl.metrics.report import Window, metrics
from intctl.store.usages import Usage, usages


@dataclass(frozen=True, slots=True)
class Figures:
    """The report of one integration, and its usage if the provider reports it."""

    report: Report
    usage: Usage | None = None


def figures(
    database: Database, org_id: str, window: Window, *, id: str | None = None, target: float | None = None
) -> list[Figures]:
    """The figures of each integration that is not deleted, or of one, by name."""
    reports = metrics(database, org_id, window, id=id, target=target)
    known = usages(database, org_id, id=id)
    return [Figures(one, known.get(one.id)) for one in reports]
