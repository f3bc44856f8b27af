"""The commands add, edit and apply: valid and invalid input, and idempotence."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from intctl.db.connect import connect
from intctl.store import configs

from ..conftest import ORG_ID
from .conftest import CANARY, Intctl, MailHost


def snapshot(intctl: Intctl) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables that a change could modify."""
    tables = ("integrations", "integration_schedules", "integration_health_logs", "oauth_tokens", "organizations")
    with connect(intctl.target) as database:
        return {table: database.rows(f"SELECT * FROM {table} ORDER BY 1") for table in tables}


def several(*manifests: str) -> str:
    return json.dumps({"integrations": [json.loads(text) for text in manifests]})


# --- add


@pytest.mark.parametrize("kind", ["smtp", "email", "sendgrid"])
def test_add_takes_provider_type_or_way_of_speaking(intctl: Intctl, mail_starttls: MailHost, kind: str) -> None:
    """KIND may be the provider, its type, or smtp for any provider that uses it."""
    intctl("add", kind, "-f", "-", stdin=mail_starttls.manifest(), MAIL_PASSWORD=CANARY)


@pytest.mark.parametrize("kind", ["oauth", "twilio", "sms", "calendar"])
def test_add_refuses_a_file_of_another_kind(intctl: Intctl, mail_starttls: MailHost, kind: str) -> None:
    """KIND must match the file; otherwise nothing is tested or saved."""
    ran = intctl("add", kind, "-f", "-", stdin=mail_starttls.manifest(), code=2, MAIL_PASSWORD=CANARY)
    assert f"does not match the kind {kind}" in ran.err
    assert mail_starttls.server.logins == []


def test_add_of_an_existing_name_is_a_conflict(intctl: Intctl, email: MailHost) -> None:
    """A used name exits 4 without a login; case does not matter."""
    logins = len(email.server.logins)
    ran = intctl("add", "smtp", "-f", "-", stdin=email.manifest("EMAIL"), code=4, MAIL_PASSWORD=CANARY)
    assert "already" in ran.err
    assert len(email.server.logins) == logins


def test_add_without_a_test_says_so_and_is_never_green(intctl: Intctl, mail_starttls: MailHost) -> None:
    """--no-test saves and reports the skipped test; the integration is unchecked and due now."""
    ran = intctl("add", "smtp", "-f", "-", "--no-test", stdin=mail_starttls.manifest(), MAIL_PASSWORD=CANARY)
    assert "Not tested" in ran.err and "not tested" in ran.out
    (row,) = intctl("list", "-o", "json").json
    assert (row["status"], row["verdict"], row["last_health_check"]) == ("active", "unknown", None)
    assert "Unchecked" in intctl("list").out
    assert intctl("agent", "--once").out == "checked 1: 1 healthy\n"


def test_add_reads_references_and_refuses_literals(intctl: Intctl, mail_starttls: MailHost, tmp_path: Path) -> None:
    """A secret comes from a variable or a file; in plaintext it is rejected, or allowed with a warning."""
    secret = tmp_path / "password"
    secret.write_text(CANARY + "\n")
    secret.chmod(0o600)
    by_file = mail_starttls.manifest("By file", password={"file": str(secret)})
    intctl("add", "smtp", "-f", "-", stdin=by_file)
    inline = mail_starttls.manifest("Inline", password=CANARY)
    assert "use {env: NAME} or {file: PATH}" in intctl("add", "smtp", "-f", "-", stdin=inline, code=2).err
    ran = intctl("add", "smtp", "-f", "-", "--allow-inline-secrets", stdin=inline)
    assert "warning" in ran.err
    missing = intctl("add", "smtp", "-f", "-", stdin=mail_starttls.manifest("Unset"), code=2)
    assert "MAIL_PASSWORD" in missing.err
    own = mail_starttls.manifest("Own key", password={"file": str(intctl.home / "keyring.json")})
    intctl("add", "smtp", "-f", "-", stdin=own, code=2)


def test_add_shows_every_problem_with_its_position(intctl: Intctl, tmp_path: Path) -> None:
    """All problems are reported at once, as file:line:column."""
    path = tmp_path / "smtp.yaml"
    path.write_text(
        "name: Email\nprovider: smtp\nconfig:\n  host: no\n  port: 017\n  passwrod: {env: A}\n"
        "  from_name: 12:30:45\nhealth_check_interval_minutes: 61\n"
    )
    ran = intctl("add", "smtp", "-f", str(path), code=2)
    for place in (":4:9:", ":5:9:", ":6:3:", ":7:14:", ":8:32:"):
        assert f"{path}{place}" in ran.err
    assert 'did you mean "password"?' in ran.err


