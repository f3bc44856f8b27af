"""The envelope and the keyring, tested with frozen vectors that were made without this code."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intctl import keyring
from intctl.errors import KeyringError, SealError
from intctl.keyring import Binding, Key, Keyring, is_envelope, new_key, parse_key

VECTORS = json.loads((Path(__file__).parent / "vectors" / "envelope.json").read_text("utf-8"))
BINDING = Binding("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222", "config:smtp")


def ring(texts: list[str]) -> Keyring:
    return Keyring([parse_key(text) for text in texts], "the test")


@pytest.mark.parametrize("vector", VECTORS["open"], ids=lambda v: v["binding"]["purpose"])
def test_frozen_envelopes_open(vector: dict[str, Any]) -> None:
    """Envelopes of an earlier version open for ever."""
    assert ring(vector["keys"]).open(vector["envelope"], Binding(**vector["binding"]), "x") == vector["plain"]


@pytest.mark.parametrize("vector", VECTORS["refuse"], ids=lambda v: v["why"])
def test_frozen_forgeries_are_refused(vector: dict[str, Any]) -> None:
    """A damaged, foreign or copied envelope, or one under another key, is rejected with its own cause."""
    with pytest.raises(SealError) as caught:
        ring(vector["keys"]).open(vector["envelope"], Binding(**vector["binding"]), "Email")
    assert caught.value.code == vector["code"]
    assert "Email" in str(caught.value)
    assert is_envelope(vector["envelope"]) == (vector["code"] != "self.config_foreign")


@pytest.mark.parametrize("entry", VECTORS["keys"]["good"], ids=lambda e: e["kid"])
def test_key_text_round_trip(entry: dict[str, str]) -> None:
    """A key's text gives its kid, and the key gives its text."""
    key = parse_key(entry["text"])
    assert (key.kid, key.text()) == (entry["kid"], entry["text"])


@pytest.mark.parametrize("text", VECTORS["keys"]["bad"])
def test_wrong_key_texts_are_refused_without_being_shown(text: str) -> None:
    """A truncated or mistyped key is rejected, and its text is not in the message."""
    with pytest.raises(KeyringError) as caught:
        parse_key(text)
    assert not text or text not in str(caught.value)


def test_a_key_has_32_bytes() -> None:
    """AES would accept 16 bytes; a key of intctl has 32."""
    with pytest.raises(KeyringError):
        Key(b"x" * 16)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.text(),
        st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    )
)
def test_whatever_is_sealed_opens_again(plain: dict[str, Any]) -> None:
    """Open is the inverse of seal, and the length of the content stays hidden."""
    keys = Keyring([new_key()], "the test")
    envelope = keys.seal(plain, BINDING)
    assert keys.open(json.loads(json.dumps(envelope)), BINDING, "x") == plain
    assert (len(keyring._decode(envelope["ct"]) or b"") - 16) % 256 == 0


def test_two_seals_of_one_value_differ() -> None:
    """A nonce is never used twice."""
    keys = Keyring([new_key()], "the test")
    assert keys.seal({"a": 1}, BINDING)["n"] != keys.seal({"a": 1}, BINDING)["n"]


def test_the_first_key_seals_and_all_open() -> None:
    """Several keys are valid at once: the first seals, each opens its own."""
    old, new = new_key(), new_key()
    sealed = Keyring([old], "the test").seal({"a": 1}, BINDING)
    both = Keyring([new, old], "the test")
    assert both.open(sealed, BINDING, "x") == {"a": 1}
    assert both.seal({}, BINDING)["kid"] == new.kid == both.primary.kid


def test_repr_shows_no_key() -> None:
    """Neither a key's nor a keyring's repr shows the key."""
    key = new_key()
    shown = repr(key) + repr(Keyring([key], "the test"))
    assert key.kid in shown
    body = key.text().removeprefix("ick1_").rpartition("_")[0]  # the body may have underscores of its own
    assert len(body) == 43 and body not in shown


def test_an_empty_or_doubled_keyring_is_refused() -> None:
    """A keyring has at least one key, and no key twice."""
    key = new_key()
    for keys in ([], [key, key]):
        with pytest.raises(KeyringError):
            Keyring(keys, "the test")


