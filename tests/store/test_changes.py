"""Changes: the writes of each, inside one organisation, and the conflicts that it reports."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from intctl.db.connect import VERSION_TABLE, connect
from intctl.db.ids import new_id
from intctl.db.url import Target, sqlite_target
from intctl.errors import ConflictError, IntctlError, NotFoundError, StoreError
from intctl.health.outcome import Outcome
from intctl.store import changes, organization_changes, organizations

CANARY = "canary-secret"
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
STRANGER = "99999999-9999-4999-8999-999999999999"


def _add(target: Target, org_id: str, name: str = "Mail", **given: Any) -> str:
    values: dict[str, Any] = {
        "type": "email",
        "provider": "smtp",
        "config": {"ct": "one"},
        "status": "active",
        "interval_minutes": 5,
        "due": "later",
        **given,
    }
    with changes.unit_of_work(target) as session:
        id = changes.new_id()
        changes.insert_integration(session, changes.NewIntegration(id=id, org_id=org_id, name=name, **values))
    return id


def _row(target: Target, id: str) -> dict[str, Any]:
    with connect(target) as database:
        row = database.row(
            """SELECT i.*, s.next_check_at, s.attempts, s.rejections, s.lease_token, {now} AS now_at, s.integration_id
                 FROM integrations i LEFT JOIN integration_schedules s ON s.integration_id = i.id WHERE i.id = :id""",
            {"id": id},
        )
    assert row is not None
    return row


def _set(target: Target, id: str, table: str, values: str) -> None:
    key = "id" if table == "integrations" else "integration_id"
    with connect(target) as database:
        assert database.run(f"UPDATE {table} SET {values} WHERE {key} = :id", {"id": id}) == 1


def _minutes(row: dict[str, Any]) -> float:
    waited: timedelta = row["next_check_at"] - row["now_at"]
    return waited.total_seconds() / 60


# --- the transaction -----------------------------------------------------------------------------


def test_an_error_rolls_everything_back(target: Target, org_id: str) -> None:
    """An error rolls back the changes made before it."""
    with pytest.raises(RuntimeError), changes.unit_of_work(target) as session:
        organization_changes.create_organization(session, "Beta", "beta")
        raise RuntimeError
    with connect(target) as database:
        assert [row["id"] for row in database.rows("SELECT id FROM organizations")] == [org_id]


def test_a_database_that_is_not_ready_says_what_to_run(target: Target) -> None:
    """No change is begun in a database of another version."""
    with connect(target) as database:
        database.run(f"UPDATE {VERSION_TABLE} SET version_num = '0001'")
    with pytest.raises(StoreError, match="intctl init"), changes.unit_of_work(target):
        raise AssertionError


def test_a_database_that_is_not_there_says_what_to_run(tmp_path: Any) -> None:
    """Without a database there is one line that names the command."""
    with pytest.raises(StoreError, match="intctl init"), changes.unit_of_work(sqlite_target(tmp_path / "x.db")):
        raise AssertionError


def test_a_drivers_error_shows_no_value(target: Target, org_id: str) -> None:
    """A statement that the database rejects raises intctl's own error, without parameters or rows."""
    with pytest.raises(IntctlError) as caught:
        _add(target, org_id, name=None, config={"ct": CANARY})  # type: ignore[arg-type]
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# --- organisations and inserting -----------------------------------------------------------------


def test_a_slug_is_used_once(target: Target) -> None:
    """A second organisation gets its row; a slug that is taken is a conflict."""
    with changes.unit_of_work(target) as session:
        made = organization_changes.create_organization(session, "Beta", "beta")
    with connect(target) as database:
        assert made in organizations.find_all(database)
    with pytest.raises(ConflictError, match='"beta"'), changes.unit_of_work(target) as session:
        organization_changes.create_organization(session, "Other", "beta")


