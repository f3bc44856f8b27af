"""The cost of a check: CPU per check of intctl's probe path, and of blackbox_exporter on the same servers.

Servers, prober and exporter are processes of their own; CPU is that of the prober alone. Rounds are
interleaved, so that a slow minute slows all alike. Start-up and the first checks do not count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from servers import PASSWORD, SLOW_S, TOKEN, USER  # noqa: E402
from startup import replace_section  # noqa: E402

GOALS = {"HTTP": 0.6, "HTTPS": 0.75, "SMTP+STARTTLS": 1.0}
EXPORTER = "prometheus-blackbox-exporter"
SLOW_CHECKS, SLOW_CONCURRENCY, SLOW_GOAL = 2000, 500, 1.5
WARM_UP = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured (default 7)")
    parser.add_argument("--checks", type=int, default=500, help="checks a round (default 500)")
    parser.add_argument("--concurrency", type=int, default=50, help="checks at the same time (default 50)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(json.loads(options.worker))
        return
    with tempfile.TemporaryDirectory() as folder:
        certificate, authority = certificates(Path(folder))
        with serving(certificate) as ports, exporting(Path(folder), authority) as exporter:
            found = measure(ports, authority, exporter, options)
            slow = [slow_round(ports["slow"]) for _ in range(options.rounds)]
    report = written(found, slow, options)
    sys.stdout.write(report)
    replace_section(report)


# --- the servers and the exporter


def certificates(folder: Path) -> tuple[str, str]:
    """A server's key and chain in one file, and its authority's certificate."""
    import trustme

    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return str(folder / "server.pem"), str(folder / "ca.pem")


@contextmanager
def serving(certificate: str) -> Iterator[dict[str, int]]:
    """The ports of servers.py, in a process of its own."""
    argv = [sys.executable, str(HERE / "servers.py"), certificate]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.communicate("")


def modules(authority: str) -> dict[str, Any]:
    """The exporter's configuration: the same exchanges as intctl's."""
    tls = {"ca_file": authority}
    http = {
        "valid_http_versions": ["HTTP/1.1"],
        "follow_redirects": False,
        "bearer_token": TOKEN,
        "fail_if_body_not_matches_regexp": ['"ok"'],
        "preferred_ip_protocol": "ip4",
        "tls_config": tls,
    }
    login = b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    dialog = [
        {"expect": "^220 ", "send": "EHLO intctl.invalid"},
        {"expect": "^250-"},
        {"expect": "^250 STARTTLS"},
        {"send": "STARTTLS"},
        {"expect": "^220 "},
        {"starttls": True},
        {"send": "EHLO intctl.invalid"},
        {"expect": "^250-"},
        {"expect": "^250 AUTH"},
        {"send": f"AUTH PLAIN {login}"},
        {"expect": "^235 "},
        {"send": "NOOP"},
        {"expect": "^250 "},
        {"send": "QUIT"},
        {"expect": "^221 "},
    ]
    tcp = {"query_response": dialog, "tls_config": tls, "preferred_ip_protocol": "ip4"}
    return {
        "modules": {
            "HTTP": {"prober": "http", "http": http},
            "HTTPS": {"prober": "http", "http": {**http, "fail_if_not_ssl": True}},
            "SMTP+STARTTLS": {"prober": "tcp", "tcp": tcp},
        }
    }


@contextmanager
def exporting(folder: Path, authority: str) -> Iterator[tuple[int, int] | None]:
    """Process id and port of the exporter; None if it is not installed."""
    path = shutil.which(EXPORTER) or shutil.which("blackbox_exporter")
    if path is None:
        yield None
        return
    (folder / "blackbox.yml").write_text(json.dumps(modules(authority)))  # JSON is YAML
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [path, f"--config.file={folder / 'blackbox.yml'}", f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(100):
                time.sleep(0.05)
                with socket.socket() as sock:
                    if sock.connect_ex(("127.0.0.1", port)) == 0:
                        break
            yield process.pid, port
        finally:
            process.terminate()


# --- measuring


def target(kind: str, port: int) -> str:
    return f"127.0.0.1:{port}" if kind.startswith("SMTP") else f"{kind.lower()}://127.0.0.1:{port}/"


def measure(
    ports: dict[str, int], authority: str, exporter: tuple[int, int] | None, options: argparse.Namespace
) -> dict[str, tuple[list[float], list[float]]]:
    """Milliseconds of CPU per check in each round, by protocol: intctl's, the exporter's."""
    found: dict[str, tuple[list[float], list[float]]] = {kind: ([], []) for kind in GOALS}
    for _ in range(options.rounds):
        for kind, (ours, theirs) in found.items():
            ask = {"kind": kind, "port": ports[kind], "authority": authority}
            ours.append(intctl_round(ask, options.checks, options.concurrency)["cpu_ms"])
            if exporter is not None:
                where = target(kind, ports[kind])
                theirs.append(exporter_round(exporter, kind, where, options.checks, options.concurrency))
    return found


def intctl_round(ask: dict[str, Any], checks: int, concurrency: int) -> dict[str, float]:
    """One round of intctl's probes in a process of its own."""
    argv = [sys.executable, __file__, "--worker", json.dumps({**ask, "checks": checks, "concurrency": concurrency})]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def slow_round(port: int) -> tuple[float, float]:
    """Seconds of many checks of a slow server: on the wall clock, and of CPU."""
    ask = {"kind": "HTTP", "port": port, "authority": None}
    found = intctl_round(ask, SLOW_CHECKS, SLOW_CONCURRENCY)
    return found["wall_s"], found["cpu_ms"] * SLOW_CHECKS / 1000