@pytest.mark.case("security 1")
def test_a_key_in_a_text_is_recognised() -> None:
    """Whole or cut off, in hex or in base64 at any offset; other texts are not."""
    text = new_key().text()
    for known in (text, f"key={text}", text[:30], text.encode().hex().upper()):
        assert keyring.holds_key(known)
    for before in ("", "a", "ab"):
        assert keyring.holds_key(base64.b64encode(f"{before}{text}".encode()).decode())
    for other in ("", "ick1", "ick1_short", "sk_live_51H8xS2eZvKYlo2C", new_key().kid):
        assert not keyring.holds_key(other)


#: Another user of this machine, and a group.
OTHER, GROUP = 54321, 54322
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user requires root")


# --- files and sources ---------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    keyring.write_file(tmp_path / "keyring.json", [new_key(), new_key()])
    return tmp_path


def test_a_written_keyring_is_private_and_reads_back(home: Path) -> None:
    """The file has mode 0600 with any umask, and holds the keys in order."""
    path = home / "keyring.json"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert len(keyring.read_file(path).keys) == 2
    assert [p.name for p in home.iterdir()] == ["keyring.json"]


def test_a_keyring_is_never_replaced(home: Path) -> None:
    """Writing never replaces a keyring: every secret under it would be lost."""
    before = (home / "keyring.json").read_bytes()
    with pytest.raises(KeyringError, match="already exists"):
        keyring.write_file(home / "keyring.json", [new_key()])
    assert (home / "keyring.json").read_bytes() == before
    assert len(list(home.iterdir())) == 1


def test_a_folder_that_takes_no_file_is_said(tmp_path: Path) -> None:
    """If the file can't be written, the message says so."""
    with pytest.raises(KeyringError, match="could not be written"):
        keyring.write_file(tmp_path / "missing" / "keyring.json", [new_key()])


def test_a_keyring_that_others_can_read_is_refused_with_the_command_to_run(home: Path) -> None:
    """A mode that lets other users read is reported with the command that fixes it."""
    path = home / "keyring.json"
    path.chmod(0o644)
    with pytest.raises(KeyringError, match=r"mode 0644.*chmod 600"):
        keyring.read_file(path)
    assert keyring.read_file(path, credential=True)


@needs_root
def test_somebody_elses_keyring_is_refused(home: Path) -> None:
    """A keyring that another user owns is rejected, because that user could change it."""
    os.chown(home / "keyring.json", 12345, 12345)
    with pytest.raises(KeyringError, match="another user"):
        keyring.read_file(home / "keyring.json")


@contextmanager
def another_user() -> Iterator[None]:
    """Become the other user, in the group."""
    os.setegid(GROUP)
    os.seteuid(OTHER)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@needs_root
@pytest.mark.case("F08")
@pytest.mark.parametrize(
    ("mode", "group", "words"),
    [
        (0o440, GROUP, ""),  # Kubernetes with fsGroup
        (0o640, GROUP, ""),
        (0o444, 0, "mode 0444"),  # Docker
        (0o644, 0, "mode 0644"),  # Kubernetes
        (0o444, GROUP, "mode 0444"),
    ],
)
def test_a_keyring_of_root_is_accepted(public: Path, mode: int, group: int, words: str) -> None:
    """A file of root's, whose mode this user cannot change, is used; one that all can read with a warning."""
    path = public / "keyring.json"
    keyring.write_file(path, [keyring.new_key()])
    os.chown(path, 0, group)
    path.chmod(mode)
    with another_user():
        warning = keyring.read_file(path).warning
    assert words in warning and bool(words) == bool(warning)
    assert "chmod" not in warning


@needs_root
@pytest.mark.case("F08")
@pytest.mark.parametrize("mode", [0o666, 0o646, 0o664, 0o660])
def test_a_keyring_that_others_can_change_is_refused(public: Path, mode: int) -> None:
    """Whoever owns it, the users of a group or all users could replace the key."""
    path = public / "keyring.json"
    keyring.write_file(path, [keyring.new_key()])
    os.chown(path, 0, GROUP)
    path.chmod(mode)
    with another_user(), pytest.raises(KeyringError, match="sudo chmod go-w"):
        keyring.read_file(path)


