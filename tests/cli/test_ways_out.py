"""The ways out: whatever a row or an argument holds, no output has a raw control character or a forged line."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest

from intctl.db.connect import Database, connect
from intctl.db.ids import new_id
from intctl.db.url import SQLITE
from intctl.render.rows import as_csv

from ..conftest import ORG_ID
from .conftest import Intctl, MailHost

#: Control, bidi and zero-width characters, and others that are not shown.
CHARS = [
    chr(number)
    for first, last in (
        (0x00, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x61C, 0x61C), (0x180E, 0x180E), (0x200B, 0x200F), (0x2028, 0x202E),
        (0x2060, 0x2064), (0x2066, 0x206F), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0xE0001, 0xE0001), (0xE0020, 0xE0023),
    )
    for number in range(first, last + 1)
]  # fmt: skip
HIDDEN = {"Cc", "Cf", "Zl", "Zp", "Co", "Cs"}
#: What begins a line of its own, as a message of intctl or a command of a CI runner.
FORGED = (
    "\nintctl: all is well", "\r\n::error::x", "##vso[task.x]y", "\n  ::set-output x", "\u2028::stop", "##teamcity[x]",
)  # fmt: skip
LINES = re.compile(r"(^|\n)(intctl: all is well|\s*::)|##[A-Za-z]*\[")

TEXTS = [f"{place}{''.join(CHARS[place::8])}{FORGED[place % len(FORGED)]}" for place in range(8)]


def is_safe(text: str) -> bool:
    """Whether a terminal, a log and a CI runner show this and do nothing else."""
    return not LINES.search(text) and all(char == "\n" or unicodedata.category(char) not in HIDDEN for char in text)


def insert(database: Database, table: str, **values: object) -> None:
    """Insert a row; a value that is a tuple is an expression of SQL."""
    given = {name: value for name, value in values.items() if not isinstance(value, tuple)}
    places = [value[0] if isinstance(value, tuple) else f":{name}" for name, value in values.items()]
    database.run(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(places)})", given)


def integration(database: Database, text: str, status: str) -> str:
    """Add an integration that has this text in every column of text."""
    id = new_id()
    texts = dict.fromkeys(("type", "provider", "name", "error_message", "last_sync_error"), text)
    insert(
        database, "integrations", id=id, org_id=ORG_ID, config={text: text}, status=status, error_count=3,
        last_sync=NOW, last_health_check=NOW, **texts,
    )  # fmt: skip
    return id


NOW = ("{now}",)


@pytest.fixture
def hostile(intctl: Intctl, email: MailHost) -> list[str]:
    """Rows that hold these texts in every text column; the ids of their integrations."""
    ids = []
    with connect(intctl.target) as database:
        for place, written in enumerate(TEXTS):
            text = written if database.dialect == SQLITE else written.replace("\0", "")
            id = integration(database, text, ("error", "active", text[:20], "inactive")[place % 4])
            words = ("verdict", "code", "phase", "detail", "agent", "was", "became")
            document: dict[str, object] = {
                **dict.fromkeys(words, text),
                "phases_ms": {text: 1.5},
                "facts": {text: text, "x": [text]},
            }
            document["config_version"] = 1
            for check_type, status in ((text[:20], "failure"), ("scheduled", text[:20]), ("manual", "success")):
                insert(
                    database, "integration_health_logs", id=new_id(), integration_id=id, check_type=check_type,
                    status=status, response_time_ms=5, error_message=text, metadata=document, checked_at=NOW,
                )  # fmt: skip
            insert(
                database, "maintenance_windows", id=new_id(), org_id=ORG_ID, integration_id=id,
                starts_at=("{after 3600}",), ends_at=("{after 7200}",), reason=text,
            )  # fmt: skip
            insert(
                database, "agent_passes", id=text, host=text, version=text, started_at=NOW, finished_at=NOW,
                failed_at=NOW, failure=text, metadata={text: text, "checked": text, "locked": [id]},
            )  # fmt: skip
            insert(database, "organizations", id=new_id(), name=text, slug=text)
            ids.append(id)
    return ids


@pytest.mark.case("security 10")
@pytest.mark.case("security 11")
def test_no_row_reaches_a_terminal_raw(intctl: Intctl, hostile: list[str], email: MailHost) -> None:
    """Each command that shows rows, in each format, on both streams: no hidden character and no forged line."""
    intctl.environ["INTCTL_ORG"] = ORG_ID
    lines: list[list[str]] = [["dashboard"], ["check", "--all", "--nagios"], ["agent", "--once"]]
    many = [
        ["list"], ["stats"], ["alerts"], ["logs"], ["logs", "--failures"], ["metrics"], ["metrics", "--target", "99"],
        ["maintenance", "list"], ["org", "list"], ["agent", "status"], ["check", "--all"],
    ]  # fmt: skip
    for id in hostile:
        many += [["show", id], ["logs", id], ["metrics", id], ["troubleshoot", id], ["test", id], ["check", id]]
        lines += [
            ["toggle", id, "--on"], ["toggle", id, "--off"], ["interval", id, "7"], ["synced", id], ["reconnect", id],
            ["edit", id, "--set", "from_name=x"], ["check", id, "--nagios"], ["maintenance", "add", id, "--for", "1h"],
            ["delete", id, "--yes"], ["delete", id], ["restore", id],
        ]  # fmt: skip
    lines = [[*words, "-o", style] for words in many for style in ("table", "json", "yaml", "csv", "name")] + lines
    lines.append(["agent", "--once", "--log-format", "json"])
    for words in lines:
        ran = intctl(*words, code=None)
        assert ran.code not in (70, 130), (words, ran.err)
        assert is_safe(ran.out), (words, ran.out)
        assert is_safe(ran.err), (words, ran.err)


@pytest.mark.case("security 10")
@pytest.mark.parametrize("text", [text.replace("\0", "") for text in TEXTS])
def test_no_argument_is_echoed_raw(intctl: Intctl, text: str, tmp_path: Path) -> None:
    """Errors name what was wrong without its hidden characters, on one line of intctl's own."""
    wrong = tmp_path / "wrong"
    for words in (
        [text], [f"--{text}"], ["list", f"--{text}"], ["list", text], ["list", "-o", text], ["list", "--search", text],
        ["list", "--sort", text], ["list", "--org", text], ["show", text], ["check", text], ["explain", text],
        ["add", text, "-f", "-"], ["apply", "-f", text], ["apply", "-f", str(wrong / text[:20])], ["test", "-f", text],
        ["interval", "x", text], ["logs", "--since", text], ["metrics", "--zone", text], ["providers", "show", text],
        ["providers", "template", text], ["org", "create", text], ["synced", "x", "--at", text], ["delete", text],
        ["--database-url-file", text, "list"], ["agent", "--metrics-file", text, "--every", text], ["restore", text],
        ["agent", "--once", "--ping-url", text], ["agent", "--once", "--on-change", text], ["agent", text],
        ["sandbox", "up", "--fault", text], ["maintenance", "add", text], ["apply", "--allow-env", text, "-f", "-"],
    ):  # fmt: skip
        ran = intctl(*words, code=None)
        assert ran.code not in (70, 130), (words, ran.err)
        assert is_safe(ran.out + ran.err), (words, ran.out, ran.err)