def test_degraded_saves_with_a_warning(intctl: Intctl, tmp_path: Path) -> None:
    """A degraded integration is saved with a warning on standard error and exit code 0."""
    from ..servers import authority, in_days, smtp_server

    with authority() as soon:
        context = soon.server_context(not_after=in_days(5))
        with smtp_server(soon, "starttls", users={"apikey": CANARY}, context=context) as server:
            manifest = MailHost(server, soon, "starttls").manifest()
            ran = intctl("add", "smtp", "-f", "-", stdin=manifest, MAIL_PASSWORD=CANARY)
            assert "degraded" in ran.out and "expires soon" in ran.err
            ran = intctl("check", "Email", "--nagios", code=1)
            assert ran.out.startswith("INTCTL WARNING - Email degraded (tls.expires_soon): It works, but ")


# --- apply


def test_apply_twice_changes_nothing(intctl: Intctl, mail_starttls: MailHost) -> None:
    """The second run reports 0 changed, logs in nowhere and modifies no row."""
    files = several(mail_starttls.manifest("One"), mail_starttls.manifest("Two"))
    first = intctl("apply", "-f", "-", stdin=files, MAIL_PASSWORD=CANARY)
    assert "2 changed (2 created, 0 updated), 0 unchanged" in first.out
    before, logins = snapshot(intctl), len(mail_starttls.server.logins)
    second = intctl("apply", "-f", "-", stdin=files, MAIL_PASSWORD=CANARY)
    assert "0 changed (0 created, 0 updated), 2 unchanged" in second.out
    assert snapshot(intctl) == before
    assert len(mail_starttls.server.logins) == logins


def test_apply_is_all_or_nothing(intctl: Intctl, email: MailHost) -> None:
    """One failed test prevents all saves; --keep-going saves the others; both exit 1."""
    files = several(
        email.manifest("Email", max_emails_per_hour=7),
        email.manifest("New"),
        email.manifest("Bad", password={"env": "WRONG"}),
    )
    before = snapshot(intctl)
    ran = intctl("apply", "-f", "-", "-o", "json", stdin=files, code=1, MAIL_PASSWORD=CANARY, WRONG="wrong")
    assert {row["name"]: row["action"] for row in ran.json} == {
        "Email": "not saved",
        "New": "not saved",
        "Bad": "failed",
    }
    assert snapshot(intctl) == before
    ran = intctl(
        "apply", "-f", "-", "--keep-going", "-o", "json", stdin=files, code=1, MAIL_PASSWORD=CANARY, WRONG="wrong"
    )
    assert {row["name"]: row["action"] for row in ran.json} == {"Email": "updated", "New": "created", "Bad": "failed"}
    assert sorted(row["name"] for row in intctl("list", "-o", "json").json) == ["Email", "New"]


def test_apply_leaves_what_the_file_does_not_name(intctl: Intctl, email: MailHost) -> None:
    """Integrations that are in no file do not change."""
    intctl("apply", "-f", "-", stdin=email.manifest("Other"), MAIL_PASSWORD=CANARY)
    assert sorted(intctl("list", "-o", "name").out.split()) == ["Email", "Other"]


@pytest.mark.case("F19")
def test_hidden_files_of_a_folder_are_no_manifests(intctl: Intctl, mail_starttls: MailHost, tmp_path: Path) -> None:
    """Locks and copies that editors and archives leave are skipped; an ending in capitals counts."""
    (tmp_path / "a.YAML").write_text(mail_starttls.manifest("A"))
    (tmp_path / "b.Yml").write_text(mail_starttls.manifest("B"))
    (tmp_path / ".#a.yaml").symlink_to("user@host.1:2")
    (tmp_path / "._a.yaml").write_bytes(b"\0\5\26\7")
    (tmp_path / ".old.yaml").write_text(mail_starttls.manifest("A"))
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.yaml").write_text("no manifest")
    ran = intctl("apply", "--dry-run", "-o", "json", str(tmp_path), MAIL_PASSWORD=CANARY)
    assert [row["name"] for row in ran.json] == ["A", "B"]
    assert ran.err == ""


