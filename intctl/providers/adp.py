"""ADP."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import ClientCertificate, HttpProbe
from intctl.providers.base import CLIENT, Field, Provider, client_credentials, secret_of, text_of


class Adp(Provider):
    """ADP's APIs: OAuth client credentials over mutual TLS.

    Token endpoint `https://accounts.adp.com/auth/oauth/v2/token`, fields, and the certificate on
    the token call (as Nango does). The exchange proves certificate and client; API calls would send
    the certificate too (third-party sources). Without a valid certificate the TLS handshake fails,
    with no HTTP status (third-party sources); a wrong client is 401 invalid_client, and tokens last
    3600 s (general knowledge). Client id and secret go in the form (not confirmed).
    """

    name = "adp"
    title = "ADP"
    type = "payroll"
    speaks = "oauth"
    proof = "OAuth token exchange with the client certificate"
    scopes = "none for the token; API products and consents are ADP's"
    cost = "1 token call, at most once an hour"
    docs = "https://developers.adp.com"
    confidence = "in use"
    fields = (
        *CLIENT,
        Field("client_certificate", "Client certificate, PEM", kind="pem", required=True),
        Field(
            "client_private_key",
            "Private key of the client certificate, PEM, without passphrase",
            kind="pem",
            secret=True,
            required=True,
        ),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            "",
            client_credentials(config, "https://accounts.adp.com/auth/oauth/v2/token"),
            client_certificate=ClientCertificate(
                text_of(config, "client_certificate"), secret_of(config, "client_private_key")
            ),
        )
