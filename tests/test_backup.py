"""The commands of docs/backup.md: a copy made while something writes is complete, and a restored one works."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.case("reliability 8")

ROOT = Path(__file__).parents[1]
SQLITE3, COPY, RESTORE = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "backup.md").read_text(), re.DOTALL)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    for name in ("home", "backup", "keys"):
        (tmp_path / name).mkdir(mode=0o700)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "intctl").write_text(f"#!/bin/sh\nexec '{sys.executable}' -m intctl \"$@\"\n")
    (bin_folder / "intctl").chmod(0o755)
    made = {
        "INTCTL_HOME": str(tmp_path / "home"),
        "BACKUP": str(tmp_path / "backup"),
        "KEYS": str(tmp_path / "keys"),
        "PATH": f"{bin_folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TOKEN": "a-token",
    }
    manifest = "name: Email\nprovider: http\nconfig: {url: http://127.0.0.1:9/, auth: bearer, token: {env: TOKEN}}\n"
    for words in (["init"], ["add", "custom", "--no-test", "-f", "-"]):
        subprocess.run(["intctl", *words], env=made, input=manifest, text=True, check=True, capture_output=True)
    return made


@pytest.mark.parametrize("way", ["sqlite3", "python3"])
def test_a_copy_is_complete_and_can_be_restored(environ: dict[str, str], tmp_path: Path, way: str) -> None:
    """What is only in the log is in the copy; after a loss of the data folder, the integration opens again."""
    if way == "sqlite3" and shutil.which("sqlite3") is None:
        pytest.skip("sqlite3 is not installed")
    home = tmp_path / "home"
    writer = sqlite3.connect(home / "intctl.db", isolation_level=None)
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("UPDATE integrations SET name = 'Renamed'")
    assert (home / "intctl.db-wal").stat().st_size > 0
    keys = next(line for line in SQLITE3.splitlines() if line.startswith("cp "))
    text = SQLITE3 if way == "sqlite3" else f"{COPY}\n{keys}"
    subprocess.run(["sh", "-ec", text], env=environ, check=True)
    writer.close()
    shutil.rmtree(home)
    home.mkdir(mode=0o700)
    shutil.copy(tmp_path / "keys" / "keyring.json", home)
    restored = subprocess.run(["sh", "-c", RESTORE], env=environ, capture_output=True, text=True)
    assert "Renamed" in restored.stdout
    assert "connect.refused" in restored.stdout + restored.stderr  # it was opened, and its host asked


def test_a_damaged_file_names_the_document(environ: dict[str, str], tmp_path: Path) -> None:
    """The error that asks for a backup says where that is described, and the document is there."""
    path = tmp_path / "home" / "intctl.db"
    data = bytearray(path.read_bytes())
    data[4096:] = b"x" * (len(data) - 4096)
    path.write_bytes(data)
    ran = subprocess.run(["intctl", "list"], env=environ, capture_output=True, text=True)
    assert (ran.returncode, "docs/backup.md" in ran.stderr) == (5, True)
    assert (ROOT / "docs" / "backup.md").is_file()
