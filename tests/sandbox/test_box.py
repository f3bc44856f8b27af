"""The sandbox as a whole: its addresses, its files, its end."""

from __future__ import annotations

import re
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography import x509

from intctl.providers import catalogue
from intctl.sandbox import Sandbox

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_listens_on_loopback_only(box: Sandbox) -> None:
    """Every port is bound to 127.0.0.1 only: another address of this machine refuses the connection."""
    for port in box.ports.values():
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


def test_files_are_private(box: Sandbox) -> None:
    """Folder 0700, files 0600, and no private key but the client's is ever written."""
    assert stat.S_IMODE(box.folder.stat().st_mode) == 0o700
    texts = {path.name: path.read_text() for path in box.folder.iterdir()}
    assert set(texts) == {"ca.pem", "adp-client.pem", "adp-client-key.pem"}
    assert {stat.S_IMODE((box.folder / name).stat().st_mode) for name in texts} == {0o600}
    assert [name for name, text in texts.items() if "PRIVATE KEY" in text] == ["adp-client-key.pem"]


def test_credentials_differ_between_sandboxes(box: Sandbox, folder: Path) -> None:
    """No credential of one sandbox is valid in the next."""
    other = Sandbox(folder)
    for name, account in box.accounts.items():
        assert not set(account.credentials.values()) & set(other.accounts[name].credentials.values())
    words, others = ({login.password for login in one.logins.values()} - {None} for one in (box, other))
    assert not words & others


def test_authority_may_sign_certificates(box: Sandbox) -> None:
    """The CA certificate passes strict verification (Python 3.13's default)."""
    extensions = x509.load_pem_x509_certificate(box.ca_file.read_bytes()).extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    client = x509.load_pem_x509_certificate(box.client_certificate.read_bytes()).extensions
    assert client.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert not client.get_extension_for_class(x509.BasicConstraints).value.ca


def test_ends_while_clients_hang_on(folder: Path) -> None:
    """Leaving the sandbox closes its ports and its thread, also with silent clients."""
    before = set(threading.enumerate())
    with Sandbox(folder) as box:
        ports = [box.ports["starttls"], box.ports["tls"], box.ports["twilio"]]
        clients = [socket.create_connection(("127.0.0.1", port), timeout=5) for port in ports]
        assert clients[0].recv(100).startswith(b"220")
    try:
        assert set(threading.enumerate()) <= before
        for port in ports:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5)
    finally:
        for client in clients:
            client.close()


def test_failed_start_is_raised(folder: Path) -> None:
    """When the servers can't be started, entering the sandbox raises instead of waiting."""
    code = (
        "import resource, sys; from pathlib import Path; from intctl.sandbox import Sandbox\n"
        "box = Sandbox(Path(sys.argv[1]))\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (8, hard))\n"
        "try:\n    box.__enter__()\nexcept OSError: print('raised')\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))"
    )
    found = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, timeout=60)
    assert found.stdout == "raised\n", found.stderr


def test_environ_is_what_the_examples_refer_to(box: Sandbox) -> None:
    """Every variable that a file in examples/ refers to is there with a value; the others are other ways' secrets."""
    texts = [path.read_text() for path in EXAMPLES.glob("*.yaml")]
    referred = {name for text in texts for name in re.findall(r"^[^#\n]*\{env: (\w+)\}", text, re.MULTILINE)}
    others = {
        variable
        for provider in box.providers
        for way in box.ways(provider)[1:]
        for variable in box.references(provider, way).values()
    }
    assert set(box.environ()) == referred | others
    assert all(box.environ().values())


@pytest.mark.parametrize("provider", catalogue.names())
def test_settings_fit_the_provider(box: Sandbox, provider: str) -> None:
    """Settings name fields of the provider that are not secret, with loopback addresses."""
    known = catalogue.get(provider)
    assert known
    settings = dict(setting.split("=", 1) for setting in box.settings(provider))
    assert set(settings) <= {field.name for field in known.fields if not field.secret}
    assert "127.0.0.1" in (settings.get("base_url") or settings["host"])
    assert settings["ca_file"] == str(box.ca_file)
