"""Replies judged as a whole: XML and other text, a JSON body without pointers, tokens without a lifetime."""

from __future__ import annotations

from typing import Any

import pytest

from intctl.probes.spec import Answer as Special
from intctl.probes.spec import Bearer, ClientCredentials, HttpProbe, SigV4
from intctl.text import Secret
from tests.probes import check
from tests.servers import Answer, http_server

TOKEN = Secret("tok-geheim-123")
TOLD = Special(403, "http.scope_missing", contains="<Code>AccessDenied</Code>", detail="told apart")


def _found(answer: Answer, **changes: Any) -> Any:
    with http_server({"/v1/me": answer}) as server:
        return check(HttpProbe(server.url + "/v1/me", Bearer(TOKEN), **changes))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("<Error><Code>AccessDenied</Code></Error>", "http.scope_missing"),
        ("<error><code>accessdenied</code></error>", "http.scope_missing"),
        ("<Error><Code>SignatureDoesNotMatch</Code></Error>", "http.forbidden"),
        ("", "http.forbidden"),
    ],
)
def test_a_piece_of_the_text_is_told(body: str, code: str) -> None:
    """Without a pointer, `contains` is searched in the whole body, in any format."""
    assert _found(Answer(403, body), answers=(TOLD,)).code == code


def test_a_piece_of_the_text_belongs_to_its_status() -> None:
    """The same words under another status are no match."""
    assert _found(Answer(500, "<Code>AccessDenied</Code>"), answers=(TOLD,)).code == "server.error"


@pytest.mark.parametrize(
    ("body", "code"),
    [([], "http.no_account"), ([{"id": "1"}], "ok"), ("<html>", "unexpected.reply"), ({}, "unexpected.reply")],
)
def test_the_whole_json_can_be_the_special_case(body: object, code: str) -> None:
    """Without a pointer, `equals` is the whole body: an empty list differs from one with entries, and from a page."""
    special = Special(200, "http.no_account", equals=[])
    assert _found(Answer(200, body), answers=(special,), require=("/0/id",)).code == code


@pytest.mark.parametrize(
    ("body", "code"),
    [("<ListBucketResult/>", "ok"), ("<html>sign in</html>", "unexpected.reply"), ("", "unexpected.reply")],
)
def test_expected_text(body: str, code: str) -> None:
    """A good status with another text is no success."""
    assert _found(Answer(200, body), json=False, expect_text="<ListBucketResult").code == code


def test_signed_requests() -> None:
    """A request with Signature Version 4 carries scope and moment, and never the secret."""
    with http_server({"/b": Answer(200, {})}) as server:
        outcome = check(HttpProbe(f"{server.url}/b?x=1", SigV4("AKIA1", TOKEN, "eu-central-1", "s3")))
        (request,) = server.requests
    assert outcome.code == "ok"
    assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIA1/")
    assert "/eu-central-1/s3/aws4_request" in request.headers["authorization"]
    assert request.headers["x-amz-date"].endswith("Z")
    assert "geheim" not in str(request.headers)


def test_an_access_key_that_no_header_can_carry() -> None:
    """A key with strange characters is a malformed credential, and nothing is sent."""
    with http_server({"/b": Answer(200, {})}) as server:
        outcome = check(HttpProbe(f"{server.url}/b", SigV4("AKIA\u2603", TOKEN, "eu-central-1", "s3")))
        assert server.requests == []
    assert outcome.code == "credential.malformed"


@pytest.mark.parametrize(("lifetime_s", "code"), [(1800, "ok"), (0, "odd.token")])
def test_a_vendor_that_sends_no_expires_in(lifetime_s: int, code: str) -> None:
    """A configured lifetime replaces a missing expires_in; without one that is a warning."""
    with http_server({"/token": Answer(200, {"access_token": "access-1"})}) as server:
        auth = ClientCredentials(server.url + "/token", "client", TOKEN, lifetime_s=lifetime_s)
        assert check(HttpProbe("", auth)).code == code
