"""Seal and open secrets at rest. Only this module handles key material.

Envelope: `{"v":1,"alg":"A256GCM","kid":"k_…","n":"…","ct":"…"}`. AES-256-GCM with a random 12-byte
nonce, under a subkey that HKDF derives from a 32-byte key. The `kid` is a hash of the key, so a
wrong key under a right name is detected. The additional data binds a ciphertext to its organisation,
integration and purpose: copied to another row it does not open. There is no trial decryption.

Known limit: a process with write access to the database can restore an older ciphertext of the same row.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import secrets
import stat
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intctl import trust
from intctl.errors import KeyringError, SealError
from intctl.text import stored_json

KEY_VARIABLE = "INTCTL_ENCRYPTION_KEY"
FILE_VARIABLE = "INTCTL_KEYRING_FILE"
CREDENTIAL = "intctl.keyring"
#: The beginnings of variables that hold a secret of intctl or of its database connection, or lead to one.
OWN_VARIABLES = ("INTCTL_", "PG", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")

_FORMAT = "intctl-keyring/1"
_ALG = "A256GCM"
_FIELDS = frozenset({"v", "alg", "kid", "n", "ct"})
_NONCE_BYTES = 12
_TAG_BYTES = 16
_BLOCK = 256  # plaintexts are padded to a multiple: the length of a password stays hidden
_MAX_FILE = 64 * 1024
_KEY_TEXT = re.compile(r"ick1_([A-Za-z0-9_-]{43})_([0-9a-f]{8})")
# The beginning of a key: plain, in base64 at each of the three offsets, in hex.
_HIDDEN_KEY = re.compile(r"ick1_[A-Za-z0-9_-]{20}|aWNrMV|ljazFf|pY2sxX|(?i:69636b315f)")


@dataclass(frozen=True, slots=True)
class Binding:
    """The place of an envelope.

    Ids are canonical lower-case UUIDs; purpose is `config:PROVIDER` or `oauth:PROVIDER`.
    """

    org_id: str
    integration_id: str
    purpose: str


class Key:
    """One 32-byte key. Its repr shows only the kid."""

    __slots__ = ("_key", "kid")

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:  # AESGCM would silently accept 16 bytes
            raise KeyringError("A key must be 32 bytes long.")
        self._key = key
        self.kid = "k_" + hashlib.sha256(b"intctl/kid/v1\0" + key).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"Key({self.kid})"

    def text(self) -> str:
        """Return the key's text in a keyring: prefix for secret scanners, checksum for truncated pastes."""
        body = _encode(self._key)
        return f"ick1_{body}_{zlib.crc32(body.encode()):08x}"

    def cipher(self) -> Any:
        """Return the AEAD under this key's subkey."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

        return AESGCM(HKDFExpand(SHA256(), 32, b"intctl/config/aes-256-gcm/v1").derive(self._key))


def new_key() -> Key:
    """Return a new random key."""
    return Key(secrets.token_bytes(32))


def parse_key(text: str) -> Key:
    """Parse the text of `Key.text`. Raises KeyringError, which never shows the text."""
    found = _KEY_TEXT.fullmatch(text.strip())
    if not found:
        raise KeyringError("it does not look like ick1_…_… (43 characters and a checksum)")
    body, checksum = found.groups()
    if f"{zlib.crc32(body.encode()):08x}" != checksum:
        raise KeyringError("checksum does not match (truncated?)")
    key = _decode(body)
    if key is None:
        raise KeyringError("it is not canonical base64url")
    return Key(key)


class Keyring:
    """The keys in use. The first is the primary key: it seals, and all of them open."""

    def __init__(self, keys: list[Key], source: str) -> None:
        if not keys:
            raise KeyringError(f"{source} contains no key.")
        if len({key.kid for key in keys}) != len(keys):
            raise KeyringError(f"{source} contains the same key twice.")
        self.keys = tuple(keys)
        self.source = source
        #: For the operator: other users can read the file, and this user cannot change that.
        self.warning = ""
        self._ciphers: dict[str, Any] = {}

    @property
    def primary(self) -> Key:
        """The key that new envelopes are sealed with."""
        return self.keys[0]

    def __repr__(self) -> str:
        return f"Keyring({', '.join(key.kid for key in self.keys)})"

    def _cipher(self, kid: str) -> Any | None:
        if kid not in self._ciphers:
            for key in self.keys:
                if key.kid == kid:
                    self._ciphers[kid] = key.cipher()
        return self._ciphers.get(kid)

    def seal(self, plain: Mapping[str, Any], binding: Binding) -> dict[str, Any]:
        """Seal `plain` into an envelope that opens only with the primary key, at this binding."""
        kid = self.primary.kid
        text = json.dumps(plain, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
        text += b" " * (-len(text) % _BLOCK)
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._cipher(kid)
        assert cipher is not None
        sealed = cipher.encrypt(nonce, text, _additional(kid, binding))
        return {"v": 1, "alg": _ALG, "kid": kid, "n": _encode(nonce), "ct": _encode(sealed)}

    def open(self, envelope: object, binding: Binding, name: str) -> dict[str, Any]:
        """Return what was sealed. `name` is the integration's, for the messages.

        Raises SealError with the code self.config_foreign, self.key_missing or self.config_damaged.
        """
        from cryptography.exceptions import InvalidTag

        parsed = _parse(envelope)
        if parsed is None:
            raise SealError(
                f"{name}: stored config is not in intctl's format (plain text?). Nothing was read from it.",
                "self.config_foreign",
            )
        kid, nonce, sealed = parsed
        cipher = self._cipher(kid)
        if cipher is None:
            known = ", ".join(key.kid for key in self.keys)
            raise SealError(
                f"{name} is encrypted with key {kid}, which is not in the keyring ({known}). "
                "Add that key; nothing was changed.",
                "self.key_missing",
                f"it is {kid}, and the keyring has {known}",
            )
        try:
            plain = stored_json(cipher.decrypt(nonce, sealed, _additional(kid, binding)))
        except (InvalidTag, ValueError):
            plain = None
        if not isinstance(plain, dict):
            raise SealError(
                f"{name}: stored config failed its integrity check (altered, or copied from another row). "
                f'Restore it or run "intctl edit {name}".',
                "self.config_damaged",
            )
        return plain


def holds_key(text: str) -> bool:
    """Whether a text holds a key of a keyring, also in base64 or hex."""
    return _HIDDEN_KEY.search(text) is not None


def is_envelope(value: object) -> bool:
    """Whether `value` has an envelope's form; it may still not open."""
    return _parse(value) is not None


