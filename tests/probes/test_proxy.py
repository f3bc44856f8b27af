"""A proxy on the way: by CONNECT, or in absolute form where a config allows unencrypted requests."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from intctl.errors import UsageError
from intctl.health.outcome import Outcome
from intctl.probes.guard import AddressPolicy
from intctl.probes.proxies import Proxies
from intctl.probes.spec import Bearer, ClientCredentials, HttpProbe, SmtpProbe
from intctl.text import Secret
from tests.probes import check
from tests.servers import Answer, Authority, RawServer, http_server, raw_server

HOST = "api.provider.example"
TOKEN = Secret("tok-geheim-123")


class TestProxy:
    """A proxy that knows where the names lead. `seen` are the heads that it got."""

    __test__ = False

    def __init__(self, routes: dict[str, int], answer: bytes = b"", login: str = "") -> None:
        self.routes, self.answer, self.login = routes, answer, login
        self.seen: list[bytes] = []
        self.server: RawServer

    async def serve(self, reader: Any, writer: Any, server: RawServer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.seen.append(head)
        if self.answer:
            writer.write(self.answer)
            await asyncio.sleep(0 if self.answer != b" " else 20)
            return
        wanted = b"Basic " + base64.b64encode(self.login.encode())
        if self.login and wanted not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
            return
        method, target, _ = head.split(b" ", 2)
        if method != b"CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b'{"ok":true}')
            return
        name = target.decode().rpartition(":")[0].strip("[]")
        if name not in self.routes:
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.routes[name])
        server.transports.append(back.transport)
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")

        async def copy(source: Any, sink: Any) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        try:
            await asyncio.gather(copy(reader, back), copy(there, writer))
        finally:
            back.close()

    def policy(self, credential: str = "", **more: str) -> AddressPolicy:
        environ = {"HTTPS_PROXY": f"http://{credential}127.0.0.1:{self.server.port}", **more}
        return replace(AddressPolicy(), proxies=Proxies.parse(environ))


@contextmanager
def proxy(routes: dict[str, int], answer: bytes = b"", login: str = "") -> Iterator[TestProxy]:
    made = TestProxy(routes, answer, login)
    with raw_server(made.serve) as made.server:
        yield made


def ask(made: TestProxy, ca: Authority, policy: AddressPolicy | None = None, **changes: Any) -> Outcome:
    probe = replace(HttpProbe(f"https://{HOST}/me", Bearer(TOKEN), ca_file=ca.file), **changes)
    return check(probe, network={"policy": policy or made.policy()}, deadline_s=8)


@pytest.mark.case("F11")
def test_a_request_goes_through_the_proxy_and_tls_stays_end_to_end(ca: Authority) -> None:
    """Nothing is looked up for the server; the proxy sees its name, and neither request nor credential."""
    context = ca.server_context(HOST)
    with http_server({"/me": Answer(200, {})}, context=context) as server, proxy({HOST: server.port}) as made:
        found = ask(made, ca)
        assert bytes(made.seen[0]).startswith(b"CONNECT api.provider.example:443 HTTP/1.1\r\nHost: api.provider.ex")
        assert b"geheim" not in b"".join(made.seen)
        via = f"127.0.0.1:{made.server.port}"
    assert (found.code, found.facts["via"]) == ("ok", via)
    assert list(found.phases_ms) == ["dns", "tcp", "proxy", "tls", "api"]
    assert "host" not in found.facts


@pytest.mark.case("F11")
def test_a_token_endpoint_is_asked_through_it_too(ca: Authority) -> None:
    """Both requests of an OAuth check."""
    routes = {"/me": Answer(200, {}), "/token": Answer(200, {"access_token": "at", "expires_in": 60})}
    with http_server(routes, context=ca.server_context(HOST)) as server, proxy({HOST: server.port}) as made:
        grant = ClientCredentials(f"https://{HOST}/token", "c", Secret("geheim-456"))
        assert ask(made, ca, auth=grant).code == "ok"
        assert len(made.seen) == 2


@pytest.mark.case("F11")
def test_the_proxys_login(ca: Authority) -> None:
    """With the right one it works; with a wrong one or none the proxy is to blame, and nothing is shown."""
    context, login = ca.server_context(HOST), "us er:pass-geheim"
    with (
        http_server({"/me": Answer(200, {})}, context=context) as server,
        proxy({HOST: server.port}, login=login) as made,
    ):
        assert ask(made, ca, made.policy("us%20er:pass-geheim@")).code == "ok"
        for credential in ("", "us%20er:wrong-geheim@"):
            found = ask(made, ca, made.policy(credential))
            assert (found.code, found.verdict, found.phase) == ("proxy.auth", "unknown", "proxy")
            assert "geheim" not in repr(found) + repr(made.policy(credential))


@pytest.mark.case("F11")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP 403 to CONNECT"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nhello", "HTTP 502 to CONNECT"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n", "HTTP 302 to CONNECT"),
        (b"220 mail.example ESMTP\r\n", "protocol.error"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 401 no\r\n\r\n", "HTTP 200 to CONNECT"),
        (b" ", ""),
        (b"HTTP/1.1", "connection.closed"),
    ],
)
def test_a_proxy_that_gives_no_connection_blames_no_provider(ca: Authority, answer: bytes, words: str) -> None:
    """Whatever it says, or nothing: unknown, and ours."""
    with proxy({}, answer) as made:
        found = ask(made, ca)
    assert (found.code, found.verdict) == ("proxy.refused", "unknown")
    assert words in found.detail


@pytest.mark.case("F11")
def test_a_proxy_that_is_not_there(ca: Authority) -> None:
    """A refused connection to the proxy is not the provider's."""
    with proxy({}) as made:
        policy = made.policy()
    found = check(HttpProbe(f"https://{HOST}/me", Bearer(TOKEN), ca_file=ca.file), network={"policy": policy})
    assert (found.code, "Nothing listens" in found.detail) == ("proxy.refused", True)


