"""A PostgreSQL for one test, which may be stopped, restarted and frozen; and a proxy in front of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from intctl.db.url import POSTGRESQL, Target

from ..conftest import _fill
from ..postgresql_server import _NOBODY, _programs

#: An acknowledged commit survives a kill of the server's processes; a crash of the machine is not tested.
_SETTINGS = {
    "fsync": "off", "full_page_writes": "off", "synchronous_commit": "on", "listen_addresses": "",
    "shared_buffers": "16MB", "autovacuum": "off", "wal_level": "minimal", "max_wal_senders": "0",
    "logging_collector": "off", "min_wal_size": "2MB", "max_wal_size": "32MB",
}  # fmt: skip


class OwnServer:
    """The server. `target` is its prepared database."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self._identity: dict[str, object] = {}
        if os.geteuid() == 0:
            self._identity = {"user": _NOBODY, "group": _NOBODY, "extra_groups": ()}
            os.chown(folder, _NOBODY, _NOBODY)
        with warnings.catch_warnings():  # the wheel's own, about this machine
            warnings.simplefilter("ignore")
            self._programs = _programs(folder)
        self._log = (folder / "log").open("wb")
        self._settings = {**_SETTINGS, "unix_socket_directories": str(folder), **settings}
        self._run(
            "initdb",
            "-D",
            folder / "data",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--wal-segsize=1",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.target = Target(
            POSTGRESQL, parameters={"host": str(folder), "port": "5432", "dbname": "postgres", "user": "postgres"}
        )

    def _run(self, program: str, *words: object) -> None:
        subprocess.run(
            [self._programs / program, *words],
            check=True,
            cwd=self.folder,
            env={"LC_ALL": "C", "TZ": "UTC"},
            stdout=self._log,
            stderr=self._log,
            **self._identity,
        )  # type: ignore[call-overload]

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        settings = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [self._programs / "postgres", "-D", self.folder / "data", *settings],
            cwd=self.folder,
            env={"LC_ALL": "C", "TZ": "UTC"},
            stdout=self._log,
            stderr=self._log,
            **self._identity,
        )  # type: ignore[call-overload]
        ends = time.monotonic() + 60
        while "ready" not in self._status():
            assert self._process.poll() is None and time.monotonic() < ends, (self.folder / "log").read_text()
            time.sleep(0.02)

    def _status(self) -> str:
        try:
            return (self.folder / "data" / "postmaster.pid").read_text()
        except OSError:
            return ""

    def stop(self) -> None:
        """Stop the server at once, as a crash would."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)

    def restart(self) -> None:
        """Stop the server at once, and start it again, which recovers."""
        self.stop()
        self.start()

    def end(self) -> None:
        """Stop the server and remove its files."""
        self.stop()
        self._log.close()


@contextmanager
def own_server(folder: Path | None = None, **settings: str) -> Iterator[OwnServer]:
    """A running server with a prepared database, in a folder of its own (a socket's path must be short)."""
    with tempfile.TemporaryDirectory(prefix="intctl-own-") as made:
        server = OwnServer(folder or Path(made), **settings)
        try:
            server.start()
            _fill(server.target)
            yield server
        finally:
            server.end()


class Proxy:
    """A TCP proxy of a server's socket. `lose_reply_to`: drop the reply to such a message once, and disconnect."""

    def __init__(self, target: Target) -> None:
        self._path = f"{target.parameters['host']}/.s.PGSQL.{target.parameters['port']}"
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.target = replace(
            target, parameters={**target.parameters, "host": "127.0.0.1", "port": str(self._listening.getsockname()[1])}
        )
        self.lose_reply_to: bytes | None = None
        self.lost = 0
        self.delay_s = 0.0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *given: object) -> None:
        self._threads.append(threading.Thread(target=work, args=given, daemon=True))
        self._threads[-1].start()

    def close(self) -> None:
        """Stop the proxy and close its connections."""
        for sock in (self._listening, *self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for sock in (self._listening, *self._sockets):
            sock.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._path)
                self._sockets += [client, server]
                losing = threading.Event()

                def forth(data: bytes, losing: threading.Event = losing) -> bytes:
                    if self.lose_reply_to is not None and self.lose_reply_to in data:
                        self.lose_reply_to = None
                        losing.set()
                    return data

                def back(data: bytes, losing: threading.Event = losing) -> bytes | None:
                    time.sleep(self.delay_s)
                    if losing.is_set():
                        self.lost += 1
                        return None
                    return data

                for source, sink, through in ((client, server, forth), (server, client, back)):
                    self._start(self._pump, source, sink, through)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, through: Callable[[bytes], bytes | None]) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                passed = through(data)
                if passed is None:
                    break
                sink.sendall(passed)
        for sock in (source, sink):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
