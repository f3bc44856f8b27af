"""Secret references to files, and reading the manifest itself: regular files only, nothing waits."""

import os
import socket
from pathlib import Path

import pytest

from intctl import manifest
from intctl.errors import ManifestError
from intctl.text import Secret


def load(folder: Path, reference: str, *forbidden: Path) -> manifest.Loaded:
    text = (
        "name: A\nprovider: smtp\nconfig:\n  host: mail.example.com\n  username: x\n"
        f"  password: {{file: {reference}}}\n"
    )
    return manifest.load(text.encode(), file=str(folder / "m.yaml"), sources=manifest.ValueSources({}, forbidden))


def refused(folder: Path, reference: str, *forbidden: Path) -> str:
    with pytest.raises(ManifestError) as caught:
        load(folder, reference, *forbidden)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (6, 13)
    return problem.message.replace(str(folder), "FOLDER")


def private(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("data", [b"cnry", b"cnry\n", b"cnry\r\n"])
def test_one_newline_at_the_end_is_not_the_secret(tmp_path: Path, data: bytes) -> None:
    """Editors end a file with a newline; the path is relative to the manifest's folder."""
    private(tmp_path / "password", data)
    loaded = load(tmp_path, "password")
    assert loaded.items[0].config["password"] == Secret("cnry")
    assert loaded.warnings == ()
    private(tmp_path / "password", b" cnry \n")
    assert load(tmp_path, "password").items[0].config["password"] == Secret(" cnry ")


def test_a_link_is_followed_to_a_regular_file(tmp_path: Path) -> None:
    """Kubernetes and systemd mount credentials as links."""
    private(tmp_path / "real", b"cnry")
    (tmp_path / "link").symlink_to("real")
    assert load(tmp_path, "link").items[0].config["password"] == Secret("cnry")


def test_readable_by_everybody_is_a_warning(tmp_path: Path) -> None:
    """It loads, and the warning has the command to type."""
    private(tmp_path / "pass word", b"cnry").chmod(0o644)
    (warning,) = load(tmp_path, '"pass word"').warnings
    assert warning.endswith(f"Run: chmod 600 '{tmp_path}/pass word'")
    assert "cnry" not in warning


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfecnry", "not UTF-8 text"),
        (b"c" * 65537, "it is larger than 64 KiB"),
    ],
)
def test_unusable_content_is_refused(tmp_path: Path, data: bytes, told: str) -> None:
    """Empty, not text, or too large: refused without showing any of it."""
    private(tmp_path / "f", data)
    assert refused(tmp_path, "f") == f"password: FOLDER/f: {told}"


def test_two_lines_are_refused(tmp_path: Path) -> None:
    """Only one newline is taken off: a second line is a mistake."""
    private(tmp_path / "f", b"cnry\nmore\n")
    assert refused(tmp_path, "f").startswith("password: contains a line break")


def test_fifo_socket_and_device_are_refused_at_once(tmp_path: Path) -> None:
    """What could block or never end is refused; nobody waits for a writer."""
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))
        assert refused(tmp_path, "fifo").endswith("it is not a regular file")
        assert refused(tmp_path, "socket").endswith("it can't be opened")
        assert refused(tmp_path, "/dev/zero").endswith("it is not a regular file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_is_refused(tmp_path: Path) -> None:
    """A file that this user may not read is named."""
    private(tmp_path / "f", b"cnry").chmod(0)
    assert refused(tmp_path, "f").endswith("this user may not read it")


def test_loop_of_links_is_refused(tmp_path: Path) -> None:
    """A link to itself ends."""
    (tmp_path / "loop").symlink_to("loop")
    assert refused(tmp_path, "loop").endswith("it can't be opened")


def test_own_keyring_and_database_are_refused(tmp_path: Path) -> None:
    """However it is spelled, a reference can't seal our own key into a row."""
    keyring = private(tmp_path / "keyring.json", b"cnry")
    (tmp_path / "link").symlink_to("keyring.json")
    os.link(keyring, tmp_path / "hard")
    for name in ("keyring.json", "./keyring.json", "link", "hard"):
        assert refused(tmp_path, name, tmp_path / "absent.db", keyring).endswith("intctl's own keyring or database")


def test_own_environment_file_is_no_secret(tmp_path: Path) -> None:
    """/proc/self/environ is a regular file to fstat; its NULs give it away."""
    assert os.environ["PATH"] not in refused(tmp_path, "/proc/self/environ")


def test_manifest_larger_than_the_limit(tmp_path: Path) -> None:
    """1 MiB is read, one byte more is refused before any parsing."""
    path = tmp_path / "m.yaml"
    path.write_bytes(b"#" * manifest.MAX_BYTES)
    assert len(manifest.read_file(path)) == manifest.MAX_BYTES
    path.write_bytes(b"#" * (manifest.MAX_BYTES + 1))
    with pytest.raises(ManifestError, match="larger than 1 MiB"):
        manifest.read_file(path)
    with pytest.raises(ManifestError, match="larger than 1 MiB"):
        manifest.load(b"#" * (manifest.MAX_BYTES + 1), file="-", sources=manifest.ValueSources({}))


def test_manifest_that_is_no_file(tmp_path: Path) -> None:
    """Missing, a folder, a FIFO: each has its words."""
    os.mkfifo(tmp_path / "fifo")
    expected = {"none": "no such file", ".": "folder", "fifo": "not a regular file", "a\0b": "can't be opened"}
    for name, told in expected.items():
        with pytest.raises(ManifestError, match=told):
            manifest.read_file(tmp_path / name)


def test_manifest_from_a_process_substitution() -> None:
    """`-f <(command)` is a pipe below /dev/fd: read to its end."""
    reading, writing = os.pipe()
    try:
        os.write(writing, b"name: A\n")
        os.close(writing)
        assert manifest.read_file(Path(f"/dev/fd/{reading}")) == b"name: A\n"
    finally:
        os.close(reading)


def test_pem_file_keeps_its_lines(tmp_path: Path) -> None:
    """PEM text has lines and may end in several newlines."""
    from tests.manifest.test_examples import CERTIFICATE, KEY

    private(tmp_path / "client.pem", CERTIFICATE.encode() + b"\n\n")
    private(tmp_path / "client.key", KEY.replace("\n", "\r\n").encode())
    text = (
        "name: A\nprovider: adp\nconfig:\n  client_id: x\n  client_secret: !env SET\n"
        "  client_certificate: !file client.pem\n  client_private_key: !file client.key\n"
    )
    sources = manifest.ValueSources({"SET": "cnry"})
    (item,) = manifest.load(text.encode(), file=str(tmp_path / "m.yaml"), sources=sources).items
    assert item.config["client_certificate"] == CERTIFICATE
    assert item.config["client_private_key"] == Secret(KEY)
