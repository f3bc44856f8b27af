"""A JSON Web Token that intctl signs (RFC 7519, RS256)."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

from intctl.probes.spec import SignedJwt
from intctl.probes.trace import ProbeFailed

#: How long a signed statement is valid, in seconds.
LIFETIME_S = 600


def signed(grant: SignedJwt, now: float) -> str:
    """Return the signed statement; `now` is a UNIX time in seconds. Raises ProbeFailed if the key cannot sign."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    head = {"alg": "RS256", "typ": "JWT"} | ({"kid": grant.key_id} if grant.key_id else {})
    claims: dict[str, object] = {
        "iss": grant.issuer,
        "aud": grant.audience,
        "iat": int(now),
        "exp": int(now) + LIFETIME_S,
    }
    claims |= {"sub": grant.subject} if grant.subject else {}
    claims |= {"scope": grant.scope} if grant.scope else {}
    try:
        key = load_pem_private_key(grant.private_key.reveal().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ProbeFailed("credential.malformed", "the private key is not PEM, or has a passphrase") from None
    if not isinstance(key, RSAPrivateKey):
        raise ProbeFailed("credential.malformed", "the private key is not an RSA key")
    text = f"{_part(head)}.{_part(claims)}"
    return f"{text}.{_encoded(key.sign(text.encode(), PKCS1v15(), SHA256()))}"


def _part(value: object) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
