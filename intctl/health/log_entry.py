"""The metadata of a health log: one writer and one reader.

The document is plain JSON without secrets. Another program may have written the row, so the reader accepts any
value: a part that does not fit is treated as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from intctl.health.status import LOG_STATUS, PHASES, Verdict
from intctl.text import stored_json

if TYPE_CHECKING:
    from intctl.health.outcome import Outcome

_NOTHING: Mapping[str, Any] = {}


class LogMetadata(NamedTuple):
    """The data of one health log that has no column of its own.

    `verdict`, `code` and `config_version` are None if the document does not have them. `was` and `became` are the
    status before and after the check, if it changed. `retry_after_s` is the delay that the provider asked for, `agent`
    the host that checked.
    """

    verdict: Verdict | None = None
    code: str | None = None
    phase: str = ""
    phases_ms: Mapping[str, Any] = _NOTHING
    facts: Mapping[str, Any] = _NOTHING
    detail: str = ""
    config_version: int | None = None
    was: str | None = None
    became: str | None = None
    retry_after_s: int | None = None
    agent: str = ""

    @property
    def ordered_phases_ms(self) -> dict[str, Any]:
        """The milliseconds of each phase, in the order of the phases: jsonb does not preserve order."""
        known = {name: self.phases_ms[name] for name in PHASES if name in self.phases_ms}
        if len(known) < len(self.phases_ms):
            known |= {name: self.phases_ms[name] for name in sorted(self.phases_ms.keys() - known.keys())}
        return known

    @property
    def ordered_facts(self) -> dict[str, Any]:
        """The facts, sorted by name: jsonb does not preserve order."""
        return dict(sorted(self.facts.items()))


#: The metadata of a row that another program wrote.
NO_METADATA = LogMetadata()


def write(
    outcome: Outcome, agent: str, config_version: int, *, was: str | None = None, became: str | None = None
) -> dict[str, object]:
    """Return the document for an outcome that `agent` found with this version of the config."""
    document: dict[str, object] = {
        "verdict": outcome.verdict,
        "code": outcome.code,
        "phase": outcome.phase,
        "phases_ms": dict(outcome.phases_ms),
        "facts": dict(outcome.facts),
        "agent": agent,
        "config_version": config_version,
    }
    if outcome.detail:
        document["detail"] = outcome.detail
    if outcome.retry_after_s:
        document["retry_after_s"] = outcome.retry_after_s
    if was is not None and became is not None:
        document |= {"was": was, "became": became}
    return document


def read(document: object) -> LogMetadata:
    """Parse a document, which is a decoded JSON value or its text."""
    known = _decoded(document)
    if not known:
        return NO_METADATA
    version, verdict = known.get("config_version"), _text(known, "verdict")
    retry_after_s = known.get("retry_after_s")
    return LogMetadata(
        verdict=verdict if verdict in LOG_STATUS else None,
        code=_text(known, "code"),
        phase=_text(known, "phase") or "",
        phases_ms=_object(known, "phases_ms"),
        facts=_object(known, "facts"),
        detail=_text(known, "detail") or "",
        config_version=version if isinstance(version, int) else None,
        was=_text(known, "was"),
        became=_text(known, "became"),
        retry_after_s=retry_after_s if isinstance(retry_after_s, int) else None,
        agent=_text(known, "agent") or "",
    )


def read_code(document: object) -> str:
    """Return the code only, "" if there is none: for reports that read thousands of documents."""
    return _text(_decoded(document), "code") or ""


def _decoded(document: object) -> Mapping[str, Any]:
    if isinstance(document, str):
        try:
            document = stored_json(document)
        except ValueError:
            return _NOTHING
    return document if isinstance(document, dict) else _NOTHING


def _text(known: Mapping[str, Any], name: str) -> str | None:
    value = known.get(name)
    return value if isinstance(value, str) else None


def _object(known: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = known.get(name)
    return value if isinstance(value, dict) else _NOTHING
