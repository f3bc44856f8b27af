"""Any TCP service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

from intctl.probes.spec import TcpProbe
from intctl.providers.base import BASE_URL, Field, FieldProblem, Provider, text_of


class Tcp(Provider):
    """A service of your own choice that accepts connections: a broker, a directory, an LDAP or FTP server.

    It has no credential: healthy means that the port accepts connections, with a valid certificate
    if it uses TLS, and proves no login.
    """

    name = "tcp"
    title = "TCP service"
    type = "custom"
    proof = "A connection, and with security: tls a handshake; there is no credential and none is proven"
    scopes = "none: no credential"
    cost = "1 connection"
    limits = "the service's own"
    docs = "https://www.rfc-editor.org/rfc/rfc9293"
    confidence = "standard"
    fields = (
        Field("host", "Host to connect to", kind="host", required=True, destination=True, example="ldap.example.com"),
        Field("port", "Port to connect to", kind="port", required=True, minimum=1, maximum=65535, destination=True),
        Field(
            "security",
            "tls: make a TLS handshake and verify the certificate",
            kind="choice",
            choices=("tls", "none"),
            default="tls",
            destination=True,
        ),
        BASE_URL.replace(
            help="Connect here instead of host and port: tcp://host:port",
            choices=("tcp",),
            pattern=r"tcp://[^/?#]+:[0-9]+/?",
            example="tcp://localhost:6360",
        ),
    )

    def check(self, config: Mapping[str, object]) -> list[FieldProblem]:  # noqa: ARG002 -- a config without secrets
        return []

    def build_probe(self, config: Mapping[str, object]) -> TcpProbe:
        elsewhere = urlsplit(text_of(config, "base_url"))
        return TcpProbe(
            elsewhere.hostname or text_of(config, "host"),
            elsewhere.port or cast(int, config["port"]),
            "none" if config.get("security") == "none" else "tls",
        )