@pytest.mark.case("F08")
@pytest.mark.parametrize("mode", [0o440, 0o444, 0o640, 0o644, 0o660, 0o666])
def test_a_keyring_of_this_user_must_be_private(tmp_path: Path, mode: int) -> None:
    """Here the mode is this user's, and the command that mends it works."""
    path = tmp_path / "keyring.json"
    keyring.write_file(path, [keyring.new_key()])
    path.chmod(mode)
    with pytest.raises(KeyringError, match=f"mode {mode:04o}") as caught:
        keyring.read_file(path)
    subprocess.run(str(caught.value).partition("Run: ")[2], shell=True, check=True)
    assert keyring.read_file(path).warning == ""


def test_links_folders_and_missing_files_are_refused(home: Path) -> None:
    """Only a regular file is a keyring: nothing is followed or waited for."""
    (home / "link").symlink_to(home / "keyring.json")
    os.mkfifo(home / "fifo", 0o600)
    for name, words in (
        ("link", "cannot be opened"),
        ("fifo", "regular file"),
        ("none", "does not exist"),
        (".", "regular file"),
    ):
        with pytest.raises(KeyringError, match=words):
            keyring.read_file(home / name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[" * 60_000, "not JSON"),
        ("[]", "format"),
        ('{"format": "other"}', "format"),
        ('{"format": "intctl-keyring/1"}', "list of keys"),
        ('{"format": "intctl-keyring/1", "keys": []}', "contains no key"),
        ('{"format": "intctl-keyring/1", "keys": [1]}', "key 1 of 1: it has no key"),
        ('{"format": "intctl-keyring/1", "keys": [{"key": "ick1_SECRETSECRET"}]}', "key 1 of 1"),
        (f'{{"format": "intctl-keyring/1", "keys": [{{"key": "{VECTORS["keys"]["good"][0]["text"]}"}}]}}', "kid"),
        (" " * 70_000, "larger than 64 KiB"),
    ],
)
def test_damaged_keyring_files_are_named(tmp_path: Path, text: str, words: str) -> None:
    """Each kind of damage has its own message, which never shows a key."""
    path = tmp_path / "keyring.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyringError, match=words) as caught:
        keyring.read_file(path)
    assert "SECRETSECRET" not in str(caught.value)


def test_sources_are_looked_at_in_order(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The order of sources: a systemd credential, a named file, the variable, the data folder's own file."""
    key = new_key()
    folder = tmp_path_factory.mktemp("credentials")
    assert keyring.load({}, home).source.endswith("keyring.json")
    for environ in (
        {"INTCTL_ENCRYPTION_KEY": key.text()},
        {"INTCTL_KEYRING_FILE": str(folder / "intctl.keyring")},
        {"CREDENTIALS_DIRECTORY": str(folder)},
    ):
        if len(list(folder.iterdir())) == 0:
            keyring.write_file(folder / "intctl.keyring", [key])
        assert keyring.load(environ, home).primary.kid == key.kid
        assert keyring.exists(environ, folder)
    assert keyring.exists({}, home)
    assert not keyring.exists({}, folder)


def test_several_keys_in_the_variable(home: Path) -> None:
    """The variable accepts several keys, and the error names the invalid one."""
    one, two = new_key(), new_key()
    assert len(keyring.load({"INTCTL_ENCRYPTION_KEY": f"{one.text()},{two.text()}"}, home).keys) == 2
    with pytest.raises(KeyringError, match="INTCTL_ENCRYPTION_KEY, key 2"):
        keyring.load({"INTCTL_ENCRYPTION_KEY": f"{one.text()},nonsense"}, home)


def test_sources_that_disagree_are_refused(home: Path) -> None:
    """Two explicit sources with different keys: no silent choice."""
    environ = {"INTCTL_ENCRYPTION_KEY": new_key().text(), "INTCTL_KEYRING_FILE": str(home / "keyring.json")}
    with pytest.raises(KeyringError, match="different keys"):
        keyring.load(environ, home)
    same = ",".join(key.text() for key in keyring.read_file(home / "keyring.json").keys)
    assert keyring.load({**environ, "INTCTL_ENCRYPTION_KEY": same}, home)


def test_no_key_anywhere_names_the_places_and_the_command(tmp_path: Path) -> None:
    """Without a key the message lists the searched places and the command to run."""
    with pytest.raises(KeyringError, match=r"INTCTL_KEYRING_FILE.*intctl init"):
        keyring.load({}, tmp_path)