@pytest.mark.parametrize(("due", "low", "high"), [("now", -1, 0), ("later", 4.9, 5), ("never", None, None)])
def test_a_new_integration_is_due_when_asked(
    due: str, low: float | None, high: float | None, target: Target, org_id: str
) -> None:
    """Now, one interval later, or never: by the database's clock."""
    row = _row(target, _add(target, org_id, due=due))
    if low is None or high is None:
        assert row["next_check_at"] is None
    else:
        assert low <= _minutes(row) <= high
    assert row["integration_id"] == row["id"]
    assert (row["config"], row["config_version"], row["status"]) == ({"ct": "one"}, 1, "active")
    assert row["created_by"] is None
    assert row["now_at"] - timedelta(minutes=1) < row["created_at"] <= row["now_at"]


def test_a_name_is_used_once_among_the_living_of_one_organisation(target: Target, org_id: str) -> None:
    """ASCII case does not count, other letters' case does; another organisation may have the same name."""
    _add(target, org_id, "Café Mail")
    with pytest.raises(ConflictError, match='already an integration named "cAFé mail"'):
        _add(target, org_id, "cAFé mail")
    _add(target, org_id, "CAFÉ Mail")
    with changes.unit_of_work(target) as session:
        other = organization_changes.create_organization(session, "Beta", "beta").id
    _add(target, other, "Café Mail")


def test_an_unknown_organisation_is_not_found(target: Target) -> None:
    """Only an existing organisation can have integrations."""
    with pytest.raises(NotFoundError, match="No such organisation"):
        _add(target, STRANGER)


# --- changing ------------------------------------------------------------------------------------


def test_a_new_config_raises_its_version_and_forgets_failures(target: Target, org_id: str) -> None:
    """With a new config, rejected logins and unfinished claims no longer count."""
    id = _add(target, org_id)
    _set(target, id, "integration_schedules", "attempts = 2, rejections = 3, lease_token = 7")
    before = _row(target, id)
    with changes.unit_of_work(target) as session:
        changes.update_integration(
            session,
            id=id,
            org_id=org_id,
            expected_version=1,
            changed=changes.Changed(
                name="New", config={"ct": "two"}, type="crm", status="active", interval_minutes=10, due="later"
            ),
        )
    row = _row(target, id)
    assert (row["name"], row["config"], row["type"], row["config_version"]) == ("New", {"ct": "two"}, "crm", 2)
    assert (row["attempts"], row["rejections"], row["lease_token"]) == (0, 0, 7)
    assert 9.9 < _minutes(row) <= 10
    assert row["updated_at"] > before["updated_at"]
    assert row["created_at"] == before["created_at"]


def test_a_change_without_config_keeps_version_and_due_time(target: Target, org_id: str) -> None:
    """A new name alone moves neither config_version nor the next check."""
    id = _add(target, org_id)
    _set(target, id, "integration_schedules", "rejections = 2")
    before = _row(target, id)
    with changes.unit_of_work(target) as session:
        changes.update_integration(
            session, id=id, org_id=org_id, expected_version=1, changed=changes.Changed(name="New")
        )
    row = _row(target, id)
    assert (row["name"], row["config_version"], row["rejections"]) == ("New", 1, 2)
    assert row["next_check_at"] == before["next_check_at"]


def test_an_edit_of_what_changed_meanwhile_is_a_conflict(target: Target, org_id: str) -> None:
    """Of two edits of one version, the second is rejected and writes nothing."""
    id = _add(target, org_id)
    for config, fits in (({"ct": "two"}, True), ({"ct": "three"}, False)):
        if fits:
            with changes.unit_of_work(target) as session:
                changes.update_integration(
                    session, id=id, org_id=org_id, expected_version=1, changed=changes.Changed(config=config)
                )
            continue
        with pytest.raises(ConflictError, match='"Mail" was modified'), changes.unit_of_work(target) as session:
            changes.update_integration(
                session, id=id, org_id=org_id, expected_version=1, changed=changes.Changed(config=config)
            )
    assert _row(target, id)["config"] == {"ct": "two"}


