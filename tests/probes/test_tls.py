"""TLS: authorities, client certificates, and files left on disk."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID

from intctl.probes import tls
from intctl.probes.spec import Bearer, ClientCertificate, HttpProbe
from intctl.probes.trace import ProbeFailed, Trace
from intctl.text import Secret
from tests.agent_rig import until
from tests.probes import check
from tests.servers import Answer, Authority, authority, blocking_tls_server, http_server, in_days

TOKEN = Bearer(Secret("tok-geheim"))


def test_one_context_for_one_set_of_authorities(ca: Authority, tmp_path: Path) -> None:
    """A context is made once per process and CA file, and again when the file was renewed."""
    file = tmp_path / "ca.pem"
    file.write_bytes(Path(ca.file).read_bytes())
    first = tls.context(str(file))
    assert tls.context(str(file)) is first
    assert tls.context(None) is tls.context(None)
    os.utime(file, ns=(1, 1))
    assert tls.context(str(file)) is not first
    assert first.minimum_version == ssl.TLSVersion.TLSv1_2
    assert first.verify_mode == ssl.CERT_REQUIRED and first.check_hostname


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\x00"])
def test_a_ca_file_that_cannot_be_used_is_our_fault(tmp_path: Path, content: bytes | None) -> None:
    """A missing or wrong ca_file is unknown, and no connection is made."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    outcome = check(HttpProbe("https://127.0.0.1:1/", TOKEN, ca_file=str(file)))
    assert (outcome.code, outcome.verdict, outcome.phase) == ("self.ca_file", "unknown", "")


_ENVIRONMENT = """
import asyncio, sys
from intctl.probes.run import *
from intctl.probes.spec import HttpProbe
print(asyncio.run(run_probe(HttpProbe(sys.argv[1], None), Network(), deadline_s=5)).code, "certifi" in sys.modules)
"""


def _in_environment(url: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _ENVIRONMENT, url],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_the_systems_own_variables_are_honoured(ca: Authority, tmp_path: Path) -> None:
    """SSL_CERT_FILE and SSL_CERT_DIR name the trusted authorities; nothing else is trusted then."""
    hashed = tmp_path / "hashed"
    hashed.mkdir()
    with http_server({"/": Answer(200, {})}, ca) as server:
        assert _in_environment(server.url + "/", SSL_CERT_FILE=ca.file).startswith("ok")
        assert _in_environment(server.url + "/").startswith("tls.untrusted")
        assert _in_environment(server.url + "/", SSL_CERT_FILE="/nonexistent", SSL_CERT_DIR=str(hashed)).startswith(
            "self.no_authorities"
        )


