"""Saving changes: one transaction for all of them, then their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

from intctl import vault
from intctl.failpoint import hit
from intctl.health.status import interval_minutes, is_enabled
from intctl.plan.changes import Change
from intctl.plan.runtime import Runtime, sealed_tokens

_Due = Literal["now", "later", "never"]


def savable(change: Change) -> bool:
    """Whether the change may be saved: its test passed, perhaps with a warning, or no test exists."""
    if not change.wants_test or change.outcome is None:
        return True
    return change.outcome.verdict in ("healthy", "degraded") or change.outcome.code == "self.no_probe"


def save(runtime: Runtime, changes: Sequence[Change]) -> None:
    """Write the changes in one transaction, then settle the tokens.

    Raises ConflictError when a name was taken or a row changed since it was read.
    """
    from intctl.store import changes as store

    work = [change for change in changes if change.action != "unchanged"]
    if not work:
        return
    hit("token_before_commit")
    with store.unit_of_work(runtime.target) as session:
        for change in work:
            if change.action == "create" and not change.drafted:
                store.insert_integration(session, store.NewIntegration(**_values(runtime, change, _status(change))))
            else:
                _update(runtime, session, change)
            if change.wants_test and change.outcome is not None:
                store.record_outcome(
                    session,
                    id=change.id,
                    org_id=runtime.org_id,
                    check_type="auto",
                    outcome=change.outcome,
                    agent=runtime.agent,
                )
    hit("token_after_commit")
    for change in work:
        if change.wants_test:
            _settle_tokens(runtime, change)


def withdraw(runtime: Runtime, changes: Sequence[Change]) -> None:
    """Remove the drafts that were not saved, except those whose provider replaced the token."""
    for change in changes:
        if change.drafted and sealed_tokens(runtime, change).withdraw_draft():
            change.drafted = False


def insert_drafts(runtime: Runtime, changes: Sequence[Change]) -> None:
    """Add an inactive row without a config version for each change, to keep a token that its test rotates.

    Raises ConflictError when a name is taken.
    """
    from intctl.store import changes as store

    with store.unit_of_work(runtime.target) as session:
        for change in changes:
            store.insert_integration(
                session, store.NewIntegration(**_values(runtime, change, "inactive"), config_version=0)
            )


class _Values(TypedDict):
    """The arguments of `insert_integration`."""

    id: str
    org_id: str
    type: str
    provider: str
    name: str
    config: dict[str, Any]
    status: str
    interval_minutes: int
    due: _Due


def _values(runtime: Runtime, change: Change, status: str) -> _Values:
    manifest = change.manifest
    return {
        "id": change.id,
        "org_id": runtime.org_id,
        "type": manifest.type or change.provider.type,
        "provider": change.provider.name,
        "name": change.name,
        "config": vault.seal(runtime.keyring, runtime.org_id, change.id, change.provider, manifest.config),
        "status": status,
        "interval_minutes": interval_minutes(manifest.interval),
        "due": _due(change, status),
    }


def _status(change: Change) -> str:
    """The status after the save: enabled, unless the file or an earlier toggle says otherwise.

    What is in error stays in error until a test or a check is healthy.
    """
    before = change.stored.status if change.stored is not None else "active"
    enabled = is_enabled(before) if change.manifest.enabled is None else change.manifest.enabled
    if not enabled:
        return "inactive"
    return "error" if before == "error" and change.outcome is None else "active"


def _due(change: Change, status: str) -> _Due:
    if not is_enabled(status):
        return "never"
    return "now" if change.outcome is None else "later"


def _update(runtime: Runtime, session: Any, change: Change) -> None:
    from intctl.store import changes as store

    manifest = change.manifest
    status = _status(change)
    values: dict[str, Any] = {}
    if change.drafted:  # perhaps by an earlier run, from another manifest
        drafted = _values(runtime, change, status)
        values = {key: value for key, value in drafted.items() if key not in ("id", "org_id", "provider")}
    elif change.wants_test:
        envelope = vault.seal(runtime.keyring, runtime.org_id, change.id, change.provider, manifest.config)
        values.update(config=envelope, status=status, due=_due(change, status))
    elif "enabled" in change.changed:
        values.update(status=status, due="now" if is_enabled(status) else "never")
    if "name" in change.changed:
        values["name"] = change.name
    if "type" in change.changed:
        values["type"] = manifest.type
    if "health_check_interval_minutes" in change.changed:
        values["interval_minutes"] = manifest.interval
    version = change.stored.config_version if change.stored else 0
    store.update_integration(
        session, id=change.id, org_id=runtime.org_id, expected_version=version, changed=store.Changed(**values)
    )


def _settle_tokens(runtime: Runtime, change: Change) -> None:
    """Keep the tokens that the test got, and remove those of the previous config."""
    store = sealed_tokens(runtime, change)
    if change.passing is not None and change.passing.found is not None:
        store.save(change.passing.found, None)
    if change.stored is not None or change.drafted:
        store.drop_others()