@pytest.mark.case("F19")
def test_a_subfolder_with_manifests_is_named(intctl: Intctl, mail_starttls: MailHost, tmp_path: Path) -> None:
    """Subfolders are not read: a warning gives the options that add them, or an error if there is no other file."""
    for place in ("eu/west", "keys", "empty"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "eu" / "west" / "b.yaml").write_text(mail_starttls.manifest("B"))
    (tmp_path / "keys" / "account.json").write_text("{}")
    alone = intctl("apply", "--dry-run", str(tmp_path), code=2, MAIL_PASSWORD=CANARY)
    assert f"its subfolders are not read. Name them: -f {tmp_path}/eu\n" in alone.err
    (tmp_path / "a.yaml").write_text(mail_starttls.manifest("A"))
    ran = intctl("apply", "--dry-run", "-o", "json", str(tmp_path), MAIL_PASSWORD=CANARY)
    assert [row["name"] for row in ran.json] == ["A"]
    assert ran.err.endswith(f"its subfolders are not read. To read them too, add: -f {tmp_path}/eu\n")


@pytest.mark.case("F19")
def test_a_dangling_link_among_manifests_is_named(intctl: Intctl, mail_starttls: MailHost, tmp_path: Path) -> None:
    """A link that is not hidden is meant as a manifest, so a missing target is an error."""
    (tmp_path / "a.yaml").write_text(mail_starttls.manifest("A"))
    (tmp_path / "b.yaml").symlink_to("gone.yaml")
    ran = intctl("apply", "--dry-run", str(tmp_path), code=2, MAIL_PASSWORD=CANARY)
    assert ran.err == f"{tmp_path}/b.yaml: its link leads to no file\n"


def test_apply_takes_folders_and_files_and_refuses_a_name_twice(
    intctl: Intctl, mail_starttls: MailHost, tmp_path: Path
) -> None:
    """A folder means the YAML files in it; a name in two files is rejected with both places."""
    folder = tmp_path / "integrations"
    folder.mkdir()
    (folder / "a.yaml").write_text(mail_starttls.manifest("A"))
    (folder / "b.yml").write_text(mail_starttls.manifest("B"))
    (folder / "notes.txt").write_text("not yaml")
    intctl("apply", str(folder), MAIL_PASSWORD=CANARY)
    assert intctl("list", "-o", "name").out == "A\nB\n"
    (folder / "c.yaml").write_text(mail_starttls.manifest("a"))
    assert "c.yaml" in intctl("apply", "-f", str(folder), code=2, MAIL_PASSWORD=CANARY).err


def test_apply_says_what_it_would_do(intctl: Intctl, email: MailHost) -> None:
    """A dry run names the changes and makes none."""
    before, logins = snapshot(intctl), len(email.server.logins)
    files = several(email.manifest("Email", from_name="Other"), email.manifest("New"))
    ran = intctl("apply", "-f", "-", "--dry-run", stdin=files, MAIL_PASSWORD=CANARY)
    assert "would be updated" in ran.out and "config.from_name" in ran.out and "would be created" in ran.out
    assert (snapshot(intctl), len(email.server.logins)) == (before, logins)


def test_absent_keys_keep_what_is_stored(intctl: Intctl, email: MailHost) -> None:
    """A manifest without interval, enabled or config does not change them."""
    intctl("interval", "Email", "17")
    intctl("apply", "-f", "-", stdin=email.manifest(from_name="Other"), MAIL_PASSWORD=CANARY)
    (row,) = intctl("list", "-o", "json").json
    assert row["health_check_interval_minutes"] == 17
    bare = json.dumps({"name": "Email", "provider": "sendgrid", "health_check_interval_minutes": 20})
    assert intctl("apply", "-f", "-", stdin=bare).out.startswith("Updated Email")
    (row,) = intctl("list", "-o", "json").json
    assert row["health_check_interval_minutes"] == 20
    assert intctl("show", "Email", "-o", "json").json["config"]["from_name"] == "Other"


def test_apply_never_enables_what_was_toggled_off(intctl: Intctl, email: MailHost) -> None:
    """Disabled stays disabled, also when its config changes, unless the file says enabled: true."""
    intctl("toggle", "Email", "--off")
    intctl("apply", "-f", "-", stdin=email.manifest(from_name="Other"), MAIL_PASSWORD=CANARY)
    assert intctl("list", "-o", "json").json[0]["status"] == "inactive"
    enabled = json.dumps({**json.loads(email.manifest(from_name="Other")), "enabled": True})
    intctl("apply", "-f", "-", stdin=enabled, MAIL_PASSWORD=CANARY)
    assert intctl("list", "-o", "json").json[0]["status"] == "active"
    disabled = json.dumps({**json.loads(email.manifest(from_name="Other")), "enabled": False})
    intctl("apply", "-f", "-", stdin=disabled, MAIL_PASSWORD=CANARY)
    assert intctl("list", "-o", "json").json[0]["status"] == "inactive"


def test_another_provider_under_the_name_is_a_conflict(intctl: Intctl, email: MailHost) -> None:
    """apply cannot change the provider of an integration."""
    other = json.dumps({**json.loads(email.manifest()), "provider": "smtp"})
    assert "provider" in intctl("apply", "-f", "-", stdin=other, code=4, MAIL_PASSWORD=CANARY).err