def test_a_client_certificate_is_shown(ca: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutual TLS works with PEM text from the config, and leaves nothing on disk."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    certificate, key = ca.client_certificate()
    with http_server({"/": Answer(200, {})}, context=ca.server_context(client_authority=ca)) as server:
        probe = HttpProbe(
            server.url + "/", TOKEN, ca_file=ca.file, client_certificate=ClientCertificate(certificate, Secret(key))
        )
        assert check(probe).code == "ok"
    assert list(tmp_path.iterdir()) == []


def test_no_plain_key_touches_the_disk(ca: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key file for OpenSSL is encrypted, in a file and a folder that only this user can read."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    certificate, key = ca.client_certificate()
    seen: list[tuple[str, int, int]] = []

    real = ssl.SSLContext.load_cert_chain

    def watching(context: ssl.SSLContext, certfile: Any, keyfile: Any = None, password: Any = None) -> None:
        file = Path(certfile)
        seen.append((file.read_text(), file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777))
        real(context, certfile, keyfile, password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watching)
    old = os.umask(0)
    try:
        tls.context(ca.file, ClientCertificate(certificate, Secret(key)))
    finally:
        os.umask(old)
    ((text, file_mode, folder_mode),) = seen
    assert "BEGIN ENCRYPTED PRIVATE KEY" in text
    assert not any(line in text for line in key.splitlines()[1:-1])
    assert (file_mode, folder_mode) == (0o600, 0o700)


@pytest.mark.parametrize("broken", ["certificate", "key", "pair", "passphrase"])
def test_a_wrong_client_certificate_is_told_before_any_connection(ca: Authority, broken: str) -> None:
    """A pair that cannot be loaded is misconfigured, in intctl's words, without a byte of the key."""
    certificate, key = ca.client_certificate()
    if broken == "certificate":
        certificate = "no certificate"
    elif broken == "key":
        key = "no key geheim"
    elif broken == "pair":
        key = ca.client_certificate()[1]
    else:
        key = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
    with pytest.raises(ProbeFailed) as caught:
        tls.context(ca.file, ClientCertificate(certificate, Secret(key)))
    assert caught.value.code == "tls.client_certificate"
    assert "geheim" not in caught.value.detail


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_wants_a_client_certificate(ca: Authority, version: ssl.TLSVersion) -> None:
    """Without a certificate, or with one of another authority, the server's alert is recognised."""
    context = ca.server_context(client_authority=ca)
    context.maximum_version = version
    with authority() as other, blocking_tls_server(context) as port:
        certificate, key = other.client_certificate()
        shown = ClientCertificate(certificate, Secret(key))
        for client_certificate in (None, shown):
            probe = HttpProbe(
                f"https://127.0.0.1:{port}/", TOKEN, ca_file=ca.file, client_certificate=client_certificate
            )
            outcome = check(probe)
            told = "tls.client_certificate"
            if client_certificate is None and version == ssl.TLSVersion.TLSv1_2:
                told = "tls.handshake_failed"  # this version of TLS has no more specific alert
            assert (outcome.code, outcome.phase) == (told, "tls" if version == ssl.TLSVersion.TLSv1_2 else "api")


STARVED = """
import os, resource, ssl
from intctl.probes import tls
error = ssl.SSLCertVerificationError()
error.verify_code = 20
print(tls.fault(error).code)
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
try:
    while True:
        os.open(os.devnull, os.O_RDONLY)
except OSError:
    pass
print(tls.fault(error).code)
"""


def test_authorities_that_could_not_be_opened_are_no_fault_of_the_certificate() -> None:
    """A handshake without a free descriptor, to which the folder looks empty, is not the server's fault."""
    said = subprocess.run([sys.executable, "-c", STARVED], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert said.split() == ["tls.untrusted", "self.no_descriptors"]


@pytest.mark.parametrize(
    "odd", [b"\xa3\x00", b"\xa5\x05\xa1\x03\x0c\x01a", b"\x87\x03\x01\x02\x03"], ids=["x400", "edi", "ip"]
)
def test_names_that_cannot_be_read_hide_no_date(odd: bytes) -> None:
    """Parts that OpenSSL accepts and cryptography cannot parse are omitted; the dates of the certificate count."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Odd Authority")])
    names = b"\x82\x09localhost" + odd
    extension = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30" + bytes([len(names)]) + names)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(in_days(-1))
        .not_valid_after(in_days(3))
        .add_extension(extension, False)
        .sign(key, hashes.SHA256())
    )
    trace = Trace()
    chain: Any = SimpleNamespace(get_unverified_chain=lambda: [made.public_bytes(Encoding.DER)])
    found = tls.note_refused(chain, time.time(), trace, ProbeFailed("tls.wrong_host"))
    assert found.detail == "it is valid for no name"
    assert trace.facts["certificate_issuer"] == "Odd Authority"
    assert tls.days_left(trace, time.time()) == 2


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here to shake hands again")
def test_a_server_that_shakes_hands_again(ca: Authority, tmp_path: Path) -> None:
    """A TLS 1.2 renegotiation after the request, as for a client's certificate, succeeds."""
    chain, key = ca.client_certificate("127.0.0.1")
    pem = tmp_path / "server.pem"
    pem.write_text(chain + key)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(pem), "-key", str(pem)]
    argv += ["-crlf", "-tls1_2", "-msg"]
    server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert server.stdin is not None and server.stdout is not None

    def drive(stdin: IO[bytes], stdout: IO[bytes]) -> None:
        asked = False
        for line in stdout:
            if b"Authorization" in line:
                asked = True
                stdin.write(b"r\n")  # OpenSSL's command for it
                stdin.flush()
            elif asked and b", ClientHello" in line:  # the second one: now it answers
                stdin.write(b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}\n")
                stdin.flush()

    driver = threading.Thread(target=drive, args=(server.stdin, server.stdout))
    driver.start()
    try:
        until(lambda: _listens(port), "the server")
        probe = HttpProbe(f"https://127.0.0.1:{port}/", Bearer(Secret("tok-geheim-123")), ca_file=ca.file)
        outcome = check(probe, deadline_s=8)
    finally:
        server.kill()
        server.wait()
        driver.join()
        server.stdin.close()
        server.stdout.close()
    assert (outcome.code, outcome.facts["tls_version"]) == ("ok", "TLSv1.2")
