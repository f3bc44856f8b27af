"""ADP."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import ClientCertificate, ClientCredentials, HttpProbe
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of


class Adp(Provider):
    """ADP's APIs: OAuth client credentials over mutual TLS.

    Token endpoint `https://accounts.adp.com/auth/oauth/v2/token`, fields, and the certificate on
    the token call (as Nango does). The exchange proves certificate and client; API calls would show
    the certificate too (third-party sources). Without a good certificate the TLS handshake fails,
    with no HTTP status (third-party sources); a wrong client is 401 invalid_client, and tokens live
    3600 s (general knowledge). Client id and secret go in the form (not confirmed).
    """

    name = "adp"
    title = "ADP"
    type = "payroll"
    speaks = "oauth"
    proof = "OAuth token exchange with the client certificate"
    fields = (
        Field("client_id", "Client id", required=True),
        Field("client_secret", "Client secret", secret=True, required=True),
        Field("client_certificate", "Client certificate, PEM", kind="pem", required=True),
        Field("client_private_key", "Private key of the client certificate, PEM, without passphrase", kind="pem",
              secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            url="",
            auth=ClientCredentials(
                asked(config, "https://accounts.adp.com/auth/oauth/v2/token"),
                text_of(config, "client_id"), secret_of(config, "client_secret"),
            ),
            client_certificate=ClientCertificate(
                text_of(config, "client_certificate"), secret_of(config, "client_private_key")
            ),
            ca_file=text_of(config, "ca_file") or None,
        )