# --- edit


def test_a_changed_destination_asks_for_its_secret_again(intctl: Intctl, email: MailHost, ca: Any) -> None:
    """The old secret is never sent to a new host: the user must enter it again."""
    from ..servers import smtp_server

    with smtp_server(ca, "starttls", users={"apikey": "for-the-new-host"}) as other:
        before = snapshot(intctl)
        move = ("edit", "Email", "--set", "host=localhost", "--set", f"port={other.port}")
        ran = intctl(*move, code=2)
        assert "--secret password" in ran.err
        assert other.logins == [] and snapshot(intctl) == before
        intctl(*move, "--secret", "password", stdin="for-the-new-host\n")
        assert [login[2] for login in other.logins] == ["for-the-new-host"]


def test_edit_from_a_file_replaces_the_config_whole(intctl: Intctl, email: MailHost) -> None:
    """Keys missing from the file are removed; !keep is rejected if the destination changed."""
    intctl("edit", "Email", "-f", "-", stdin=email.manifest(from_name=None), MAIL_PASSWORD=CANARY)
    assert "from_name" not in intctl("show", "Email", "-o", "json").json["config"]
    manifest = email.manifest("Renamed", password="KEEP").replace('"KEEP"', "!keep ")
    intctl("edit", "Email", "-f", "-", stdin=manifest)
    assert intctl("list", "-o", "name").out == "Renamed\n"
    moved = email.manifest("Renamed", password="KEEP", host="localhost").replace('"KEEP"', "!keep ")
    assert "requires re-entering the secret" in intctl("edit", "Renamed", "-f", "-", stdin=moved, code=2).err


def test_edit_refuses_a_mask_saved_back(intctl: Intctl, email: MailHost) -> None:
    """The masked output of `show` is not accepted as a secret."""
    manifest = email.manifest(password="********")
    ran = intctl("edit", "Email", "-f", "-", "--allow-inline-secrets", stdin=manifest, code=2)
    assert "masked form" in ran.err


def test_edit_knows_its_fields(intctl: Intctl, email: MailHost) -> None:
    """--set rejects secrets, unknown fields get a suggestion, --secret accepts only secrets."""
    assert "--secret password" in intctl("edit", "Email", "--set", "password=x", code=2).err
    assert 'did you mean "from_name"?' in intctl("edit", "Email", "--set", "from_nmae=x", code=2).err
    assert "not a secret field" in intctl("edit", "Email", "--secret", "host", stdin="x\n", code=2).err
    assert "standard input" in intctl("edit", "Email", "--secret", "password", code=2).err
    assert "no terminal" in intctl("edit", "Email", code=2).err


def test_nothing_to_edit_is_said(intctl: Intctl, email: MailHost) -> None:
    """An edit without changes modifies no row."""
    before = snapshot(intctl)
    assert intctl("edit", "Email", "--set", "from_name=InTime Staffing").out.startswith("Unchanged: Email")
    assert snapshot(intctl) == before


def test_the_editor_is_given_no_secret(intctl: Intctl, email: MailHost, tmp_path: Path) -> None:
    """$EDITOR gets the manifest with !keep, and an environment without possible secrets."""
    seen = tmp_path / "seen"
    editor = tmp_path / "editor"
    editor.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        f"path = sys.argv[1]\ntext = open(path).read()\n"
        f"open({str(seen)!r}, 'w').write(text + repr(dict(os.environ)) + oct(os.stat(os.path.dirname(path)).st_mode))\n"
        "open(path, 'w').write(text.replace('InTime Staffing', 'Edited'))\n"
    )
    editor.chmod(0o700)
    ran = on_a_terminal(intctl, "edit", "Email", environ={"EDITOR": str(editor), "MAIL_PASSWORD": CANARY})
    assert ran.returncode == 0, ran.stdout
    text = seen.read_text()
    assert "!keep" in text and CANARY not in text and "MAIL_PASSWORD" not in text and "INTCTL" not in text
    assert text.endswith("0o40700")
    assert intctl("show", "Email", "-o", "json").json["config"]["from_name"] == "Edited"


