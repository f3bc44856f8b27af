"""A value that another program wrote into one row, nested too deeply to be decoded, affects only that row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intctl import keyring, vault
from intctl.db.connect import connect
from intctl.db.url import POSTGRESQL, SQLITE
from intctl.errors import SealError
from intctl.store import changes
from intctl.text import stored_json

from ..agent_rig import Fleet, Host
from ..conftest import ORG_ID
from .conftest import Intctl

DEEP = 1500
#: Values that end a decoder, or whatever walks them, with a RecursionError.
NESTED = {
    "lists": "[" * DEEP + "]" * DEEP,
    "objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "below the decoder's limit": "[" * 500 + "]" * 500,
    "facts": f'{{"code": "ok", "verdict": "healthy", "facts": {"[" * 700}{"]" * 700}}}',
}
COMMANDS = [
    "agent --once", "check --all", "check Good", "check Odd", "list", "list -o json", "alerts", "dashboard", "stats",
    "logs", "logs -o json", "show Odd", "show Good", "metrics", "metrics Odd", "troubleshoot Odd", "agent status",
    "agent status -o json", "toggle Odd --off", "toggle Odd --on", "edit Good --set expect_status=201 --no-test",
]  # fmt: skip
COLUMNS = {
    "config": "UPDATE integrations SET config = {value} WHERE name = 'Odd'",
    "metadata": "UPDATE integration_health_logs SET metadata = {value}"
    " WHERE integration_id = (SELECT id FROM integrations WHERE name = 'Odd')",
    "pass": "UPDATE agent_passes SET metadata = {value}",
}


@pytest.fixture
def ids(intctl: Intctl, provider: Host) -> dict[str, str]:
    """Two integrations, checked once."""
    fleet = Fleet(intctl.target, intctl.home / "other")
    fleet.keyring = keyring.load({}, intctl.home)
    found = fleet.add({name: f"{provider.url}/{name}" for name in ("Odd", "Good")})
    intctl("agent", "--once")
    return found


@pytest.mark.case("security 4")
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("value", NESTED)
def test_a_nested_value_affects_only_its_row(
    intctl: Intctl, provider: Host, ids: dict[str, str], column: str, value: str
) -> None:
    """Every command works, and the other integration is checked in each pass."""
    text = f"CAST('{NESTED[value]}' AS jsonb)" if intctl.target.dialect == POSTGRESQL else f"'{NESTED[value]}'"
    with connect(intctl.target) as database:
        # A parameter's text may hold ":" or "%": the statement goes to the driver as it is.
        database._connection.execute(COLUMNS[column].format(value=text))
        database.run("UPDATE integration_schedules SET next_check_at = {now}")
    before = provider.hits["/Good"]
    for line in COMMANDS:
        ran = intctl(*line.split(), code=None)
        assert ran.code != 70, (line, ran.err)
    assert provider.hits["/Good"] >= before + 3
    manifest = {"name": "New", "provider": "http", "config": {"url": f"{provider.url}/New"}}
    intctl("apply", "-f", "-", stdin=json.dumps(manifest))
    if column == "config":
        found = {row["integration"]: row["code"] for row in intctl("check", "--all", "-o", "json", code=None).json}
        assert found["Odd"] == "self.config_foreign"
    assert ids


@pytest.mark.case("security 4")
@pytest.mark.parametrize("value", ["infinity", "-infinity", "0044-03-15 12:00+00 BC", "294000-01-01 00:00+00"])
def test_a_time_that_python_has_not_affects_only_its_row(
    intctl: Intctl, provider: Host, ids: dict[str, str], value: str
) -> None:
    """SQLite's times are text, PostgreSQL's may be infinite: both are read as a time of long ago."""
    with connect(intctl.target) as database:
        for statement in (
            "UPDATE integrations SET last_health_check = :at, last_sync = :at, updated_at = :at WHERE name = 'Odd'",
            "UPDATE integration_health_logs SET checked_at = :at WHERE integration_id = :id",
            "UPDATE integration_schedules SET next_check_at = {now}",
            "UPDATE integration_schedules SET next_check_at = :at WHERE integration_id = :id",
        ):
            cast = "CAST(:at AS timestamptz)" if intctl.target.dialect == POSTGRESQL else ":at"
            database.run(statement.replace(":at", cast), {"at": value, "id": ids["Odd"]})
    before = provider.hits["/Good"]
    for line in COMMANDS:
        ran = intctl(*line.split(), code=None)
        assert ran.code != 70, (line, ran.err)
    assert provider.hits["/Good"] >= before + 3
    assert provider.hits["/Odd"] >= 2


@pytest.mark.case("security 4")
def test_a_nested_sealed_value_does_not_open(tmp_path: Path) -> None:
    """Who has the key could seal such a value; it counts as damaged."""
    ring = keyring.Keyring([keyring.new_key()], "the test")
    binding = vault.binding(ORG_ID, changes.new_id(), "http")
    value: object = 1
    for _ in range(900):
        value = [value]
    envelope = ring.seal({"a": value}, binding)
    with pytest.raises(SealError) as caught:
        ring.open(envelope, binding, "X")
    assert caught.value.code == "self.config_damaged"


@pytest.mark.case("security 4")
def test_what_is_nested_is_counted_outside_strings() -> None:
    """Brackets in texts do not count, and neither do many that are side by side."""
    wide = json.dumps([[{"a": "[" * 200}]] * 500)
    assert stored_json(wide) == json.loads(wide)
    assert stored_json(b'{"a": "\\"[{"}') == {"a": '"[{'}
    assert stored_json("[" * 100 + "]" * 100)
    for text in ("[" * 101 + "]" * 101, '["' + '\\"' * 3 + '",' + "[" * 101, "{", b"\xff"):
        with pytest.raises(ValueError, match=r"nested|Expecting|decode"):
            stored_json(text)


@pytest.mark.case("security 23")
def test_an_old_secret_leaves_the_file(intctl: Intctl, provider: Host, ids: dict[str, str]) -> None:
    """After an edit the ciphertext from before is in no page of an SQLite file, nor in its log."""
    if intctl.target.dialect != SQLITE:
        with connect(intctl.target) as database:  # PostgreSQL's pages are its administrator's
            assert database.rows("SELECT 1 AS n") == [{"n": 1}]
        return
    with connect(intctl.target) as database:
        assert database.rows("PRAGMA secure_delete") == [{"secure_delete": 1}]
        (row,) = database.rows("SELECT config FROM integrations WHERE name = 'Odd'")
    old = row["config"]["ct"].encode()
    database_file = intctl.target.path
    intctl("edit", "Odd", "--set", f"url={provider.url}/Another", "--no-test")
    with connect(intctl.target) as database:
        database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    for path in database_file.parent.iterdir():
        assert old not in path.read_bytes(), path
    assert ids
