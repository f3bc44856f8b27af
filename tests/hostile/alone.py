"""Run a command in its own network, with a name server whose replies depend on the requested name.

    unshare --mount --net python -m tests.hostile.alone COMMAND…

The command's lookups are the C library's real ones. The program prints the command's output, its exit
code and the requests to its servers as JSON. Requires root or the permission to unshare.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

NAME_SERVER = "127.0.0.77"
METADATA = "169.254.169.254"
HERE = "127.0.0.1"
#: The addresses of a name, by the start of its first label; each lookup gets the next one, then the last.
ADDRESSES = {"good": [HERE], "rebind": [HERE, METADATA], "metadata": [METADATA]}
HTTP_PORT = 80

_NO_ERROR, _SERVFAIL, _NXDOMAIN = 0, 2, 3
_A = 1


def run_alone(command: Sequence[str], **environ: str) -> dict[str, Any]:
    """Run `command` and report: code, out, err, ended, queries by name, metadata (connections there)."""
    root = Path(__file__).parents[2]
    argv = ["unshare", "--mount", "--net", sys.executable, "-m", "tests.hostile.alone", *command]
    done = subprocess.run(argv, cwd=root, env=environ or None, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def why_not() -> str:
    """Return why a command cannot run in its own network here; "" if it can."""
    if shutil.which("unshare") is None:
        return "skipped: there is no unshare here, so no resolver of the test's own"
    argv = ["unshare", "--mount", "--net", "mount", "--bind", "/etc/hosts", "/etc/hosts"]
    if subprocess.run(argv, capture_output=True).returncode:
        return "skipped: no right to unshare mounts and network (run as root), so no resolver of the test's own"
    return ""


class NameServer:
    """A DNS server over UDP: `nx…` does not exist, `servfail…` fails, `silent…` never replies, others: ADDRESSES."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((NAME_SERVER, 53))

    def serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(2048)
            answer = self._answer(query)
            if answer is not None:
                self._socket.sendto(answer, client)

    def _answer(self, query: bytes) -> bytes | None:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        question = query[12 : at + 5]
        (kind,) = struct.unpack("!H", query[at + 1 : at + 3])
        turn = 0
        if kind == _A:
            turn = self.asked[".".join(labels)]
            self.asked[".".join(labels)] += 1
        start = labels[0].rstrip("0123456789")
        if start == "silent":
            return None
        addresses = ADDRESSES.get(start, [])
        data = b""
        if kind == _A and addresses:
            address = addresses[min(turn, len(addresses) - 1)]
            data = b"\xc0\x0c" + struct.pack("!HHIH", _A, 1, 0, 4) + socket.inet_aton(address)
        code = {"servfail": _SERVFAIL}.get(start, _NO_ERROR if addresses else _NXDOMAIN)
        return query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, bool(data), 0, 0) + question + data


def _use(name: str, address: str) -> None:
    """Give the loopback interface (or an alias of it) this address, and bring it up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        packed = struct.pack("16sH2s4s8s", name.encode(), socket.AF_INET, b"", socket.inet_aton(address), b"")
        fcntl.ioctl(sock, 0x8916, packed)  # SIOCSIFADDR
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH14s", name.encode(), 0x1 | 0x8 | 0x40, b""))  # SIOCSIFFLAGS: up


def _replace(path: str, text: str, folder: str) -> None:
    """Replace the content of the file at `path` for the processes in this mount namespace."""
    ours = Path(folder, Path(path).name)
    ours.write_text(text)
    subprocess.run(["mount", "--bind", ours, path], check=True)


def _good_server(listening: socket.socket) -> None:
    """Reply to every request with `{}`."""
    while True:
        sock, _ = listening.accept()
        with sock, suppress(OSError):
            sock.settimeout(5)
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


def _counted(listening: socket.socket, hits: list[str]) -> None:
    while True:
        listening.accept()[0].close()
        hits.append("connection")


def main(command: Sequence[str]) -> None:
    _use("lo", HERE)
    _use("lo:1", METADATA)
    names = NameServer()
    hits: list[str] = []
    metadata = socket.create_server((METADATA, HTTP_PORT))
    good = socket.create_server((HERE, HTTP_PORT), backlog=64)
    for target, arguments in ((names.serve, ()), (_good_server, (good,)), (_counted, (metadata, hits))):
        threading.Thread(target=target, args=arguments, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        _replace("/etc/resolv.conf", f"nameserver {NAME_SERVER}\n", folder)
        _replace("/etc/nsswitch.conf", "hosts: files dns\n", folder)
        done = subprocess.run(list(command), capture_output=True, text=True, timeout=50)
        ended = time.monotonic()
        for path in ("/etc/resolv.conf", "/etc/nsswitch.conf"):
            subprocess.run(["umount", path], check=True)
    report = {
        "code": done.returncode,
        "out": done.stdout,
        "err": done.stderr,
        "ended": ended,
        "queries": names.asked,
        "metadata": len(hits),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1:])