def _parse(envelope: object) -> tuple[str, bytes, bytes] | None:
    """kid, nonce and ciphertext of a strictly well-formed envelope."""
    if not isinstance(envelope, dict) or set(envelope) != _FIELDS:
        return None
    version, alg, kid = envelope["v"], envelope["alg"], envelope["kid"]
    if type(version) is not int or version != 1 or alg != _ALG:
        return None
    if not isinstance(kid, str) or not re.fullmatch(r"k_[0-9a-f]{16}", kid):
        return None
    nonce, sealed = _decode(envelope["n"]), _decode(envelope["ct"])
    if nonce is None or len(nonce) != _NONCE_BYTES or sealed is None or len(sealed) < _TAG_BYTES:
        return None
    return kid, nonce, sealed


def _additional(kid: str, binding: Binding) -> bytes:
    # Length prefixes, so that no two bindings can run together into the same bytes.
    parts = ("v1", _ALG, kid, binding.org_id, binding.integration_id, binding.purpose)
    return b"intctl/config/v1" + b"".join(len(raw).to_bytes(4, "big") + raw for raw in map(str.encode, parts))


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: object) -> bytes | None:
    """Decode canonical base64url only: Python's decoder ignores invalid characters."""
    if not isinstance(text, str) or not text.isascii():
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return None
    return raw if _encode(raw) == text else None


# --- sources of the keyring ----------------------------------------------------------------------


def load(environ: Mapping[str, str], home: Path | None) -> Keyring:
    """Load the keyring from the first source that exists; explicit sources must agree.

    Sources: the systemd credential intctl.keyring, INTCTL_KEYRING_FILE, INTCTL_ENCRYPTION_KEY,
    keyring.json in the data folder `home`, which is required only if no other `is_named`. Raises KeyringError.
    """
    found = _explicit(environ)
    if not found:
        assert home is not None
        default = home / "keyring.json"
        if not default.exists():
            raise KeyringError(
                f"No encryption key. Looked in: credential {CREDENTIAL}, {FILE_VARIABLE}, {KEY_VARIABLE}, "
                f'{default}. Run "intctl init", or restore your keyring there.'
            )
        found = [read_file(default)]
    first = found[0]
    for other in found[1:]:
        if [key.kid for key in other.keys] != [key.kid for key in first.keys]:
            raise KeyringError(f"{first.source} and {other.source} contain different keys. Unset one of them.")
    return first


