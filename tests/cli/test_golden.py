"""The stable JSON shapes and the text output, compared with files in tests/golden.

What differs from run to run (ids, times, ports, durations) is normalised. To rewrite the files
after an intended change: INTCTL_WRITE_GOLDEN=1 pytest tests/cli/test_golden.py
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from intctl.db.connect import connect
from intctl.db.url import POSTGRESQL

from .conftest import CANARY, Intctl, MailHost

GOLDEN = Path(__file__).parents[1] / "golden"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
#: Keys whose numbers are measured.
_MEASURED = (
    "response_time_ms", "response_time_average_ms", "response_time_p50_ms", "response_time_p95_ms",
    "response_time_p99_ms", "response_time_now_ms", "response_time_usual_p50_ms", "response_time_usual_p95_ms",
    "up_seconds", "down_seconds", "unknown_seconds", "inactive_seconds", "duration_seconds", "coverage_percent",
)  # fmt: skip


@pytest.fixture
def fleet(intctl: Intctl, mail_starttls: MailHost) -> Intctl:
    """Four integrations: healthy, never checked, in error for an hour, disabled; checked 5 min to 2 days ago."""
    for name in ("Email", "Switched off"):
        intctl("add", "smtp", "-f", "-", stdin=mail_starttls.manifest(name), MAIL_PASSWORD=CANARY)
    for name in ("Broken", "Unproven"):
        intctl("add", "smtp", "-f", "-", "--no-test", stdin=mail_starttls.manifest(name), MAIL_PASSWORD="wrong")
    intctl("check", "Broken", code=1)
    intctl("toggle", "Switched off", "--off")
    intctl("synced", "Email")
    with connect(intctl.target) as database:
        for name, minutes in (("Email", 5), ("Broken", 60), ("Switched off", 2880)):
            database.run(
                "UPDATE integrations SET last_health_check = {after :shift}, last_sync = CASE WHEN last_sync IS NULL"
                " THEN NULL ELSE {after :shift} END WHERE name = :name",
                {"shift": -60 * minutes - 2, "name": name},
            )
            database.run(
                "UPDATE integration_health_logs SET checked_at = {after :shift} WHERE integration_id ="
                " (SELECT id FROM integrations WHERE name = :name)",
                {"shift": -60 * minutes - 2, "name": name},
            )
    return intctl


def normalised(value: Any, key: str = "") -> Any:
    """Replace each varying part of `value` by a word for its kind."""
    if isinstance(value, dict):
        return {name: normalised(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [normalised(item) for item in value]
    if key in _MEASURED and isinstance(value, int | float):
        return f"<{type(value).__name__}>"
    if key == "phases_ms":
        return value
    if isinstance(value, float) and key in ("dns", "tcp", "tls", "greet", "auth", "api"):
        return "<ms>"
    if key == "port":
        return "<port>"
    if isinstance(value, str):
        value = _TIME.sub("<time>", _UUID.sub("<id>", value))
        if key == "ca_file":
            return "<path>"
        if key in ("certificate_expires", "certificate_not_after"):
            return "<certificate>"
    if key in ("certificate_days", "certificate_days_left", "certificate_expires_in_days"):
        return "<days>"
    return value


def normalised_text(text: str) -> str:
    """Normalise a text; blanks of the same width keep the columns."""
    text = _TIME.sub("<time>", _UUID.sub("<id>", text))
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "<when             >", text)
    text = re.sub(r"\b\d+(\.\d+)? ms\b", "<n> ms", text)
    text = re.sub(r"(port +)\d+", r"\1<port>", text)
    text = re.sub(r"(ca_file +)\S+", r"\1<path>", text)
    text = re.sub(r"(certificate[a-z_ ]* +)\S.*", r"\1<certificate>", text)
    return re.sub(r"in (\d+ min|\d+ sec)", "in <n> min", text)


def held(name: str, text: str) -> None:
    """Assert that `text` equals the golden file."""
    path = GOLDEN / name
    if os.environ.get("INTCTL_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


def held_json(name: str, out: str) -> None:
    held(f"{name}.json", json.dumps(normalised(json.loads(out)), indent=2, ensure_ascii=False) + "\n")


# --- JSON

READS = {
    "list": ["list"],
    "stats": ["stats"],
    "logs": ["logs"],
    "show": ["show", "Email"],
    "show-error": ["show", "Broken"],
    "alerts": ["alerts"],
    "metrics": ["metrics", "--window", "7d"],
    "org-list": ["org", "list"],
}


def test_reads_keep_their_json(fleet: Intctl) -> None:
    """Keys, their order and types, for every command with rows; equal on both databases."""
    for name, words in READS.items():
        held_json(name, fleet(*words, "-o", "json").out)


def test_outcomes_keep_their_json(fleet: Intctl, mail_starttls: MailHost) -> None:
    """test and check print a list of outcomes, healthy or not, stored or from a file."""
    held_json("check", fleet("check", "Email", "Broken", "-o", "json", code=1).out)
    held_json("test", fleet("test", "Email", "-o", "json").out)
    ran = fleet("test", "-f", "-", "-o", "json", stdin=mail_starttls.manifest("New"), code=1, MAIL_PASSWORD="wrong")
    held_json("test-file", ran.out)
    held_json("reconnect", fleet("reconnect", "Email", "-o", "json").out)


def test_changes_keep_their_json(fleet: Intctl, mail_starttls: MailHost) -> None:
    """add, edit and apply print a list of changes."""
    one = mail_starttls.manifest
    held_json("add", fleet("add", "smtp", "-f", "-", "-o", "json", stdin=one("New"), MAIL_PASSWORD=CANARY).out)
    files = json.dumps({"integrations": [json.loads(one(name)) for name in ("New", "Newer")]})
    files = files.replace("InTime", "In Time", 1)
    held_json("apply", fleet("apply", "-f", "-", "-o", "json", stdin=files, MAIL_PASSWORD=CANARY).out)
    held_json("apply-again", fleet("apply", "-f", "-", "-o", "json", stdin=files, MAIL_PASSWORD=CANARY).out)
    ran = fleet("add", "smtp", "-f", "-", "-o", "json", stdin=one("Wrong"), code=1, MAIL_PASSWORD="wrong")
    held_json("add-failed", ran.out)
    held_json("edit", fleet("edit", "New", "--set", "from_name=Other", "-o", "json").out)


#: The keys that the issue fixes: new keys may be added, none may be renamed.
FIXED = {
    "check": ("integration", "id", "provider", "verdict", "code", "phase", "message", "next_step",
              "response_time_ms", "phases_ms", "facts", "checked_at"),
    "list": ("id", "name", "type", "provider", "status", "verdict", "last_health_check", "last_sync",
             "last_sync_error", "error_message", "error_count", "health_check_interval_minutes"),
    "stats": ("total", "active", "error", "disabled"),
    "logs": ("integration", "checked_at", "check_type", "status", "verdict", "code", "phase",
             "response_time_ms", "error_message"),
}  # fmt: skip
FIXED["test"] = FIXED["check"]


@pytest.mark.parametrize("name", FIXED)
def test_golden_files_have_the_fixed_keys(name: str) -> None:
    """The golden files have the promised keys in the promised order."""
    data = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    for row in data if isinstance(data, list) else [data]:
        assert tuple(row)[: len(FIXED[name])] == FIXED[name]


# --- every other format


def test_yaml_and_csv_say_what_json_says(fleet: Intctl) -> None:
    """Each -o format of each command with rows parses back to the same rows."""
    for words in READS.values():
        rows = fleet(*words, "-o", "json").json
        assert normalised(yaml.safe_load(fleet(*words, "-o", "yaml").out)) == normalised(rows)
        rows = rows if isinstance(rows, list) else [rows]
        parsed = list(csv.DictReader(io.StringIO(fleet(*words, "-o", "csv").out)))
        assert [list(row) for row in parsed] == [list(row) for row in rows]
        for row, told in zip(parsed, rows, strict=True):
            for key, value in told.items():
                if isinstance(value, dict | list):
                    assert normalised(json.loads(row[key]), key) == normalised(value, key), key
                elif key not in ("from", "to", *_MEASURED):  # these values change every moment
                    assert row[key] == ("" if value is None else str(value)), key


def test_outcomes_and_changes_in_every_format(fleet: Intctl, mail_starttls: MailHost) -> None:
    """check, test and apply accept every -o format too."""
    files = mail_starttls.manifest()
    for words in (["check", "Email"], ["test", "Email"], ["apply", "-f", "-"]):
        for style, read in (("yaml", yaml.safe_load), ("csv", lambda text: list(csv.DictReader(io.StringIO(text))))):
            (row,) = read(fleet(*words, "-o", style, stdin=files, MAIL_PASSWORD=CANARY).out)
            assert (row.get("integration") or row["name"]) == "Email"
        assert fleet(*words, "-o", "name", stdin=files, MAIL_PASSWORD=CANARY).out == "Email\n"


def test_names_are_bare_lines(fleet: Intctl) -> None:
    """-o name prints one name per line, for shell loops."""
    assert fleet("list", "-o", "name").out == "Broken\nEmail\nSwitched off\nUnproven\n"
    assert fleet("alerts", "-o", "name").out == "Broken\n"
    assert fleet("show", "Email", "-o", "name").out == "Email\n"
    assert fleet("logs", "Broken", "-o", "name").out == "Broken\n"
    assert fleet("metrics", "Email", "-o", "name").out == "Email\n"
    assert fleet("org", "list", "-o", "name").out == "Acme\n"
    assert "no names" in fleet("stats", "-o", "name", code=2).err


def test_empty_is_empty_in_every_format(intctl: Intctl) -> None:
    """Without rows: JSON and YAML are an empty list, CSV has a heading, names are empty, a table has a message."""
    for words in (["list"], ["alerts"], ["logs"], ["metrics"], ["check", "--all"]):
        assert intctl(*words, "-o", "json").json == []
        assert yaml.safe_load(intctl(*words, "-o", "yaml").out) == []
        assert intctl(*words, "-o", "csv").out.count("\n") == 1
        assert intctl(*words, "-o", "name").out == ""
        ran = intctl(*words)
        assert len((ran.out + ran.err).splitlines()) == 1
    assert intctl("stats", "-o", "json").json == {"total": 0, "active": 0, "error": 0, "disabled": 0}


# --- text output

TEXTS = {**READS, "dashboard": ["dashboard"], "list-errors": ["list", "--status", "error"]}


def test_tables_keep_their_look(fleet: Intctl) -> None:
    """The text of the tables, the alerts, the page of one integration and the dashboard."""
    for name, words in TEXTS.items():
        text = normalised_text(fleet(*words).out)
        if name in ("logs", "metrics"):  # measured numbers determine the column widths here
            text = re.sub(r"(healthy|rejected)( +)\d+", r"\1\2<n>", text.replace(" ok ", " healthy "))
            text = re.sub(r"  +", "  ", re.sub(r"---+", "---", text))
        held(f"{name}.txt", text)


def test_both_databases_agree(fleet: Intctl) -> None:
    """The output does not depend on the database: both share the golden files."""
    with connect(fleet.target) as database:
        assert (database.dialect == POSTGRESQL) == fleet.environ["INTCTL_DATABASE_URL"].startswith("postgresql")
    held_json("list", fleet("list", "-o", "json").out)
