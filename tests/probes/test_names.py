"""Host names to addresses. To simulate a faulty resolver, the C library's own call is replaced."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from intctl.probes.names import Names
from intctl.probes.run import Network, run_probe
from intctl.probes.spec import HttpProbe
from intctl.probes.trace import ProbeFailed
from tests.probes import brief, check
from tests.servers import Answer, http_server

_REAL = socket.getaddrinfo


class Resolver:
    """Replace the C library's resolver: `*.hung` never answers, errors as configured, the rest is loopback."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.release = threading.Event()
        self.errors: dict[str, int] = {}
        self.answers: dict[str, list[str]] = {}

    def __call__(self, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("flags") == socket.AI_NUMERICHOST:
            return _REAL(host, port, **kwargs)
        self.asked.append(host)
        if host.endswith(".hung"):
            self.release.wait(20)
        if host in self.errors:
            raise socket.gaierror(self.errors[host], "the library's words")
        found = []
        for address in self.answers.get(host, ["127.0.0.1"]):
            found += _REAL(address, port, type=socket.SOCK_STREAM)
        return found


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    yield made
    made.release.set()


def _probe(host: str, port: int = 1) -> HttpProbe:
    return HttpProbe(f"http://{host}:{port}/", None)


@pytest.mark.parametrize(
    ("error", "code", "verdict"),
    [
        (socket.EAI_NONAME, "dns.nxdomain", "down"),
        (socket.EAI_NODATA, "dns.nxdomain", "down"),
        (socket.EAI_AGAIN, "dns.failure", "unknown"),
        (socket.EAI_FAIL, "dns.failure", "unknown"),
        (socket.EAI_MEMORY, "dns.failure", "unknown"),
    ],
)
def test_only_a_missing_name_is_down(resolver: Resolver, error: int, code: str, verdict: str) -> None:
    """A name that does not exist is down; a failing resolver is a fault of this machine, unknown."""
    resolver.errors["api.example"] = error
    outcome = check(_probe("api.example"))
    assert (outcome.code, outcome.verdict, outcome.phase) == (code, verdict, "dns")
    assert "library" not in outcome.message


def test_a_silent_resolver_is_our_fault(resolver: Resolver) -> None:
    """A lookup without an answer ends by its budget as unknown."""
    outcome = check(_probe("a.hung"), network=brief(0.2))
    assert (outcome.code, outcome.verdict, outcome.phase) == ("dns.timeout", "unknown", "dns")


def test_a_deadline_during_the_lookup_blames_nobody(resolver: Resolver) -> None:
    """Even the probe's own deadline, reached while the resolver is silent, is no verdict on the provider."""
    outcome = check(_probe("a.hung"), deadline_s=0.2)
    assert (outcome.code, outcome.verdict) == ("dns.timeout", "unknown")


def test_hung_names_delay_nobody(resolver: Resolver) -> None:
    """Fifty names that never resolve do not delay five valid ones."""

    async def run(port: int) -> list[str]:
        network = Network(**brief(0.5))
        probes = [_probe(f"n{n}.hung") for n in range(50)] + [_probe(f"good{n}.example", port) for n in range(5)]
        return [outcome.code for outcome in await asyncio.gather(*(run_probe(probe, network) for probe in probes))]

    with http_server({"/": Answer()}) as server:
        codes = asyncio.run(run(server.port))
    assert codes == ["dns.timeout"] * 50 + ["ok"] * 5


def test_a_name_is_asked_once_a_pass(resolver: Resolver) -> None:
    """Probes of one pass share a lookup, whatever the port, also when one of them gives up on it."""

    async def run() -> None:
        names = Names(2.0)
        first, second = (asyncio.create_task(names.look_up("api.example", 443)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second)[0][1][:2] == ("127.0.0.1", 443)
        await names.look_up("api.example", 443)
        assert (await names.look_up("api.example", 25))[0][1][:2] == ("127.0.0.1", 25)

    asyncio.run(run())
    assert resolver.asked == ["api.example"]


def test_both_families_get_their_turn(resolver: Resolver) -> None:
    """Addresses come in turns by family, so that three dead ones of one do not hide the other."""
    resolver.answers["api.example"] = ["::1", "::2", "::3", "127.0.0.1", "127.0.0.2"]
    found = asyncio.run(Names().look_up("api.example", 80))
    assert [address[0] for _, address in found] == ["::1", "127.0.0.1", "::2", "127.0.0.2", "::3"]


@pytest.mark.case("security 14")
@pytest.mark.parametrize(
    "addresses",
    [
        ["169.254.169.254"],
        ["169.254.169.254", "127.0.0.1"],
        ["127.0.0.1", "169.254.169.254"],
        ["127.0.0.1", "fd00:ec2::254"],
        ["127.0.0.1"] * 9 + ["169.254.169.254"],
    ],
)
def test_one_refused_address_blocks_the_name(resolver: Resolver, addresses: list[str]) -> None:
    """A name with one refused address is not contacted at all, wherever that address stands; it is looked up once."""
    resolver.answers["evil.example"] = addresses
    with http_server({"/": Answer()}) as server:
        assert check(_probe("evil.example", server.port)).code == "blocked.address"
        assert server.requests == []
    assert resolver.asked == ["evil.example"]


@pytest.mark.parametrize("host", ["", "a..b", "x" * 64 + ".example", "a\0b", "ü" * 80])
def test_what_is_no_host_name_does_not_exist(host: str) -> None:
    """A name that cannot be encoded is nxdomain, without an exception of a library."""
    with pytest.raises(ProbeFailed) as caught:
        asyncio.run(Names().look_up(host, 80))
    assert caught.value.code == "dns.nxdomain"


def test_a_hung_lookup_does_not_hold_up_the_exit() -> None:
    """The process ends while a lookup still hangs."""
    program = """
import asyncio, socket, time
real = socket.getaddrinfo
socket.getaddrinfo = lambda *a, **k: real(*a, **k) if k.get("flags") else time.sleep(60)
from intctl.probes.run import *
from intctl.probes.spec import SmtpProbe
print(asyncio.run(run_probe(SmtpProbe("a.hung", 25, "none"), Network(budgets=Budgets(dns_s=0.2)))).code)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "dns.timeout", "")


def test_no_descriptors_left_is_our_fault(resolver: Resolver) -> None:
    """With no file descriptor left neither a lookup nor a connection calls the target down."""
    resolver.errors["api.example"] = socket.EAI_NONAME
    codes = []

    async def run() -> None:
        network = Network()
        await run_probe(_probe("127.0.0.1"), network)  # everything needed is imported and open
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        held = os.open(os.devnull, os.O_RDONLY)
        resource.setrlimit(resource.RLIMIT_NOFILE, (held + 1, hard))
        try:
            codes.extend([(await run_probe(_probe(host), network)).code for host in ("api.example", "127.0.0.1")])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            os.close(held)

    asyncio.run(run())
    assert codes == ["self.no_descriptors"] * 2
