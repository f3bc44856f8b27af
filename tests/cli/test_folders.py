"""The folders of a process: no home folder, a deleted current folder, and the data folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from intctl import keyring

from .conftest import CANARY, Intctl, MailHost

#: Has no entry in the user database.
_NO_USER = 54321
#: Becomes that user after the imports, because it may not be allowed to read the interpreter's own files.
_AS_USER = f"""
import difflib, encodings.idna, importlib, os, pkgutil, resource, shutil, socket, statistics, sys, tempfile
import intctl
for module in pkgutil.walk_packages(intctl.__path__, "intctl."):
    if not module.name.startswith(("intctl.__main__", "intctl.schema.migrations.")):
        importlib.import_module(module.name)
import psycopg, tabulate, yaml, platformdirs.unix, sqlalchemy.dialects.sqlite.pysqlite
import sqlalchemy.dialects.postgresql.psycopg
os.setgroups([]); os.setgid({_NO_USER}); os.setuid({_NO_USER})
from intctl.cli import main
main()
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user requires root")


def as_user(*words: str, stdin: str = "", **environ: str) -> tuple[int, str]:
    """Run intctl as a user without HOME and without a name; return its exit code and all its output."""
    ran = subprocess.run(
        [sys.executable, "-c", _AS_USER, *words],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), **environ},
        cwd="/",
        input=stdin,
        capture_output=True,
        text=True,
    )
    return ran.returncode, ran.stdout + ran.stderr


@needs_root
@pytest.mark.case("F13")
@pytest.mark.parametrize("line", ["list", "init", "agent --once", "check --all", "apply -f -", "edit X", "dashboard"])
def test_without_a_home_folder_the_error_says_what_to_set(line: str) -> None:
    """A user without HOME and without an entry in the user database, as containers have."""
    code, said = as_user(*line.split(), stdin="name: X\nprovider: tcp\n")
    assert (code, said.count("\n")) == (2, 1)
    assert "Set INTCTL_HOME to a folder" in said


@needs_root
@pytest.mark.case("F13")
def test_a_manifest_is_tested_without_a_home_folder(mail_starttls: MailHost) -> None:
    """A test of a manifest reads and writes no data folder."""
    text = mail_starttls.manifest(ca_file=None, security="none")
    code, said = as_user("test", "-f", "-", stdin=text, MAIL_PASSWORD=CANARY)
    assert code in (0, 1)
    assert "Email: " in said and "INTCTL_HOME" not in said


@needs_root
@pytest.mark.case("F13")
def test_named_sources_need_no_home_folder() -> None:
    """With a database and a key from the environment, every command works without a data folder."""
    key = keyring.new_key().text()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/intctl.db"
        script = "from intctl.cli import main; main()"
        environ = {"INTCTL_DATABASE_URL": url, "INTCTL_ENCRYPTION_KEY": key}
        subprocess.run([sys.executable, "-c", script, "init"], env=environ, check=True, capture_output=True)
        for path in (folder, *(entry.path for entry in os.scandir(folder))):
            os.chown(path, _NO_USER, _NO_USER)
        for line in ("list", "agent --once", "check --all"):
            code, said = as_user(*line.split(), **environ)
            assert code == 0, said


@pytest.fixture
def gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that was deleted."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    return folder


@pytest.mark.case("F14")
def test_a_deleted_current_folder_is_no_matter_for_absolute_paths(
    intctl: Intctl, mail_starttls: MailHost, gone: Path, tmp_path: Path
) -> None:
    """Standard input, absolute files, --set and --secret work as elsewhere."""
    text = mail_starttls.manifest()
    (tmp_path / "m.yaml").write_text(text)
    for words in (("test", "-f", "-"), ("apply", "-f", "-"), ("apply", "-f", str(tmp_path / "m.yaml"))):
        intctl(*words, stdin=text, MAIL_PASSWORD=CANARY)
    intctl("edit", "Email", "--set", "max_emails_per_day=5", "--no-test")
    intctl("edit", "Email", "--secret", "password", "--no-test", stdin=f"{CANARY}\n")
    intctl("list")


@pytest.mark.case("F14")
@pytest.mark.parametrize(
    "line",
    [
        "test -f m.yaml",
        "apply -f .",
        "test -f -",
        "edit Email --set ca_file=ca.pem",
        "list",
        "init",
        "agent --once --metrics-file x.prom --budget 5",
    ],
)
def test_a_relative_path_in_a_deleted_folder_is_one_clear_line(
    intctl: Intctl, mail_starttls: MailHost, gone: Path, line: str
) -> None:
    """A path that needs the current folder is an error of usage, never a bug."""
    intctl("add", "smtp", "--no-test", "-f", "-", stdin=mail_starttls.manifest(), MAIL_PASSWORD=CANARY)
    text = mail_starttls.manifest(password={"file": "secret"})
    environ = {"INTCTL_HOME": "data", "INTCTL_DATABASE_URL": ""} if line in ("list", "init") else {}
    code = 0 if line.startswith("agent") else 2  # a metrics file never fails a pass
    ran = intctl(*line.split(), stdin=text, code=code, **environ)
    assert ran.err.count("\n") == 1


@pytest.mark.case("F14")
def test_init_in_a_deleted_folder_is_one_clear_line(tmp_path: Path) -> None:
    """The whole process, from a folder that was deleted under it."""
    script = "import os, sys; os.rmdir(os.getcwd()); from intctl.__main__ import main; main()"
    for line, environ in {
        "init": {"INTCTL_DATABASE_URL": "sqlite:///here.db", "INTCTL_HOME": str(tmp_path / "home")},
        "list": {"INTCTL_HOME": "relative"},
        "test -f -": {},
    }.items():
        (tmp_path / "cwd").mkdir()
        ran = subprocess.run(
            [sys.executable, "-c", script, *line.split()],
            env={"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2]), **environ},
            cwd=tmp_path / "cwd",
            input="name: X\nprovider: tcp\nconfig: {host: 127.0.0.1, port: 9, ca_file: ca.pem}\n",
            capture_output=True,
            text=True,
        )
        assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
        assert "deleted" in ran.stderr
