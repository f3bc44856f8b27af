"""Validate one value of one field: strict types, no guessing. Messages never contain the value."""

from __future__ import annotations

import ipaddress
import json
import re
import textwrap
import unicodedata
from base64 import b64decode
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from intctl import trust
from intctl.keyring import holds_key
from intctl.manifest.tree import Mapping, Node, Scalar
from intctl.providers.base import Field
from intctl.text import nearest

#: The longest text of a field that is not PEM, in characters.
MAX_TEXT = 8192

_READS = {"bool": "true or false", "int": "a number", "float": "a number", "timestamp": "a date or time"}
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,15})\.[0-9]{1,15}")
_MASKED = re.compile(r".{0,4}[*\u2022]{4,}.{0,4}")
_ARMOUR = re.compile(r"(-----BEGIN [A-Z0-9 ]+-----)([^-]*)(-----END [A-Z0-9 ]+-----)")
_BAD = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Wrong(Exception):
    """A value that its field does not accept; the message says what it accepts."""


def from_node(field: Field, node: Node, folder: Path) -> object:
    """Return the value of a field from a node of the file. Raises Wrong."""
    if field.kind == "json":
        return _json(node)
    if not isinstance(node, Scalar):
        raise Wrong("expected one value, not a list or a mapping")
    if field.kind in ("integer", "port", "boolean"):
        if not node.plain:
            raise Wrong("quotes make it a text: remove them")
    elif node.reads_as == "null":
        raise Wrong("is empty" if field.required or field.secret else "is empty: remove the key")
    elif node.reads_as != "str":
        raise Wrong(f"YAML reads this as {_READS.get(node.reads_as, 'something else')}: quote it")
    return from_text(field, node.text, folder)


def from_text(field: Field, text: str, folder: Path) -> object:
    """Return the value of a field from text: quoted, by reference, or from --set. Raises Wrong."""
    if holds_key(text):
        raise Wrong("that is, or contains, a key of intctl's own keyring")
    if field.kind == "pem":
        return _pem(field, text)
    if not text.strip():
        raise Wrong("is empty" if field.required or field.secret else "is empty: remove the key")
    if len(text) > MAX_TEXT:
        raise Wrong(f"is longer than {MAX_TEXT} characters")
    if any(unicodedata.category(char) in _BAD for char in text):
        raise Wrong("contains a line break, or a control, bidi or zero-width character")
    if field.secret:
        if _MASKED.fullmatch(text):
            raise Wrong("that is the masked form, not the secret")
        return text
    if text != text.strip():
        raise Wrong("starts or ends with whitespace")
    value = _judged(field, text, folder)
    if field.pattern and not re.fullmatch(field.pattern, str(value)):
        raise Wrong(f"has the wrong format; for example: {field.example}")
    return value


def _judged(field: Field, text: str, folder: Path) -> object:
    match field.kind:
        case "integer" | "port":
            return _integer(field, text)
        case "boolean":
            return _boolean(text)
        case "choice":
            return _choice(field, text)
        case "host":
            return host(text)
        case "url":
            return _url(field.choices or ("https", "http"), text)
        case "email":
            return _email(text)
        case "path":
            return _path(text, folder)
        case _:
            return text


def _integer(field: Field, text: str) -> int:
    low, high = field.minimum, field.maximum
    span = f" from {low} to {high}" if low is not None and high is not None else ""
    span = span or (f" of at least {low}" if low is not None else "")
    if not _INTEGER.fullmatch(text):
        raise Wrong(f"a plain whole number{span} is expected")
    value = int(text)
    if (low is not None and value < low) or (high is not None and value > high):
        raise Wrong(f"a plain whole number{span} is expected")
    return value


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise Wrong("true or false is expected")
    return text == "true"


#: A message lists at most this many choices.
_MOST_TOLD = 20


def _choice(field: Field, text: str) -> str:
    if text not in field.choices:
        if len(field.choices) > _MOST_TOLD:
            meant = nearest(text[:100], field.choices) or "."
            raise Wrong(f"unknown name{meant} See: intctl {field.name}s list")
        raise Wrong(f"one of {', '.join(field.choices)} is expected{nearest(text[:100], field.choices)}")
    return text


def host(text: str) -> str:
    """Return a host name in lower-case ASCII (IDN as punycode), or an IP address. Raises Wrong."""
    if "://" in text:
        raise Wrong("a host name has no scheme: remove everything up to ://")
    if "/" in text or "@" in text:
        raise Wrong("expected only a host name, without user or path")
    if len(text) > 253:
        raise Wrong("is longer than a host name can be")
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare:
        try:
            return str(ipaddress.IPv6Address(bare)) if "%" not in bare else _no_host()
        except ValueError:
            if bare.count(":") == 1:
                raise Wrong("a host name has no port: put it in its own field") from None
            return _no_host()
    try:
        return str(ipaddress.IPv4Address(bare))
    except ValueError:
        pass
    try:
        name = bare.rstrip(".").encode("idna").decode().lower()
    except UnicodeError:
        return _no_host()
    labels = name.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or _NUMBER.fullmatch(labels[-1]):
        return _no_host()
    return name


def _no_host() -> str:
    raise Wrong("is not a host name or IP address")