@pytest.mark.case("security 10")
@pytest.mark.parametrize("text", TEXTS)
def test_no_manifest_is_quoted_raw(intctl: Intctl, text: str) -> None:
    """What a file holds is reported without its hidden characters."""
    for place in ("name", "provider", "type", "config"):
        manifest = {"name": "A", "provider": "smtp", "config": {"host": "h"}} | {place: text}
        for written in (manifest, {**manifest, text: 1}, {**manifest, "config": {text: text}}):
            ran = intctl("apply", "-f", "-", stdin=json.dumps(written), code=None)
            assert ran.code not in (0, 70), ran.err
            assert is_safe(ran.out + ran.err), ran.err


# --- CSV


@pytest.mark.case("security 8")
def test_no_cell_is_a_formula(intctl: Intctl) -> None:
    """In each CSV output, a text that begins like a formula is marked as text; a number is not."""
    signs = ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t=", "\r=", "\n@", "\u200b="]
    texts = [
        f"{before}{sign}1+cmd|' /C calc'!A0" for sign in signs for before in ("", "  ", "'", '"', "\u00a0", "\u3000")
    ]
    with connect(intctl.target) as database:
        for text in texts:
            integration(database, text, "error")
    for words in (["list"], ["alerts"], ["metrics"], ["check", "--all"]):
        ran = intctl(*words, "-o", "csv", code=None)
        rows = list(csv.reader(io.StringIO(ran.out)))
        assert len(rows) == len(texts) + 1
        cells = [cell for row in rows[1:] for cell in row if "cmd|" in cell]
        assert len(cells) >= len(texts)
        assert [cell for cell in cells if not cell.startswith(("'", "Run intctl ", "intctl ", "Set the config "))] == []


