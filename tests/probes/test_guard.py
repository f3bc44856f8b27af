"""The addresses that may be contacted."""

from __future__ import annotations

import pytest

from intctl.errors import UsageError
from intctl.probes.guard import AddressPolicy
from intctl.probes.spec import HttpProbe, SmtpProbe
from tests.probes import check
from tests.servers import Answer, http_server

REFUSED = [
    "169.254.169.254", "169.254.0.1", "fe80::1", "fd00:ec2::254", "168.63.129.16", "192.0.0.192", "100.100.100.200",
    "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "fd00:c1::a9fe:a9fe", "fd00:a9fe:a9fe::1",
    "224.0.0.1", "ff02::1", "0.0.0.0", "0.1.2.3", "::", "255.255.255.255",
    "::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::",
    "2001:0:4136:e378:8000:63bf:5601:5601", "2001:db8::5efe:169.254.169.254", "fe80::1%1",
]  # fmt: skip


@pytest.mark.case("security 13")
@pytest.mark.parametrize("address", REFUSED)
def test_metadata_and_the_like_are_refused_in_every_disguise(address: str) -> None:
    """An address of a metadata service, a group or nothing is refused, in every notation."""
    assert AddressPolicy().refusal(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "fd12::1", "8.8.8.8", "2606::1"])
def test_loopback_private_and_public_are_allowed_by_default(address: str) -> None:
    """A mail relay on this host or site is normal."""
    assert AddressPolicy().refusal(address) is None


@pytest.mark.parametrize(
    ("deny", "allow", "address", "refused"),
    [
        ("loopback", "", "127.0.0.1", True),
        ("loopback", "", "::1", True),
        ("loopback", "", "::ffff:127.0.0.1", True),
        ("loopback", "", "64:ff9b::7f00:1", True),
        ("loopback", "", "2002:7f00:1::", True),
        ("loopback", "", "10.0.0.1", False),
        ("private", "", "10.0.0.1", True),
        ("private", "", "fd12::1", True),
        ("Private , loopback", "", "127.0.0.1", True),
        ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", False),
        ("10.0.0.0/8", "10.1.0.0/16", "10.2.2.3", True),
        ("", "169.254.170.2/32", "169.254.170.2", False),
        ("", "169.254.0.0/16", "169.254.169.254", False),
        ("", "169.254.170.2/32", "169.254.169.254", True),
        ("", "private", "fd00:ec2::254", True),
        ("", "private", "100.100.100.200", True),
        ("0.0.0.0/0", "", "8.8.8.8", True),
    ],
)
def test_the_narrowest_rule_wins(deny: str, allow: str, address: str, refused: bool) -> None:
    """Deny refuses, allow permits, and of the rules that match an address the narrowest decides."""
    assert bool(AddressPolicy.parse(deny, allow).refusal(address)) is refused


@pytest.mark.parametrize("text", ["10.0.0.1/8", "localhost", "10.0.0.0/33", "privat"])
def test_a_wrong_network_is_a_usage_error(text: str) -> None:
    """An invalid value is refused with the variable's name: a typing error must not permit anything."""
    with pytest.raises(UsageError, match="INTCTL_DENY_NETWORKS"):
        AddressPolicy.parse(text, "")
    with pytest.raises(UsageError, match="INTCTL_ALLOW_NETWORKS"):
        AddressPolicy.parse("", text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"])
def test_no_packet_reaches_a_denied_address(host: str) -> None:
    """A denied loopback is not connected to, in any notation that the system accepts."""
    with http_server({"/": Answer()}) as server:
        probe = HttpProbe(f"http://{host}:{server.port}/", None)
        assert check(probe).code == "ok"
        outcome = check(probe, network={"policy": AddressPolicy.parse("loopback", "")})
        assert (outcome.code, outcome.phase, outcome.verdict) == ("self.denied_address", "dns", "unknown")
        assert len(server.requests) == 1


@pytest.mark.parametrize("host", ["169.254.169.254", "0", "::ffff:a9fe:a9fe", "2852039166"])
def test_a_refused_address_is_told_at_once(host: str) -> None:
    """A metadata address ends the probe before any connection, whatever the protocol."""
    outcome = check(SmtpProbe(host, 25, "none"))
    assert (outcome.code, outcome.phase) == ("blocked.address", "dns")
    assert "tcp" not in outcome.phases_ms
