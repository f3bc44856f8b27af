"""The TCP probe against real listeners."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from intctl.health.outcome import Outcome
from intctl.probes.guard import AddressPolicy
from intctl.probes.network import Network
from intctl.probes.run import run_probe
from intctl.probes.spec import TcpProbe
from intctl.sandbox import Sandbox


def check(probe: TcpProbe) -> Outcome:
    return asyncio.run(run_probe(probe, Network(AddressPolicy.parse()), deadline_s=10))


def test_open_port_is_healthy_and_nothing_is_said() -> None:
    """A connection is proof enough without TLS, and not one byte is sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        outcome = check(TcpProbe("127.0.0.1", server.getsockname()[1], "none"))
        server.settimeout(10)
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(10)
            try:
                said = accepted.recv(100)
            except ConnectionResetError:
                said = b""
    assert (outcome.code, outcome.verdict, said) == ("ok", "healthy", b"")
    assert set(outcome.phases_ms) == {"dns", "tcp"}


def test_closed_port_is_down() -> None:
    """A port without a listener is refused, with TLS and without."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert check(TcpProbe("127.0.0.1", port, "none")).code == "connect.refused"
    assert check(TcpProbe("127.0.0.1", port, "tls")).code == "connect.refused"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as made:
        yield made


def test_tls_is_verified(box: Sandbox) -> None:
    """A handshake with a valid certificate is healthy and records its expiry; an untrusted one is not."""
    port = box.ports["http"]
    good = check(TcpProbe("127.0.0.1", port, "tls", ca_file=str(box.ca_file)))
    assert good.code == "ok" and "tls" in good.phases_ms
    assert "certificate_not_after" in good.facts
    assert check(TcpProbe("127.0.0.1", port, "tls")).code == "tls.untrusted"


def test_plain_port_does_not_pass_for_tls(box: Sandbox) -> None:
    """A plaintext mail server is no TLS service."""
    assert check(TcpProbe("127.0.0.1", box.ports["starttls"], "tls")).code == "tls.not_spoken"


def test_missing_authority_is_our_fault(tmp_path: Path) -> None:
    """A missing ca_file is never the service's fault."""
    assert check(TcpProbe("127.0.0.1", 1, "tls", ca_file=str(tmp_path / "none.pem"))).code == "self.ca_file"