@pytest.mark.parametrize("scheduled", [True, False])
def test_two_edits_at_once_end_in_one_conflict(scheduled: bool, target: Target, org_id: str) -> None:
    """An edit that began during another one is a conflict, also if a portal's row has no schedule to lock."""
    id = _add(target, org_id) if scheduled else _portals_row(target, org_id)
    found: list[object] = []

    def edit() -> None:
        try:
            with changes.unit_of_work(target) as session:
                changes.update_integration(
                    session, id=id, org_id=org_id, expected_version=1, changed=changes.Changed(config={"ct": "second"})
                )
        except IntctlError as error:
            found.append(type(error))

    second = threading.Thread(target=edit)
    with changes.unit_of_work(target) as session:
        changes.update_integration(
            session, id=id, org_id=org_id, expected_version=1, changed=changes.Changed(config={"ct": "first"})
        )
        second.start()
        second.join(0.5)  # it waits for the first edit; without the wait it would read the old version
        assert second.is_alive()
    second.join(30)
    assert found == [ConflictError]
    row = _row(target, id)
    assert (row["config"], row["config_version"]) == ({"ct": "first"}, 2)


def test_a_rename_to_a_name_that_is_taken_is_a_conflict(target: Target, org_id: str) -> None:
    """The message contains the name."""
    _add(target, org_id, "Taken")
    id = _add(target, org_id)
    with pytest.raises(ConflictError, match='"taken"'), changes.unit_of_work(target) as session:
        changes.update_integration(
            session, id=id, org_id=org_id, expected_version=1, changed=changes.Changed(name="taken")
        )


def _portals_row(target: Target, org_id: str, status: str = "active") -> str:
    """A row as a portal inserts it, without a schedule."""
    id = new_id()
    with connect(target) as database:
        database.run(
            "INSERT INTO integrations (id, org_id, type, provider, name, config, status)"
            " VALUES (:id, :org, 'email', 'smtp', 'Portal', :config, :status)",
            {"id": id, "org": org_id, "config": {"plain": True}, "status": status},
        )
    return id


def test_a_portals_row_gets_a_schedule_with_its_first_sealed_config(target: Target, org_id: str) -> None:
    """Enabling and disabling a plain row creates no schedule; a sealed config does, due now."""
    id = _portals_row(target, org_id, "inactive")
    with changes.unit_of_work(target) as session:
        assert changes.set_status(session, id=id, org_id=org_id, status="active")
        assert changes.set_interval(session, id=id, org_id=org_id, minutes=7)
    assert _row(target, id)["integration_id"] is None
    with changes.unit_of_work(target) as session:
        changes.update_integration(
            session, id=id, org_id=org_id, expected_version=1, changed=changes.Changed(config={"ct": "x"})
        )
    row = _row(target, id)
    assert row["integration_id"] == id
    assert -1 < _minutes(row) <= 0


def test_an_inactive_one_is_never_due(target: Target, org_id: str) -> None:
    """A new config does not enable a disabled integration, whatever `due` says."""
    id = _add(target, org_id, status="inactive", due="never")
    with changes.unit_of_work(target) as session:
        changes.update_integration(
            session, id=id, org_id=org_id, expected_version=1, changed=changes.Changed(config={"ct": "x"}, due="now")
        )
    assert _row(target, id)["next_check_at"] is None
    with changes.unit_of_work(target) as session:
        changes.update_integration(
            session, id=id, org_id=org_id, expected_version=2, changed=changes.Changed(status="active", due="now")
        )
    assert _row(target, id)["next_check_at"] is not None


def test_switching_off_and_on(target: Target, org_id: str) -> None:
    """Disabled: never due. Enabled: due now, errors cleared. A repeated call changes nothing."""
    id = _add(target, org_id)
    _set(target, id, "integrations", "status = 'error', error_count = 4, error_message = 'x'")
    _set(target, id, "integration_schedules", "rejections = 3")
    for status in ("inactive", "active"):
        with changes.unit_of_work(target) as session:
            assert changes.set_status(session, id=id, org_id=org_id, status=status)
        before = _row(target, id)
        with changes.unit_of_work(target) as session:
            assert not changes.set_status(session, id=id, org_id=org_id, status=status)
        row = _row(target, id)
        assert {**row, "now_at": 0} == {**before, "now_at": 0}
        assert row["status"] == status
        assert (row["next_check_at"] is None) == (status == "inactive")
    assert (row["error_count"], row["error_message"], row["rejections"]) == (0, None, 0)
    assert -1 < _minutes(row) <= 0


