"""The proxies of this machine, and which requests go through them.

The variables are those of curl: HTTPS_PROXY, ALL_PROXY and NO_PROXY in either case, http_proxy in lower case only,
because a CGI script gets HTTP_PROXY from the client (httpoxy, CVE-2016-5385).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from intctl.errors import UsageError
from intctl.text import Secret


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. `credential` is `user:password` for Basic."""

    host: str
    port: int
    credential: Secret | None = None

    @property
    def name(self) -> str:
        """The proxy without its credential, as it is shown."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The header of its credential."""
        if self.credential is None:
            return []
        return [(b"Proxy-Authorization", b"Basic " + b64encode(self.credential.reveal().encode()))]


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies of this machine, and the hosts that are contacted directly."""

    https: Proxy | None = None
    http: Proxy | None = None
    direct: tuple[str, ...] = ()

    @classmethod
    def parse(cls, environ: Mapping[str, str]) -> Proxies:
        """Read the variables. Raises UsageError, which names the variable and shows no value."""

        def given(*names: str) -> Proxy | None:
            return next((_proxy(name, environ[name]) for name in names if environ.get(name)), None)

        everything = given("all_proxy", "ALL_PROXY")
        no_proxy = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
        return cls(
            given("https_proxy", "HTTPS_PROXY") or everything,
            given("http_proxy") or everything,
            tuple(word.strip().lower() for word in no_proxy.replace(" ", ",").split(",") if word.strip()),
        )

    def way(self, host: str, port: int, *, secure: bool) -> Proxy | None:
        """Return the proxy for a server, or None for a direct connection. Loopback is always direct."""
        found = self.https if secure else self.http
        if found is None or _is_loopback(host) or any(_matches(rule, host.lower(), port) for rule in self.direct):
            return None
        return found


NO_PROXIES = Proxies()


def _proxy(variable: str, text: str) -> Proxy:
    wrong = UsageError(f"{variable} is not the address of an HTTP proxy, such as http://proxy.example.com:3128")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port or 3128
    except ValueError:
        raise wrong from None
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise wrong
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return Proxy(parts.hostname, port, Secret(user) if parts.username or parts.password else None)


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _matches(rule: str, host: str, port: int) -> bool:
    """Whether a word of NO_PROXY covers a server: `*`, a name and those below it, an address or network, or a port."""
    if rule == "*":
        return True
    try:
        return ip_address(host.strip("[]")) in ip_network(rule.strip("[]"), strict=False)
    except ValueError:
        pass
    name, colon, number = rule.rpartition(":")
    if colon and number.isdecimal() and (name.endswith("]") or ":" not in name):
        return int(number) == port and _matches(name, host, port)
    bare = rule.removeprefix("*").lstrip(".")
    return bool(bare) and (host == bare or host.endswith(f".{bare}"))
