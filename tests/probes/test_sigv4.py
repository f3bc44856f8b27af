"""Signature Version 4, compared with the examples that AWS publishes with their results."""

from __future__ import annotations

import calendar

import pytest

from intctl.probes.authenticators import authenticator
from intctl.probes.request import request_for
from intctl.probes.sigv4 import signed
from intctl.probes.spec import HttpProbe, SigV4
from intctl.probes.trace import ProbeFailed, Trace
from intctl.text import Secret

#: "Examples: Signature Calculations" in the S3 API reference: key, moment, bucket, and two requests.
ASK = SigV4("AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), "us-east-1", "s3")
MOMENT = float(calendar.timegm((2013, 5, 24, 0, 0, 0)))
HOST = "https://examplebucket.s3.amazonaws.com"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def signature(url: str, method: str = "GET", body: bytes = b"") -> str:
    return signed(ASK, method, url, body, MOMENT)["Authorization"].rpartition("=")[2]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("?lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("?max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ("?prefix=J&max-keys=2", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_published_examples(query: str, wanted: str) -> None:
    """The signatures that AWS prints for its examples, whatever the order of the query."""
    assert signature(f"{HOST}/{query}") == wanted


def test_headers_say_what_was_signed() -> None:
    """Scope, signed headers, moment and digest of the body, as the examples write them."""
    found = signed(ASK, "GET", f"{HOST}/?lifecycle", b"", MOMENT)
    assert found["Authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature="
    )
    assert (found["x-amz-date"], found["x-amz-content-sha256"]) == ("20130524T000000Z", EMPTY)


def test_everything_counts() -> None:
    """Method, path, query, host and body each change the signature."""
    found = {
        signature(f"{HOST}/a?b=c"),
        signature(f"{HOST}/a?b=c", "HEAD"),
        signature(f"{HOST}/b?b=c"),
        signature(f"{HOST}/a?b=d"),
        signature(f"{HOST}:8443/a?b=c"),
        signature(f"{HOST}/a?b=c", body=b"x"),
    }
    assert len(found) == 6


def test_secret_is_not_shown() -> None:
    """Neither the value's text nor the headers hold the secret key."""
    secret = ASK.secret_access_key.reveal()
    assert secret not in repr(ASK) and secret not in str(signed(ASK, "GET", HOST, b"", MOMENT))


@pytest.mark.parametrize(
    "url",
    [
        "https://minio.example:443/bucket",
        "http://LOCALHOST:80/a b",
        "https://minio.example/x/../y?b=2&a=1#part",
        "https://[::1]:9000/",
        "https://bücher.example/ü",
    ],
)
def test_what_is_sent_is_what_was_signed(url: str) -> None:
    """In every notation of the URL, the host and path of the signature are those in the request."""
    auth = authenticator(ASK, None, None, Trace(), lambda: MOMENT)  # type: ignore[arg-type]
    request = request_for(HttpProbe(url, ASK), auth)
    first, *lines = request.encoded().decode().partition("\r\n\r\n")[0].split("\r\n")
    method, target, _version = first.split(" ")
    sent = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    scheme = "https" if request.place.secure else "http"
    said = signed(ASK, method, f"{scheme}://{sent['host']}{target}", b"", MOMENT)
    assert sent["authorization"] == said["Authorization"]


@pytest.mark.parametrize("url", ["http://xn--/x", "https://xn--a.example/", "http://a:b@c/", "ftp://a/", "http:///x"])
def test_a_url_that_cannot_be_asked(url: str) -> None:
    """An invalid URL is reported as an invalid config, not as a crash."""
    with pytest.raises(ProbeFailed) as found:
        request_for(HttpProbe(url, None), None)
    assert found.value.code == "self.config_invalid"