def test_a_deleted_name_is_free_and_comes_back_inactive(target: Target, org_id: str) -> None:
    """Deleting frees the name; restoring requires a free name and enables nothing."""
    id = _add(target, org_id)
    with changes.unit_of_work(target) as session:
        changes.delete_integration(session, id=id, org_id=org_id)
    row = _row(target, id)
    assert (row["status"], row["next_check_at"]) == ("inactive", None)
    assert row["deleted_at"] is not None
    _add(target, org_id, "mail")
    with pytest.raises(ConflictError, match='"Mail"'), changes.unit_of_work(target) as session:
        changes.restore_integration(session, id=id, org_id=org_id)
    with changes.unit_of_work(target) as session:
        changes.restore_integration(session, id=id, org_id=org_id, name="Mail 2")
    row = _row(target, id)
    assert (row["name"], row["status"], row["deleted_at"], row["next_check_at"]) == ("Mail 2", "inactive", None, None)


def test_an_interval_pulls_the_next_check_forward_only(target: Target, org_id: str) -> None:
    """A shorter interval counts from now, a longer one waits for the check that is due; never stays never."""
    id = _add(target, org_id, interval_minutes=30)
    for minutes, low, high in ((10, 9.9, 10), (60, 9.9, 10)):
        with changes.unit_of_work(target) as session:
            assert changes.set_interval(session, id=id, org_id=org_id, minutes=minutes)
        row = _row(target, id)
        assert row["health_check_interval_minutes"] == minutes
        assert low < _minutes(row) <= high
    with changes.unit_of_work(target) as session:
        assert not changes.set_interval(session, id=id, org_id=org_id, minutes=60)
    assert _row(target, id)["updated_at"] == row["updated_at"]
    _set(target, id, "integration_schedules", "next_check_at = NULL")
    with changes.unit_of_work(target) as session:
        changes.update_integration(
            session, id=id, org_id=org_id, expected_version=1, changed=changes.Changed(interval_minutes=1)
        )
    assert _row(target, id)["next_check_at"] is None


def test_a_sync_is_recorded_and_a_failed_one_leaves_the_last(target: Target, org_id: str) -> None:
    """Success sets the time and clears the reason; failure sets the reason and keeps the time."""
    id = _add(target, org_id)
    for at, failed, expected in (
        (MOMENT, None, (MOMENT, None)),
        (None, "API down", (MOMENT, "API down")),
        (MOMENT, None, (MOMENT, None)),
    ):
        with changes.unit_of_work(target) as session:
            changes.record_sync(session, id=id, org_id=org_id, at=at, failed=failed)
        row = _row(target, id)
        assert (row["last_sync"], row["last_sync_error"]) == expected
    with changes.unit_of_work(target) as session:
        changes.record_sync(session, id=id, org_id=org_id, at=None, failed=None)
    row = _row(target, id)
    assert row["now_at"] - row["last_sync"] < timedelta(minutes=1)


def test_somebody_elses_integration_is_not_found(target: Target, org_id: str) -> None:
    """A change of a foreign, deleted or unknown row raises the same NotFoundError and writes nothing."""
    id, deleted = _add(target, org_id), _add(target, org_id, "Gone")
    with changes.unit_of_work(target) as session:
        changes.delete_integration(session, id=deleted, org_id=org_id)
    outcome = Outcome("ok")
    before = _row(target, id), _row(target, deleted)
    for which, org in ((id, STRANGER), (deleted, org_id), (new_id(), org_id)):
        calls: list[Any] = [
            lambda s, k: changes.update_integration(s, **k, expected_version=1, changed=changes.Changed(name="x")),
            lambda s, k: changes.set_status(s, **k, status="inactive"),
            lambda s, k: changes.delete_integration(s, **k),
            lambda s, k: changes.set_interval(s, **k, minutes=9),
            lambda s, k: changes.record_sync(s, **k, at=MOMENT, failed=None),
            lambda s, k: changes.record_outcome(s, **k, check_type="manual", outcome=outcome, agent="a"),
        ]
        if which == id:
            calls.append(lambda s, k: changes.restore_integration(s, **k))
        for call in calls:
            with pytest.raises(NotFoundError, match=which), changes.unit_of_work(target) as session:
                call(session, {"id": which, "org_id": org})
    for old, new in zip(before, (_row(target, id), _row(target, deleted)), strict=True):
        assert {**old, "now_at": 0} == {**new, "now_at": 0}
    with pytest.raises(NotFoundError, match="no deleted integration"), changes.unit_of_work(target) as session:
        changes.restore_integration(session, id=id, org_id=org_id)


