"""The certificate of a chain that is at fault is named, with its own dates; and weak keys are not called old TLS."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from intctl.health.outcome import Outcome
from intctl.probes.spec import Bearer, HttpProbe, SmtpProbe
from intctl.text import Secret
from tests.probes import check
from tests.servers import Answer, http_server, smtp_server

NOW = datetime.now(UTC)
KEYS = {size: rsa.generate_private_key(65537, size) for size in (1024, 2048)}
YEAR = (NOW - timedelta(days=1), NOW + timedelta(days=365))


class Made(NamedTuple):
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


def make(name: str, parent: Made | None, dates: tuple[datetime, datetime] = YEAR, size: int = 2048) -> Made:
    """A certificate; an authority's unless it is for localhost."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    key = KEYS[size] if size != 2048 else rsa.generate_private_key(65537, 2048)
    is_leaf = name == "localhost"
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(parent.certificate.subject if parent else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dates[0])
        .not_valid_after(dates[1])
        .add_extension(x509.BasicConstraints(not is_leaf, None), critical=True)
    )
    if is_leaf:
        built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return Made(built.sign(parent.key if parent else key, hashes.SHA256()), key)


def serving(folder: Path, leaf: Made, *rest: Made) -> ssl.SSLContext:
    """A server's context with a chain, whatever is wrong with it."""
    path = folder / "server.pem"
    form = serialization.PrivateFormat.PKCS8
    parts = [leaf.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())]
    parts += [one.certificate.public_bytes(serialization.Encoding.PEM) for one in (leaf, *rest)]
    path.write_bytes(b"".join(parts))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(path)
    return context


class Chain:
    """A private authority, and the verdicts on servers with certificates of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = make("Root", None)
        self.file = str(folder / "root.pem")
        Path(self.file).write_bytes(self.root.certificate.public_bytes(serialization.Encoding.PEM))

    def http(self, leaf: Made, *rest: Made) -> Outcome:
        with http_server({"/": Answer(200, {})}, context=serving(self.folder, leaf, *rest)) as server:
            probe = HttpProbe(f"https://localhost:{server.port}/", Bearer(Secret("geheim-123")), ca_file=self.file)
            return check(probe)

    def smtp(self, leaf: Made, *rest: Made) -> Outcome:
        context = serving(self.folder, leaf, *rest)
        with smtp_server(security="starttls", users={"user": "geheim-123"}, context=context) as server:
            return check(SmtpProbe("localhost", server.port, "starttls", "user", Secret("geheim-123"), self.file))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return Chain(tmp_path_factory.mktemp("chain"))


def days(first: float, last: float) -> tuple[datetime, datetime]:
    return NOW + timedelta(days=first), NOW + timedelta(days=last)


@pytest.mark.case("F16")
@pytest.mark.parametrize("speak", ["http", "smtp"])
def test_an_intermediate_that_expired_is_named(chain: Chain, speak: str) -> None:
    """The date of the server's own certificate, in the future, is no evidence of its end."""
    between = make("Between", chain.root, days(-30, -3))
    outcome = getattr(chain, speak)(make("localhost", between), between)
    ended = f"{NOW - timedelta(days=3):%Y-%m-%d}"
    assert (outcome.code, outcome.detail) == ("tls.expired", f"the certificate Between in its chain expired on {ended}")
    assert outcome.facts["certificate_not_after"].startswith(ended)
    assert outcome.facts["certificate_ends_first"] == "Between"


@pytest.mark.case("F16")
@pytest.mark.parametrize("speak", ["http", "smtp"])
def test_the_first_end_of_the_chain_counts(chain: Chain, speak: str) -> None:
    """An intermediate that ends in five days is a warning."""
    between = make("Between", chain.root, days(-30, 5.1))
    outcome = getattr(chain, speak)(make("localhost", between), between)
    until = f"{NOW + timedelta(days=5.1):%Y-%m-%d}"
    assert outcome.code == "tls.expires_soon"
    assert outcome.detail == f"in 5 days, on {until}: the certificate Between in its chain"
    leaf = make("localhost", chain.root, days(-1, 5.1))
    assert getattr(chain, speak)(leaf).detail == f"in 5 days, on {until}"


@pytest.mark.case("F16")
@pytest.mark.parametrize(
    ("leaf", "between", "code", "words"),
    [
        ((-9, -2), (-30, 300), "tls.expired", "it expired on"),
        ((-9, -2), (-30, -1), "tls.expired", "it expired on"),
        ((-1, 90), (2, 300), "tls.not_yet_valid", "the certificate Between in its chain is valid from"),
        ((2, 90), (-1, 300), "tls.not_yet_valid", "it is valid from"),
    ],
)
def test_whose_dates_are_told(
    chain: Chain, leaf: tuple[float, float], between: tuple[float, float], code: str, words: str
) -> None:
    """The server's own certificate if it is at fault, else the one of its chain."""
    middle = make("Between", chain.root, days(*between))
    outcome = chain.http(make("localhost", middle, days(*leaf)), middle)
    assert (outcome.code, outcome.detail.startswith(words)) == (code, True)


@pytest.mark.case("F17")
@pytest.mark.case("real F10")
def test_a_weak_key_is_not_old_tls(chain: Chain) -> None:
    """The server speaks TLS 1.3; its key of 1,024 bits is the finding, or that of an authority in its chain."""
    outcome = chain.http(make("localhost", chain.root, size=1024))
    assert (outcome.code, outcome.verdict) == ("tls.weak", "down")
    assert outcome.detail == "it has an RSA key of 1024 bits"
    between = make("Between", chain.root, size=1024)
    outcome = chain.smtp(make("localhost", between), between)
    assert outcome.code == "tls.weak"
    assert outcome.detail == "the certificate Between in its chain has an RSA key of 1024 bits"


@pytest.mark.case("F17")
@pytest.mark.case("real F10")
@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        ("DH_KEY_TOO_SMALL", "tls.weak", "Diffie-Hellman"),
        ("CA_MD_TOO_WEAK", "tls.weak", "signature"),
        ("EE_KEY_TOO_SMALL", "tls.weak", "key"),
        ("UNSUPPORTED_PROTOCOL", "tls.too_old", ""),
        ("TLSV1_ALERT_INSUFFICIENT_SECURITY", "tls.handshake_failed", "insufficient security"),
    ],
)
def test_openssls_reasons(error: str, code: str, words: str) -> None:
    """Each reason that OpenSSL gives has the code of its kind."""
    from intctl.probes import tls

    raised: Any = ssl.SSLError(1, error)
    raised.reason = error
    found = tls.fault(raised)
    assert (found.code, words in found.detail) == (code, True)