def work(ask: dict[str, Any]) -> None:
    """Run probes as a worker, and print their cost."""
    from intctl.probes.run import Network, run_probe
    from intctl.probes.spec import Bearer, HttpProbe, Probe, SmtpProbe
    from intctl.text import Secret

    kind, port, authority = ask["kind"], ask["port"], ask["authority"]
    one: Probe
    if kind.startswith("SMTP"):
        one = SmtpProbe("127.0.0.1", port, "starttls", USER, Secret(PASSWORD), authority)
    else:
        one = HttpProbe(target(kind, port), Bearer(Secret(TOKEN)), require=("/ok",), ca_file=authority)

    async def run(count: int, concurrency: int) -> None:
        network = Network()
        left = iter(range(count))

        async def next_ones() -> None:
            for _ in left:
                outcome = await run_probe(one, network)
                assert outcome.code in ("ok", "tls.expires_soon"), outcome

        await asyncio.gather(*(next_ones() for _ in range(concurrency)))

    async def measured() -> dict[str, float]:
        await run(WARM_UP, 10)
        cpu, wall = time.process_time(), time.perf_counter()
        await run(ask["checks"], ask["concurrency"])
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        return {"cpu_ms": cpu * 1000 / ask["checks"], "wall_s": wall}

    print(json.dumps(asyncio.run(measured())))


def exporter_round(exporter: tuple[int, int], kind: str, where: str, checks: int, concurrency: int) -> float:
    """Milliseconds of the exporter's CPU per check, without its client."""
    pid, port = exporter

    async def scrape() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        query = f"/probe?module={quote(kind)}&target={quote(where)}"
        writer.write(f"GET {query} HTTP/1.0\r\nHost: bench\r\n\r\n".encode())
        text = await reader.read()
        while more := await reader.read():
            text += more
        writer.close()
        assert b"\nprobe_success 1\n" in text, text.decode()

    async def run(count: int) -> None:
        left = iter(range(count))

        async def next_ones() -> None:
            for _ in left:
                await scrape()

        await asyncio.gather(*(next_ones() for _ in range(concurrency)))

    asyncio.run(run(WARM_UP))
    before = cpu_seconds(pid)
    asyncio.run(run(checks))
    return (cpu_seconds(pid) - before) * 1000 / checks


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- output


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def written(
    found: dict[str, tuple[list[float], list[float]]], slow: Sequence[tuple[float, float]], options: argparse.Namespace
) -> str:
    """The section for RESULTS.md."""
    lines = [
        "## Probes",
        "",
        f"`.venv/bin/python bench/probes.py --rounds {options.rounds}` on {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {platform.system()}; {options.checks} checks a round, "
        f"{options.concurrency} at a time. CPU milliseconds per check: median (least–most) of the rounds. "
        "The exporter's CPU is that of its process alone, without its client.",
        "",
        "| check | intctl | blackbox_exporter | ratio | goal |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind, (ours, theirs) in found.items():
        ratio = f"{statistics.median(ours) / statistics.median(theirs):.2f}" if theirs else ""
        exporters = spread(theirs) if theirs else "not installed"
        lines.append(f"| {kind} | {spread(ours)} | {exporters} | {ratio} | ≤ {GOALS[kind]} |")
    walls, cpus = [wall for wall, _ in slow], [cpu for _, cpu in slow]
    ideal = SLOW_CHECKS / SLOW_CONCURRENCY * SLOW_S
    lines += [
        "",
        f"{SLOW_CHECKS:,} checks of a server that answers after {SLOW_S * 1000:.0f} ms, {SLOW_CONCURRENCY} at a time: "
        f"{spread(walls)} s, {statistics.median(walls) / ideal:.2f} × the ideal {ideal:.1f} s (goal ≤ {SLOW_GOAL}); "
        f"the prober's CPU alone was {spread(cpus)} s.",
        "",
        f"The machine's load average at the end was {os.getloadavg()[1]:.1f} over 5 minutes.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