@pytest.mark.case("security 8")
def test_a_number_is_no_formula() -> None:
    """Numbers stay numbers, as values and as texts; nested values stay JSON."""
    values = [-5, 5.5, "-5", "+4.25", "5", "--5", "-5x", {"a": "=1"}, ["=1"], None, True]
    rows = [SimpleNamespace(name=value) for value in values]
    written = [row[0] if row else "" for row in csv.reader(io.StringIO(as_csv(rows, ("name",))))][1:]
    assert written == ["-5", "5.5", "-5", "+4.25", "5", "'--5", "'-5x", '{"a": "=1"}', '["=1"]', "", "True"]


# --- names


@pytest.mark.case("security 11")
@pytest.mark.parametrize(
    "name",
    ["##vso[task.setvariable variable=PATH]/evil", "::stop-commands::tok", "::error file=x::y", "##teamcity[x]",
     "##[group]x", "a ##[error]b", "::", "x##y"],
)  # fmt: skip
def test_a_name_is_no_command_of_a_ci_runner(intctl: Intctl, email: MailHost, name: str) -> None:
    """Each way to a new name refuses one that a CI runner would run; the error does not begin with it either."""
    manifest = email.manifest(name)
    changed = json.dumps(json.loads(email.manifest("Email")) | {"name": name})
    for words, stdin in (
        (["add", "smtp", "-f", "-"], manifest),
        (["apply", "-f", "-"], manifest),
        (["apply", "--dry-run", "-f", "-"], manifest),
        (["edit", "Email", "-f", "-"], changed),
        (["org", "create", name], ""),
        (["init", "--org-name", name], ""),
    ):
        ran = intctl(*words, stdin=stdin, code=2, MAIL_PASSWORD="x")
        assert "CI runners" in ran.err, words
        assert is_safe(ran.out + ran.err), words
    intctl("delete", "Email", "--yes")
    assert "CI runners" in intctl("restore", "Email", "--as", name, code=2).err


@pytest.mark.case("security 11")
@pytest.mark.parametrize("name", ["A::b", "C# #1", "#1 mail", "Mail: EU", "a # b"])
def test_an_ordinary_name_is_accepted(intctl: Intctl, email: MailHost, name: str) -> None:
    """Colons and number signs inside a name are no commands."""
    intctl("add", "smtp", "-f", "-", "--no-test", stdin=email.manifest(name), MAIL_PASSWORD="x")
    assert f"{name}\n" in intctl("list", "-o", "name").out


@pytest.mark.case("security 11")
def test_a_stored_name_is_shown_as_text(intctl: Intctl) -> None:
    """Existing rows keep their names and work by id; what is shown of them is no command."""
    names = ["##vso[task.x]y", "::error::x", " ::error::x", "##teamcity[x]", "##[group]x"]
    with connect(intctl.target) as database:
        ids = [integration(database, name, "inactive") for name in names]
    for id, name in zip(ids, names, strict=True):
        for words in (["show", id], ["show", name], ["toggle", name, "--on"], ["list"], ["list", "-o", "name"]):
            assert is_safe(intctl(*words).out), words
        (row,) = (row for row in intctl("list", "-o", "json").json if row["id"] == id)
        assert row["name"] == name
