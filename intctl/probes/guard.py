"""The addresses that may be contacted. Metadata services and the like are refused in every notation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from intctl.errors import UsageError
from intctl.probes.proxies import NO_PROXIES, Proxies

Address = IPv4Address | IPv6Address
NetworkRange = IPv4Network | IPv6Network

# Sources of the metadata addresses: AWS, "Use IMDS" and "EKS Pod Identity" (its services are in fd00:ec2::/32);
# Google Cloud, "Query VM metadata"; cloud-init's data sources of Scaleway and Oracle; Linode, "Metadata service";
# Azure, "What is IP address 168.63.129.16"; Alibaba Cloud, "Instance metadata".
#: Refused unless a network at least as narrow is allowed.
REFUSED: dict[NetworkRange, str] = {
    ip_network(text): why
    for text, why in {
        "0.0.0.0/8": "unspecified",
        "::/128": "unspecified",
        "169.254.0.0/16": "link-local or cloud metadata",
        "fe80::/10": "link-local",
        "fd00:ec2::/32": "cloud metadata",
        "fd20:ce::254/128": "cloud metadata",
        "fd00:42::42/128": "cloud metadata",
        "fd00:c1::a9fe:a9fe/128": "cloud metadata",
        "fd00:a9fe:a9fe::1/128": "cloud metadata",
        "168.63.129.16/32": "cloud metadata",
        "192.0.0.192/32": "cloud metadata",
        "100.100.100.200/32": "cloud metadata",
        "224.0.0.0/4": "multicast",
        "ff00::/8": "multicast",
        "255.255.255.255/32": "broadcast",
    }.items()
}

#: Names for networks in INTCTL_DENY_NETWORKS and INTCTL_ALLOW_NETWORKS.
WORDS: dict[str, tuple[NetworkRange, ...]] = {
    "loopback": (ip_network("127.0.0.0/8"), ip_network("::1/128")),
    "private": tuple(
        ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
    ),
}

#: Prefixes of translated addresses: NAT64 (RFC 6052, RFC 8215) and SIIT (RFC 2765).
_NAT64 = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"), ip_network("::ffff:0:0:0/96"))
#: The octets of the IPv4 address in an IPv6 address of the local NAT64 prefix, used as a /48.
_LOCAL_NAT64, _OCTETS_48 = ip_network("64:ff9b:1::/48"), (6, 7, 9, 10)
_COMPATIBLE = ip_network("::/96")


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """The addresses that may be contacted. Of the rules that match, the narrowest wins; on a tie, `allow`.

    `proxies` are this machine's: their own addresses are judged alike.
    """

    deny: tuple[NetworkRange, ...] = ()
    allow: tuple[NetworkRange, ...] = ()
    proxies: Proxies = NO_PROXIES

    @classmethod
    def parse(cls, deny: str = "", allow: str = "") -> AddressPolicy:
        """Parse the two variables: networks in CIDR form, `loopback` or `private`, comma separated.

        Raises UsageError.
        """
        return cls(tuple(_networks("INTCTL_DENY_NETWORKS", deny)), tuple(_networks("INTCTL_ALLOW_NETWORKS", allow)))

    def refusal(self, address: str) -> str | None:
        """Return why this address must not be contacted, or None."""
        return _refusal(self, address)

    def judge(self, outer: Address) -> str | None:
        """Return why this address or one embedded in it must not be contacted, or None."""
        for form in (outer, *_inside(outer)):
            why = self._refused(form)
            if why is not None:
                return why if form == outer else f"{why}, {form} inside"
        return None

    def is_own_rule(self, address: str) -> bool:
        """Whether a refused address is refused by this machine's INTCTL_DENY_NETWORKS alone."""
        return replace(self, deny=()).refusal(address) is None

    def _refused(self, address: Address) -> str | None:
        allowed = _narrowest(self.allow, address)
        built_in = _narrowest(REFUSED, address)
        if built_in > allowed:
            return next(why for net, why in REFUSED.items() if net.prefixlen == built_in and address in net)
        return "denied by INTCTL_DENY_NETWORKS" if _narrowest(self.deny, address) > allowed else None


@lru_cache(maxsize=4096)
def _refusal(policy: AddressPolicy, address: str) -> str | None:
    return policy.judge(ip_address(address))


@lru_cache(maxsize=4096)
def is_loopback(address: str) -> bool:
    """Whether the address is this machine, however it is written."""
    outer = ip_address(address)
    mapped = outer.ipv4_mapped if isinstance(outer, IPv6Address) else None
    return (mapped or outer).is_loopback


def _narrowest(networks: Iterable[NetworkRange], address: Address) -> int:
    """The longest prefix among the networks that contain the address, or -1."""
    return max((net.prefixlen for net in networks if address in net), default=-1)


def _inside(address: Address) -> Iterator[Address]:
    """The IPv4 addresses that an IPv6 address may lead to."""
    if not isinstance(address, IPv6Address):
        return
    number = int(address)
    low = IPv4Address(number & 0xFFFFFFFF)
    if address.scope_id is not None:
        yield IPv6Address(number)
    if address in _COMPATIBLE:
        if number > 0xFFFF:  # ::1 embeds no IPv4 address
            yield low
    elif address.ipv4_mapped is not None or any(address in net for net in _NAT64):
        yield low
        if address in _LOCAL_NAT64:
            yield IPv4Address(bytes(address.packed[i] for i in _OCTETS_48))
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
    elif (number >> 32) & 0xFDFFFFFF == 0x5EFE:  # ISATAP
        yield low


def _networks(variable: str, text: str) -> Iterator[NetworkRange]:
    for part in text.split(","):
        word = part.strip()
        if word.lower() in WORDS:
            yield from WORDS[word.lower()]
        elif word:
            try:
                yield ip_network(word)
            except ValueError:
                raise UsageError(
                    f'{variable}: "{word[:60]}" is not a network; use CIDR such as 10.0.0.0/8, loopback or private'
                ) from None