def on_a_terminal(intctl: Intctl, *words: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run intctl with a pseudo-terminal as its three streams."""
    script = (
        "import os, pty, sys\n"
        "code = pty.spawn([sys.executable, '-m', 'intctl', *sys.argv[1:]])\n"
        "sys.exit(os.waitstatus_to_exitcode(code))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**intctl.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# --- what is stored


def test_rows_hold_envelopes_and_open_only_where_they_belong(intctl: Intctl, email: MailHost) -> None:
    """A config copied to another row is rejected as damaged and affects no other row."""
    intctl("add", "smtp", "-f", "-", stdin=email.manifest("Second"), MAIL_PASSWORD=CANARY)
    with connect(intctl.target) as database:
        rows = configs.sealed(database, ORG_ID)
        database.run(
            "UPDATE integrations SET config = :config WHERE id = :id", {"config": rows[0].config, "id": rows[1].id}
        )
    (outcome,) = intctl("check", "Second", "-o", "json", code=1).json
    assert (outcome["verdict"], outcome["code"]) == ("unknown", "self.config_damaged")
    shown = intctl("show", "Second", "-o", "json").json
    assert shown["config"] is None and "integrity check" in shown["config_problem"]
    assert shown["status"] == "active"
    intctl("list")
    intctl("check", "Email")
    intctl("toggle", "Second", "--off")
    intctl("edit", "Second", "-f", "-", stdin=email.manifest("Second"), MAIL_PASSWORD=CANARY)
    intctl("delete", "Second", "--yes")


def test_a_missing_key_is_our_fault(intctl: Intctl, email: MailHost) -> None:
    """With another keyring nothing is down: the message names the key, the status stays, and exit is that of keys."""
    from intctl import keyring

    path = intctl.home / "keyring.json"
    path.unlink()
    assert "No encryption key" in intctl("check", "Email", code=6).err
    keyring.write_file(path, [keyring.new_key()])
    (outcome,) = intctl("check", "Email", "-o", "json", code=1).json
    assert (outcome["verdict"], outcome["code"]) == ("unknown", "self.key_missing")
    assert intctl("list", "-o", "json").json[0]["status"] == "active"


def test_files_are_private(tmp_path: Path) -> None:
    """Whatever the umask, the folder is 0700 and the files are 0600."""
    home = tmp_path / "new"
    script = "import os; os.umask(0); import sys; sys.argv = ['intctl', 'init']; from intctl.cli import main; main()"
    subprocess.run(
        [sys.executable, "-c", script], env={"INTCTL_HOME": str(home), "PATH": os.environ["PATH"]}, check=True
    )
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()} == dict.fromkeys(
        [path.name for path in home.iterdir()], 0o600
    )


# --- a failing integration


@pytest.mark.case("terminal M24")
@pytest.mark.parametrize("enabled", [None, True])
@pytest.mark.parametrize("command", ["edit --set", "edit -f", "apply"])
def test_an_untested_change_does_not_end_an_alert(
    intctl: Intctl, email: MailHost, command: str, enabled: bool | None
) -> None:
    """After an untested change, a failing integration stays in error and is due now; a healthy check ends the alert."""
    email.server.users["apikey"] = "another"
    intctl("check", "Email", code=1)
    before = intctl("show", "Email", "-o", "json").json
    manifest = json.loads(email.manifest(from_name="X"))
    if enabled is not None:
        manifest["enabled"] = enabled
    words = {
        "edit --set": ("edit", "Email", "--set", "from_name=X"),
        "edit -f": ("edit", "Email", "-f", "-"),
        "apply": ("apply", "-f", "-"),
    }[command]
    intctl(*words, "--no-test", stdin=json.dumps(manifest), MAIL_PASSWORD=CANARY)
    assert intctl("alerts", "-o", "name").out == "Email\n"
    intctl("alerts", "--exit-code", code=1)
    after = intctl("show", "Email", "-o", "json").json
    assert (after["status"], after["error_message"]) == ("error", before["error_message"])
    email.server.users["apikey"] = CANARY
    assert intctl("agent", "--once").out.startswith("checked 1")
    assert intctl("alerts", "-o", "name").out == ""


@pytest.mark.case("terminal M24")
def test_a_tested_change_ends_an_alert(intctl: Intctl, email: MailHost) -> None:
    """The test of an edit is proof enough; and an untested change that disables the integration does disable it."""
    email.server.users["apikey"] = "another"
    intctl("check", "Email", code=1)
    manifest = json.loads(email.manifest(from_name="X")) | {"enabled": False}
    intctl("edit", "Email", "-f", "-", "--no-test", stdin=json.dumps(manifest), MAIL_PASSWORD=CANARY)
    assert intctl("show", "Email", "-o", "json").json["status"] == "inactive"
    intctl("toggle", "Email", "--on")
    intctl("check", "Email", code=1)
    email.server.users["apikey"] = CANARY
    intctl("edit", "Email", "--set", "from_name=Y")
    assert intctl("alerts", "-o", "name").out == ""