# --- outcomes ------------------------------------------------------------------------------------

_SMTP = Outcome(
    "smtp.auth.rejected", "auth", {"dns": 1.4, "auth": 20.3}, {"address": "127.0.0.1"}, "535 from localhost"
)


@pytest.mark.parametrize(
    ("outcome", "was", "status", "count", "log"),
    [
        (Outcome("ok"), "error", "active", 0, "success"),
        (Outcome("http.rate_limited"), "error", "active", 0, "success"),
        (_SMTP, "active", "error", 3, "failure"),
        (Outcome("connect.timeout"), "active", "error", 3, "failure"),
        (Outcome("dns.timeout"), "active", "active", 2, "unknown"),
        (Outcome("dns.timeout"), "error", "error", 2, "unknown"),
        (Outcome("ok"), "inactive", "inactive", 0, "success"),
        (_SMTP, "inactive", "inactive", 3, "failure"),
    ],
    ids=lambda value: value.code if isinstance(value, Outcome) else str(value),
)
def test_an_outcome_settles_the_status(
    outcome: Outcome, was: str, status: str, count: int, log: str, target: Target, org_id: str
) -> None:
    """The design's table: the status and the log of an integration for each verdict."""
    id = _add(target, org_id)
    _set(target, id, "integrations", f"status = '{was}', error_count = 2, error_message = 'before'")
    with changes.unit_of_work(target) as session:
        changes.record_outcome(session, id=id, org_id=org_id, check_type="manual", outcome=outcome, agent="host-1")
    row = _row(target, id)
    message = {"success": None, "failure": outcome.message, "unknown": "before"}[log]
    assert (row["status"], row["error_count"], row["error_message"]) == (status, count, message)
    assert row["now_at"] - row["last_health_check"] < timedelta(minutes=1)
    with connect(target) as database:
        (logged,) = database.rows("SELECT * FROM integration_health_logs")
    assert (logged["integration_id"], logged["check_type"], logged["status"]) == (id, "manual", log)
    assert logged["error_message"] == (None if outcome.code == "ok" else outcome.message)
    assert (logged["response_time_ms"], logged["lease_token"]) == (outcome.response_time_ms, None)
    assert row["now_at"] - logged["checked_at"] < timedelta(minutes=1)


def test_a_log_keeps_the_particulars(target: Target, org_id: str) -> None:
    """The metadata has verdict, code, phase, milliseconds, facts, agent and config_version; and a detail, if any."""
    id = _add(target, org_id)
    with changes.unit_of_work(target) as session:
        for outcome in (_SMTP, Outcome("ok")):
            changes.record_outcome(session, id=id, org_id=org_id, check_type="auto", outcome=outcome, agent="host-1")
    with connect(target) as database:
        first, second = database.rows("SELECT id, metadata FROM integration_health_logs ORDER BY id")
    assert first["metadata"] == {
        "verdict": "misconfigured",
        "code": "smtp.auth.rejected",
        "phase": "auth",
        "phases_ms": {"dns": 1.4, "auth": 20.3},
        "facts": {"address": "127.0.0.1"},
        "agent": "host-1",
        "config_version": 1,
        "detail": "535 from localhost",
    }
    assert "detail" not in second["metadata"]


# --- notes for the history -----------------------------------------------------------------------


def _noted(target: Target, id: str) -> list[tuple[bool, int, int]]:
    with connect(target) as database:
        rows = database.rows(
            "SELECT enabled, interval_minutes, config_version FROM integration_changes WHERE integration_id = :id"
            " ORDER BY changed_at",
            {"id": id},
        )
    return [(bool(row["enabled"]), row["interval_minutes"], row["config_version"]) for row in rows]


