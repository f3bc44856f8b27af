"""TLS: authorities, client certificates, and what is left on disk."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from intctl.probes import tls
from intctl.probes.ask import Bearer, ClientCertificate, HttpProbe
from intctl.probes.trace import Fault
from intctl.text import Secret
from tests.probes import check
from tests.servers import Answer, Authority, authority, blocking_tls_server, http_server

TOKEN = Bearer(Secret("tok-geheim"))


def test_one_context_for_one_set_of_authorities(ca: Authority, tmp_path: Path) -> None:
    """A context is made once a process and CA file, and anew when the file was renewed."""
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
from intctl.probes.ask import HttpProbe
print(asyncio.run(probe(HttpProbe(sys.argv[1], None), Network(), deadline_s=5)).code, "certifi" in sys.modules)
"""


def _in_environment(url: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _ENVIRONMENT, url],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
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
        ask = HttpProbe(
            server.url + "/", TOKEN, ca_file=ca.file, client_certificate=ClientCertificate(certificate, Secret(key))
        )
        assert check(ask).code == "ok"
    assert list(tmp_path.iterdir()) == []


def test_no_plain_key_touches_the_disk(ca: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenSSL is given to read is encrypted, in a file and a folder that are ours alone."""
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
    """What can't be loaded is misconfigured, in our words, without a byte of the key."""
    certificate, key = ca.client_certificate()
    if broken == "certificate":
        certificate = "no certificate"
    elif broken == "key":
        key = "no key geheim"
    elif broken == "pair":
        key = ca.client_certificate()[1]
    else:
        key = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
    with pytest.raises(Fault) as caught:
        tls.context(ca.file, ClientCertificate(certificate, Secret(key)))
    assert caught.value.code == "tls.client_certificate"
    assert "geheim" not in caught.value.detail


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_wants_a_client_certificate(ca: Authority, version: ssl.TLSVersion) -> None:
    """Without one, or with one of another authority, the server's alert is understood."""
    context = ca.server_context(client_authority=ca)
    context.maximum_version = version
    with authority() as other, blocking_tls_server(context) as port:
        certificate, key = other.client_certificate()
        shown = ClientCertificate(certificate, Secret(key))
        for client_certificate in (None, shown):
            ask = HttpProbe(f"https://127.0.0.1:{port}/", TOKEN, ca_file=ca.file, client_certificate=client_certificate)
            outcome = check(ask)
            told = "tls.client_certificate"
            if client_certificate is None and version == ssl.TLSVersion.TLSv1_2:
                told = "tls.handshake_failed"  # all that this version of TLS lets a server say
            assert (outcome.code, outcome.phase) == (told, "tls" if version == ssl.TLSVersion.TLSv1_2 else "api")
