"""If nothing is reachable, intctl tests this machine's network before it marks providers as failing."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from ..servers import Answer, http_server
from .conftest import Intctl


@pytest.fixture(autouse=True)
def own_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of these tests are not looked up in the network: none of them exists."""
    real = socket.getaddrinfo

    def look_up(host: str, *rest: Any, **options: Any) -> Any:
        if str(host).endswith(".invalid") and not options.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def add(intctl: Intctl, name: str, url: str) -> None:
    manifest = json.dumps({"name": name, "provider": "http", "config": {"url": url}})
    intctl("add", "http", "-f", "-", "--no-test", stdin=manifest)


def nowhere(intctl: Intctl, count: int) -> None:
    """Integrations with hosts that do not exist."""
    for number in range(count):
        add(intctl, f"n{number}", f"https://host-{number}.invalid/")


def codes(intctl: Intctl) -> dict[str, str]:
    return {log["integration"]: log["code"] for log in intctl("logs", "-o", "json").json}


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_many_hosts_that_all_fail_are_our_fault(intctl: Intctl) -> None:
    """Three unreachable hosts: unknown, no status change, one message."""
    nowhere(intctl, 4)
    ran = intctl("agent", "--once")
    assert ran.out == "checked 4: 4 unknown\n"
    assert ran.err.count("Nothing was reachable") == 1
    assert set(codes(intctl).values()) == {"self.no_network"}
    assert {row["status"] for row in intctl("list", "-o", "json").json} == {"active"}
    assert intctl("check", "--all", code=1).err.count("Nothing was reachable") == 1


def test_few_hosts_prove_nothing_against_us(intctl: Intctl) -> None:
    """One or two unknown host names are failures of their integrations."""
    nowhere(intctl, 2)
    assert intctl("agent", "--once").out == "checked 2: 2 down\n"


def test_one_that_gets_through_clears_us(intctl: Intctl) -> None:
    """If one host answers, the network works, and the others fail."""
    nowhere(intctl, 4)
    with http_server({"/": Answer(200, {})}) as server:
        add(intctl, "fine", f"{server.url}/")
        assert intctl("agent", "--once").out == "checked 5: 1 healthy, 4 down\n"
    assert codes(intctl)["n0"] == "dns.nxdomain"


def test_a_refusal_is_an_answer_too(intctl: Intctl, closed_port: int) -> None:
    """A closed port proves that the network works."""
    nowhere(intctl, 3)
    add(intctl, "closed", f"http://127.0.0.1:{closed_port}/")
    assert intctl("agent", "--once").out == "checked 4: 4 down\n"


def test_the_witness_decides(intctl: Intctl, closed_port: int) -> None:
    """With a reachable witness the others fail; with an unreachable one even a single host is unknown."""
    nowhere(intctl, 4)
    with http_server({}) as server:
        ran = intctl("agent", "--once", INTCTL_WITNESS=f"127.0.0.1:{closed_port}, 127.0.0.1:{server.port}")
    assert ran.out == "checked 4: 4 down\n"
    ran = intctl("check", "n0", code=1, INTCTL_WITNESS=f"127.0.0.1:{closed_port}")
    assert "self.no_network" in ran.out


@pytest.mark.parametrize("text", ["nonsense", "host:0", "host:99999", ":80", "host:x"])
def test_a_wrong_witness_is_said_before_anything_is_claimed(intctl: Intctl, text: str) -> None:
    """A witness that is not host:port is a usage error."""
    nowhere(intctl, 1)
    for words in (("agent", "--once"), ("check", "n0")):
        assert "INTCTL_WITNESS" in intctl(*words, code=2, INTCTL_WITNESS=text).err
    assert intctl("agent", "--once").out == "checked 1: 1 down\n"