def test_each_change_that_matters_to_the_history_is_noted(target: Target, org_id: str) -> None:
    """Creation, interval, config, disable, enable, delete, restore: one row each; other changes add none."""
    id = _add(target, org_id)

    def change(call: Any, **given: Any) -> None:
        with changes.unit_of_work(target) as session:
            call(session, id=id, org_id=org_id, **given)

    expected = [(True, 5, 1)]
    for call, given, now in (
        (changes.set_interval, {"minutes": 10}, (True, 10, 1)),
        (
            changes.update_integration,
            {"expected_version": 1, "changed": changes.Changed(config={"ct": "two"})},
            (True, 10, 2),
        ),
        (changes.update_integration, {"expected_version": 2, "changed": changes.Changed(name="Other")}, None),
        (changes.set_interval, {"minutes": 10}, None),
        (changes.set_status, {"status": "inactive"}, (False, 10, 2)),
        (changes.set_status, {"status": "active"}, (True, 10, 2)),
        (changes.delete_integration, {}, (False, 10, 2)),
        (changes.restore_integration, {}, None),
        (changes.set_status, {"status": "active"}, (True, 10, 2)),
    ):
        change(call, **given)
        expected += [now] if now else []
        # On SQLite's clock two changes may fall on one millisecond: then the last one counts.
        assert _noted(target, id)[-1] == expected[-1]
    assert len(_noted(target, id)) >= len(expected) - 2


def test_what_was_before_the_first_note_is_noted_with_it(target: Target, org_id: str) -> None:
    """A row of an older version counts as enabled from its creation on, at the interval that it had."""
    id = _add(target, org_id, interval_minutes=7)
    _set(target, id, "integrations", "created_at = NULL, updated_at = NULL")
    for made in ("2026-01-02T03:04:05.000000Z", None):
        with connect(target) as database:
            database.run("DELETE FROM integration_changes")
            moment = None if made is None else datetime.fromisoformat(made)
            database.run("UPDATE integrations SET created_at = :at", {"at": moment})
            database.run("UPDATE integrations SET status = 'active'")
        with changes.unit_of_work(target) as session:
            changes.set_status(session, id=id, org_id=org_id, status="inactive")
        assert _noted(target, id)[-1] == (False, 7, 1)
        if made:
            assert _noted(target, id) == [(True, 7, 1), (False, 7, 1)]
            with connect(target) as database:
                first = database.row("SELECT min(changed_at) AS first_at FROM integration_changes")
            assert first == {"first_at": moment}


def test_a_change_that_fails_notes_nothing(target: Target, org_id: str) -> None:
    """The note is in the same transaction as the change."""
    id = _add(target, org_id)
    with pytest.raises(RuntimeError), changes.unit_of_work(target) as session:
        changes.set_status(session, id=id, org_id=org_id, status="inactive")
        raise RuntimeError
    assert _noted(target, id) == [(True, 5, 1)]


def test_maintenance_stays_inside_its_organisation(target: Target, org_id: str) -> None:
    """An organisation can neither plan nor end maintenance of another one."""
    id, window = _add(target, org_id), new_id()
    given: dict[str, Any] = {
        "id": window,
        "starts_at": MOMENT,
        "ends_at": MOMENT + timedelta(hours=1),
        "weekly": False,
        "time_zone": "UTC",
        "reason": None,
    }
    with pytest.raises(NotFoundError), changes.unit_of_work(target) as session:
        organization_changes.add_maintenance(
            session, organization_changes.NewMaintenance(org_id=STRANGER, integration_id=id, **given)
        )
    with pytest.raises(NotFoundError), changes.unit_of_work(target) as session:
        organization_changes.add_maintenance(
            session, organization_changes.NewMaintenance(org_id=STRANGER, integration_id=None, **given)
        )
    with changes.unit_of_work(target) as session:
        organization_changes.add_maintenance(
            session, organization_changes.NewMaintenance(org_id=org_id, integration_id=id, **given)
        )
        for erase in (False, True):
            organization_changes.end_maintenance(session, id=window, org_id=STRANGER, erase=erase)
    with connect(target) as database:
        assert database.row("SELECT id, stopped_at FROM maintenance_windows") == {"id": window, "stopped_at": None}
