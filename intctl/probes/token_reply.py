"""Tokens in the reply of a token endpoint, whatever its form: a rotated refresh token is not sent twice.

RFC 6749 §5.1 wants JSON with status 200. Real endpoints answer with 201, compress unasked, send a form, or close the
connection before the length that they announced.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from intctl.probes.reply import MISSING, Reply

#: The longest body that is read for tokens, in bytes.
TOKEN_BODY = 1024 * 1024

_FORM = re.compile(r"[A-Za-z0-9_.%-]+=[^\s<>{}\"]*(?:&[A-Za-z0-9_.%-]+=[^\s<>{}\"]*)*")
_TEXT = r'"(%s)"\s*:\s*("(?:[^"\\]|\\.)*")'
_NUMBER = re.compile(r'"expires_in"\s*:\s*"?(\d{1,12})\b')


def issued(reply: Reply, pointer: str) -> dict[str, Any] | None:
    """Return the document of a reply that issued tokens, as far as it can be read; None if it issued none.

    `pointer` is the place of the access token. A document that is cut has only the tokens that are complete.
    """
    if not 200 <= reply.status < 300:
        return None
    document = reply.json(constants=True)
    if document is not MISSING:
        return document if isinstance(document, dict) else None
    text = reply.body.decode("utf-8-sig", "replace").strip()
    if text.startswith("{"):
        try:
            document, _ = json.JSONDecoder(parse_constant=str).raw_decode(text)  # something follows it
        except (ValueError, RecursionError):
            return _pieces(text, pointer)
        return document if isinstance(document, dict) else None
    if _FORM.fullmatch(text):
        return dict(parse_qsl(text))
    return None


def _pieces(text: str, pointer: str) -> dict[str, Any] | None:
    """The tokens of a document that is cut or damaged, where the access token's pointer has them."""
    *path, name = pointer[1:].split("/")
    found: dict[str, Any] = {}
    for key, value in re.findall(_TEXT % f"{re.escape(name)}|refresh_token", text):
        try:
            found.setdefault(key, json.loads(value))
        except ValueError:
            continue
    if not found:
        return None
    if lifetime := _NUMBER.search(text):
        found["expires_in"] = int(lifetime[1])
    for part in reversed(path):
        found = {part: found}
    return found