@pytest.mark.case("F11")
def test_unencrypted_requests(ca: Authority) -> None:
    """Never through a proxy, unless the config allows them and http_proxy is set: then in absolute form."""
    with proxy({}) as made:
        url = f"http://127.0.0.1:{made.server.port}"
        policy = replace(AddressPolicy(), proxies=Proxies.parse({"http_proxy": url}))
        probe = HttpProbe("http://api.provider.example/me?a=b", Bearer(TOKEN), allow_plain_http=True)
        assert check(probe, network={"policy": policy}).code == "ok"
        assert made.seen[0].startswith(b"GET http://api.provider.example/me?a=b HTTP/1.1\r\nHost: api.provider.example")
        seen = len(made.seen)
        closed = check(replace(probe, allow_plain_http=False), network={"policy": policy})
        assert closed.code != "ok"
        for environ in ({"HTTP_PROXY": url}, {"HTTPS_PROXY": url}):
            other = replace(AddressPolicy(), proxies=Proxies.parse(environ))
            assert check(probe, network={"policy": other}).code != "ok"
        assert len(made.seen) == seen


@pytest.mark.case("F11")
def test_mail_takes_no_proxy_of_the_environment(ca: Authority) -> None:
    """An HTTP proxy is not meant for port 25 or 587."""
    with proxy({}) as made:
        found = check(SmtpProbe(HOST, 587, "starttls", "u", Secret("geheim-789")), network={"policy": made.policy()})
        assert made.seen == []
    assert found.code.startswith("dns.")


@pytest.mark.case("F11")
@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://169.254.169.254/me", "blocked.address"),
        ("https://[fd00:ec2::254]/me", "blocked.address"),
        ("https://metadata.google.internal/me", "blocked.address"),
    ],
)
def test_a_target_is_judged_before_it_is_named_to_the_proxy(ca: Authority, url: str, code: str) -> None:
    """Metadata addresses and names; and any name while networks are denied."""
    with proxy({}) as made:
        assert ask(made, ca, url=url).code == code
        denying = replace(made.policy(), deny=AddressPolicy.parse("10.0.0.0/8").deny)
        assert ask(made, ca, denying).code == "self.proxy_policy"
        assert ask(made, ca, denying, url="https://10.1.2.3/me").code == "self.denied_address"
        assert ask(made, ca, replace(made.policy(), deny=AddressPolicy.parse("loopback").deny)).verdict == "unknown"
        assert made.seen == []


WAYS = [
    ("", "api.example.com", 443, True),
    ("*", "api.example.com", 443, False),
    ("example.com", "api.example.com", 443, False),
    (".example.com", "api.example.com", 443, False),
    ("*.example.com", "api.example.com", 443, False),
    ("EXAMPLE.com", "api.Example.com", 443, False),
    ("ample.com", "api.example.com", 443, True),
    ("other.com, example.com", "example.com", 443, False),
    ("other.com example.com", "example.com", 443, False),
    ("example.com:8443", "api.example.com", 443, True),
    ("example.com:8443", "api.example.com", 8443, False),
    ("10.0.0.0/8", "10.2.3.4", 443, False),
    ("10.0.0.0/8", "11.2.3.4", 443, True),
    ("10.2.3.4", "10.2.3.4", 443, False),
    ("10.2.3.4:443", "10.2.3.4", 443, False),
    ("fd00::/8", "fd00::1", 443, False),
    ("[fd00::1]:443", "fd00::1", 443, False),
    ("", "localhost", 443, False),
    ("", "a.localhost", 443, False),
    ("", "127.0.0.1", 443, False),
    ("", "::1", 443, False),
]


@pytest.mark.case("F11")
@pytest.mark.parametrize(("no_proxy", "host", "port", "through"), WAYS)
def test_no_proxy(no_proxy: str, host: str, port: int, through: bool) -> None:
    """Suffix, address, network, port and everything; loopback is always direct."""
    found = Proxies.parse({"https_proxy": "proxy:3128", "NO_PROXY": no_proxy})
    assert (found.way(host, port, secure=True) is not None) is through


@pytest.mark.case("F11")
def test_the_variables() -> None:
    """ALL_PROXY fills in; HTTP_PROXY in upper case is a client's header in a CGI script."""
    assert Proxies.parse({"HTTP_PROXY": "http://a:1"}) == Proxies()
    found = Proxies.parse({"ALL_PROXY": "http://a:1", "HTTPS_PROXY": "b"})
    assert (found.https and found.https.name, found.http and found.http.name) == ("b:3128", "a:1")
    for wrong in ("socks5://a:1", "https://a:1", "http://", "http://a:b", "http://user:geheim@/", "http://a/x?y"):
        with pytest.raises(UsageError, match="HTTPS_PROXY") as caught:
            Proxies.parse({"HTTPS_PROXY": wrong})
        assert "geheim" not in str(caught.value)