def _url(schemes: tuple[str, ...], text: str) -> str:
    shape = " or ".join(f"{scheme}://" for scheme in schemes)
    if any(char in ' \\<>"^`{|}' for char in text):
        raise Wrong("a URL must not contain a space, backslash, quote or bracket")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Wrong("is not a valid URL: check host and port") from None
    if parts.scheme not in schemes or not text.lower().startswith(f"{parts.scheme}://"):
        raise Wrong(f"a URL that begins with {shape} is expected")
    if "@" in parts.netloc:
        raise Wrong("a URL must not contain a user or password: use their own fields")
    if port == 0 or (parts.netloc.endswith(":")):
        raise Wrong("is not a valid URL: check host and port")
    if "#" in text:
        raise Wrong("a URL must not contain a #fragment")
    if not (parts.path + parts.query).isascii():
        raise Wrong("a URL must be ASCII after its host: write other characters as %XX")
    try:
        name = host(parts.hostname or "")
    except Wrong:
        raise Wrong("a URL must have a host name or an IP address after ://") from None
    place = f"[{name}]" if ":" in name else name
    return urlunsplit((parts.scheme, f"{place}:{port}" if port else place, parts.path, parts.query, ""))


def _email(text: str) -> str:
    local, at, domain = text.rpartition("@")
    if not at or len(local) > 64 or not _LOCAL_PART.fullmatch(local):
        raise Wrong("is not a mail address")
    try:
        return f"{local}@{host(domain)}"
    except Wrong:
        raise Wrong("is not a mail address") from None


def located(folder: Path, text: str) -> Path:
    """Return the absolute path of `text` as seen from `folder`. Raises Wrong if that requires a deleted folder."""
    try:
        return (folder / text).absolute()
    except FileNotFoundError:
        raise Wrong("a relative path requires the current folder, which was deleted") from None


def _path(text: str, folder: Path) -> str:
    path = located(folder, text)
    try:
        usable = path.is_file()
    except OSError:
        usable = False
    if not usable:
        raise Wrong("does not name an existing file")
    if problem := trust.anchor_problem(str(path), path.stat()):  # the only files that a config names are of authorities
        raise Wrong(problem)
    return str(path)


def _pem(field: Field, text: str) -> str:
    kind = "PRIVATE KEY" if field.secret else "CERTIFICATE"
    if not text.strip():
        raise Wrong("is empty")
    text = _unwrapped(field, text.replace("\r\n", "\n"))
    if field.secret and _MASKED.fullmatch(text.strip()):
        raise Wrong("that is the masked form, not the secret")
    if len(text) > 64 * 1024 or not text.isascii() or any(not (char.isprintable() or char in "\n\t") for char in text):
        raise Wrong("is not PEM text")
    if "BEGIN ENCRYPTED" in text or "Proc-Type: 4,ENCRYPTED" in text:
        raise Wrong("is protected with a passphrase: use a key without one")
    if not re.search(rf"-----BEGIN ([A-Z0-9]+ )*{kind}-----\n[^-]+\n-----END ([A-Z0-9]+ )*{kind}-----", text):
        raise Wrong(f"is not PEM text with a {kind}")
    return text.strip() + "\n"


def _unwrapped(field: Field, text: str) -> str:
    """Return PEM text in its own form: variables, .env files and JSON keys hold it in others.

    These are `\\n` for a line break, quotes around it, base64 of the whole, blanks for line breaks, and a service
    account's JSON key file, whose private_key is taken. Raises Wrong for a JSON file without one.
    """
    text = text.removeprefix("\ufeff").strip()  # some editors on Windows begin a file with it
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    if "-----BEGIN" not in text and (decoded := _from_base64(text)):
        text = decoded.replace("\r\n", "\n").strip()
    if field.secret and text.startswith("{"):
        text = _key_of_json(text)
    text = text.replace("\\r\\n", "\n").replace("\\n", "\n")  # PEM has no backslash
    return _ARMOUR.sub(_broken, text)


def _from_base64(text: str) -> str:
    try:
        decoded = b64decode("".join(text.split()), validate=True).decode("ascii")
    except ValueError:
        return ""
    return decoded if "-----BEGIN" in decoded else ""


def _key_of_json(text: str) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    key = found.get("private_key") if isinstance(found, dict) else None
    if not isinstance(key, str):
        raise Wrong("is not PEM text, nor a JSON key file with a private_key")
    return key


def _broken(found: re.Match[str]) -> str:
    """Break the lines of a block that is on one line."""
    begin, body, end = found.groups()
    if "\n" in body.strip():
        return found[0]
    return "\n".join((begin, *textwrap.wrap("".join(body.split()), 64), end))


def _json(node: Node) -> dict[str, object]:
    if not isinstance(node, Mapping) or not node.entries:
        raise Wrong('JSON pointers and values are expected, such as {"/status": "ok"}')
    return {_pointer(key): _plain_value(value) for key, value in node.entries}


def _pointer(key: Scalar) -> str:
    if not key.text.startswith("/") or re.search(r"~(?![01])", key.text) or len(key.text) > 1000:
        raise Wrong('a JSON pointer must begin with "/", such as /status')
    return key.text


def _plain_value(node: Node) -> object:
    if not isinstance(node, Scalar) or node.tag:
        raise Wrong("a JSON pointer must have one plain value")
    if any(unicodedata.category(char) in _BAD for char in node.text):
        raise Wrong("contains a line break, or a control, bidi or zero-width character")
    if node.reads_as == "str":
        return node.text
    if node.text in ("true", "false"):
        return node.text == "true"
    if node.text == "null":
        return None
    if _INTEGER.fullmatch(node.text):
        return int(node.text)
    if _DECIMAL.fullmatch(node.text):
        return float(node.text)
    raise Wrong(f"YAML reads a value as {_READS.get(node.reads_as, 'something else')}: quote it")
