"""A JSON Web Token that we sign ourselves (RFC 7519, RS256)."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

from intctl.probes.ask import SignedJwt
from intctl.probes.trace import Fault

#: How long a statement of ours is good for, in seconds.
LIFETIME_S = 600


def signed(ask: SignedJwt, now: float) -> str:
    """The statement, signed; `now` is a UNIX time in seconds. Raises Fault when the key can't sign."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    head = {"alg": "RS256", "typ": "JWT"} | ({"kid": ask.key_id} if ask.key_id else {})
    claims: dict[str, object] = {"iss": ask.issuer, "aud": ask.audience, "iat": int(now), "exp": int(now) + LIFETIME_S}
    claims |= {"sub": ask.subject} if ask.subject else {}
    claims |= {"scope": ask.scope} if ask.scope else {}
    try:
        key = load_pem_private_key(ask.private_key.reveal().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Fault("credential.malformed", "the private key is no PEM key without passphrase") from None
    if not isinstance(key, RSAPrivateKey):
        raise Fault("credential.malformed", "the private key is not an RSA one")
    text = f"{_part(head)}.{_part(claims)}"
    return f"{text}.{_encoded(key.sign(text.encode(), PKCS1v15(), SHA256()))}"


def _part(value: object) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
