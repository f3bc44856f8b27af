"""SQLite where nothing can be written: on a read-only mount and on a full disk, what only reads works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from intctl import keyring
from intctl.db.connect import connect
from intctl.db.url import Target
from intctl.schema.setup import prepare
from intctl.store.organization_changes import first_organization

from ..agent_rig import Fleet, Host

READING = [
    "list", "list -o json", "dashboard", "alerts", "logs", "logs -o json", "stats", "metrics", "metrics Email",
    "show Email", "agent status", "org list", "maintenance list",
]  # fmt: skip
WRITING = ["agent --once", "toggle Email --off", "check Email", "delete Email --yes"]


@pytest.fixture
def home(tmp_path: Path, provider: Host) -> Path:
    """A data folder with one checked integration, as it is at rest."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    target = Target("sqlite", path=home / "intctl.db")
    prepare(target, first_organization("Acme", "acme"))
    with connect(target) as database:
        (row,) = database.rows("SELECT id FROM organizations")
    fleet = Fleet(target, home / "other")
    fleet.add({"Email": f"{provider.url}/a"}, org_id=row["id"])
    fleet.once()
    shutil.copy(home / "other" / "keyring.json", home / "keyring.json")
    (home / "keyring.json").chmod(0o600)
    assert keyring.load({}, home)
    return home


def in_mount(home: Path, mount: str, lines: list[str]) -> Iterator[tuple[str, int, str]]:
    """Run commands in a mount name space of their own, where `mount` was run first."""
    script = mount + "".join(
        f"\n'{sys.executable}' -m intctl {line} >out 2>err </dev/null; echo \"$? $(head -c 300 err | tr '\\n' ' ')\""
        for line in lines
    )
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env={"INTCTL_HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        cwd=home.parent,
        capture_output=True,
        text=True,
    )
    if "unshare:" in ran.stderr or "mount:" in ran.stderr:
        pytest.skip(f"this machine allows no mounts: {ran.stderr.strip()}")
    for line, answer in zip(lines, ran.stdout.splitlines(), strict=True):
        code, _, said = answer.partition(" ")
        yield line, int(code), said


@pytest.mark.case("F25")
@pytest.mark.case("reliability 7")
def test_a_read_only_mount_is_read(home: Path) -> None:
    """Every command that reads works; one that writes exits 5 and names the mount."""
    mount = f"mount --bind '{home}' '{home}' && mount -o remount,bind,ro '{home}' || exit 9"
    for line, code, said in in_mount(home, mount, READING):
        assert (line, code in (0, 1), "intctl:" in said) == (line, True, False), said
    for line, code, said in in_mount(home, mount, WRITING):
        assert (line, code) == (line, 5), said
        assert "mounted read-only" in said


@pytest.mark.case("reliability 7")
def test_a_full_disk_is_read(home: Path) -> None:
    """Without room for the index of the log, every command that reads works; one that writes exits 5."""
    full = home.parent / "full"
    full.mkdir()
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) // 4096 * 4 + 64
    mount = (
        f"mount -t tmpfs -o size={size}k,mode=0700 none '{full}' && cp -a '{home}/intctl.db' '{home}/keyring.json' "
        f"'{full}/' || exit 9; dd if=/dev/zero of='{full}/filler' bs=4k 2>/dev/null; export INTCTL_HOME='{full}'"
    )
    for line, code, said in in_mount(home, mount, READING):
        assert (line, code in (0, 1), "intctl:" in said) == (line, True, False), said
    for line, code, said in in_mount(home, mount, WRITING):
        assert (line, code) == (line, 5), said
        assert "disk is full" in said


@pytest.mark.case("F25")
def test_a_log_on_a_read_only_mount_is_not_passed_over(home: Path) -> None:
    """Changes that are only in the log are shown, or the message says how to read them; never an older state."""
    import sqlite3

    writer = sqlite3.connect(home / "intctl.db", isolation_level=None)
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("UPDATE integrations SET name = 'Renamed'")
    for suffix in ("", "-wal"):
        shutil.copy(f"{home}/intctl.db{suffix}", f"{home}/copy.db{suffix}")
    writer.close()
    for suffix in ("", "-wal"):
        shutil.move(f"{home}/copy.db{suffix}", f"{home}/intctl.db{suffix}")
    mount = f"mount --bind '{home}' '{home}' && mount -o remount,bind,ro '{home}' || exit 9"
    ((_, code, said),) = in_mount(home, mount, ["list"])
    assert code == 5
    assert "mounted read-only, and its log intctl.db-wal has changes" in said