def _explicit(environ: Mapping[str, str]) -> list[Keyring]:
    found = []
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if folder and (credential := Path(folder) / CREDENTIAL).exists():
        found.append(read_file(credential, credential=True))
    if path := environ.get(FILE_VARIABLE):
        found.append(read_file(Path(path)))
    if text := environ.get(KEY_VARIABLE):
        keys = []
        for number, part in enumerate(text.split(","), 1):
            try:
                keys.append(parse_key(part))
            except KeyringError as error:
                raise KeyringError(f"{KEY_VARIABLE}, key {number}: {error}") from None
        found.append(Keyring(keys, KEY_VARIABLE))
    return found


def is_named(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a source, valid or not: then the data folder is not required."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    return bool(
        (folder and (Path(folder) / CREDENTIAL).exists()) or environ.get(FILE_VARIABLE) or environ.get(KEY_VARIABLE)
    )


def exists(environ: Mapping[str, str], home: Path) -> bool:
    """Whether any source exists, valid or not."""
    return is_named(environ) or (home / "keyring.json").exists()


def read_file(path: Path, *, credential: bool = False) -> Keyring:
    """Read a keyring file: regular, of this user or root, at most 64 KiB. Raises KeyringError.

    Other users must not be able to read it, unless its mode is the platform's (`trust.is_fixed`): then the keyring has
    a warning. systemd mounts a credential read-only for one service and owns it, so its mode is not checked.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "does not exist" if missing else "cannot be opened (a link, or no permission)"
        raise KeyringError(f"Keyring {path} {reason}.") from None
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise KeyringError(f"Keyring {path} is not a regular file.")
    with os.fdopen(descriptor, "rb") as file:
        warning = "" if credential else _judge_file(path, facts, descriptor)
        raw = file.read(_MAX_FILE + 1)
    if len(raw) > _MAX_FILE:
        raise KeyringError(f"Keyring {path} is larger than 64 KiB.")
    keyring = _parse_file(raw, f"Keyring {path}")
    keyring.warning = warning
    return keyring


def _judge_file(path: Path, facts: os.stat_result, descriptor: int) -> str:
    """Return a warning or "". Raises KeyringError if other users can change the file, or read it by a wrong mode."""
    mode = f"mode {stat.S_IMODE(facts.st_mode):04o}"
    if trust.is_foreign(facts, descriptor):
        owner = trust.run(f"chown {os.geteuid()}", str(path), facts)
        raise KeyringError(f"Keyring {path} belongs to another user (uid {facts.st_uid}). {owner}")
    if trust.is_readable(facts, descriptor) and not trust.is_fixed(facts, descriptor):
        raise KeyringError(f"Keyring {path} is readable by others ({mode}). Run: chmod 600 {path}")
    if trust.is_writable(facts, descriptor):
        raise KeyringError(f"Keyring {path}: {trust.writable(str(path), facts)}")
    if trust.is_readable(facts, descriptor):
        return (
            f"Keyring {path} is readable by others ({mode}), and this user cannot change that. Mount or install it "
            "with mode 0400, or with 0440 and a group of this user."
        )
    return ""


def _parse_file(raw: bytes, source: str) -> Keyring:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise KeyringError(f"{source} is not JSON (truncated?).") from None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise KeyringError(f"{source} is not in the format {_FORMAT}.")
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise KeyringError(f"{source} has no list of keys.")
    keys = []
    for number, entry in enumerate(entries, 1):
        where = f"{source}, key {number} of {len(entries)}"
        if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
            raise KeyringError(f"{where}: it has no key.")
        try:
            key = parse_key(entry["key"])
        except KeyringError as error:
            raise KeyringError(f"{where}: {error}.") from None
        if entry.get("kid") != key.kid:
            raise KeyringError(f"{where}: its kid does not match its key ({key.kid}).")
        keys.append(key)
    return Keyring(keys, source)


def write_file(path: Path, keys: list[Key]) -> None:
    """Create a keyring file, 0600, atomically. Raises KeyringError; never replaces a file."""
    document = {"format": _FORMAT, "keys": [{"kid": key.kid, "key": key.text()} for key in keys]}
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                os.fchmod(descriptor, 0o600)
                json.dump(document, file, indent=2)
                file.write("\n")
                file.flush()
                os.fsync(descriptor)
            os.link(temporary, path)  # unlike rename, it does not replace the file of a concurrent init
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        raise KeyringError(f"Keyring {path} already exists; it was not changed.") from None
    except OSError:
        raise KeyringError(f"Keyring {path} could not be written.") from None
