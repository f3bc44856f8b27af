"""AWS Signature Version 4 (docs.aws.amazon.com, "Signature Calculations for the Authorization Header")."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import parse_qsl, quote, urlsplit

from intctl.probes.spec import SigV4

_ALGORITHM = "AWS4-HMAC-SHA256"


def signed(ask: SigV4, method: str, url: str, body: bytes, now: float) -> dict[str, str]:
    """Return the headers to add to a request. `now` is a UNIX time in seconds.

    The path is signed exactly as in `url`, as S3 requires; other services encode it twice.
    """
    parts = urlsplit(url)
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = sha256(body).hexdigest()
    headers = {"host": parts.netloc, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    pairs = sorted(
        (quote(name, safe="~"), quote(value, safe="~"))
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    )
    request = "\n".join(
        [
            method,
            parts.path or "/",
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{value}" for name, value in headers.items()),
            "",
            ";".join(headers),
            digest,
        ]
    )
    scope = f"{stamp[:8]}/{ask.region}/{ask.service}/aws4_request"
    text = "\n".join([_ALGORITHM, stamp, scope, sha256(request.encode()).hexdigest()])
    key = f"AWS4{ask.secret_access_key.reveal()}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"Credential={ask.access_key_id}/{scope}"
    return {
        "x-amz-content-sha256": digest,
        "x-amz-date": stamp,
        "Authorization": f"{_ALGORITHM} {credential}, SignedHeaders={';'.join(headers)}, Signature={signature}",
    }
