"""The reader of HTTP/1.1 replies: each line of its table, in pieces of every size, and against h11."""

from __future__ import annotations

import gzip
import zlib
from typing import Any, NamedTuple

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intctl.probes.http1 import CHUNK_LINE_LIMIT, HEAD_LIMIT, MAX_PIECES, Reader
from intctl.probes.reply import Reply
from intctl.probes.request import Request, place_of
from intctl.probes.trace import ProbeFailed

OK = b"HTTP/1.1 200 OK\r\n"
LIMIT = 64 * 1024


class Read(NamedTuple):
    """What a reader made of some bytes: `code` if it raised."""

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cut: bool = False
    fault: str = ""
    dropped: int = 0
    code: str = ""


def read(data: bytes, size: int = 0, *, is_head: bool = False, wanted: bool = True, ends: bool = True) -> Read:
    """Feed `data` in pieces of `size` bytes, all at once by default, and then the end."""
    reader = Reader(LIMIT, lambda _status: wanted, is_head=is_head)
    pieces = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    try:
        done = any(reader.feed(piece) for piece in pieces if piece)
        if not done and ends:
            assert reader.feed(b"")
    except ProbeFailed as found:
        return Read(code=found.code)
    headers = tuple(sorted(reader.headers.items()))
    return Read(reader.status, headers, bytes(reader.body), reader.cut, reader.fault, reader.dropped)


BODY = b'{"ok":true}'
CHUNKS = b"b\r\n" + BODY + b"\r\n0\r\n\r\n"
GOOD = {
    "length": OK + b"Content-Length: 11\r\n\r\n" + BODY + b"rest",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 11\r\n\r\n" + BODY,
    "empty reason": b"HTTP/1.1 200 \r\nContent-Length: 11\r\n\r\n" + BODY,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "to the end": OK + b"\r\n" + BODY,
    "LF only": b"HTTP/1.1 200 OK\nContent-Length: 11\n\n" + BODY,
    "equal lengths": OK + b"Content-Length: 11\r\nContent-Length: 11\r\n\r\n" + BODY,
    "equal lengths in one line": OK + b"Content-Length: 11, 11\r\n\r\n" + BODY,
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "chunks in two": OK
    + b"Transfer-Encoding: chunked\r\n\r\n5\r\n"
    + BODY[:5]
    + b"\r\n6\r\n"
    + BODY[5:]
    + b"\r\n0\r\n\r\n",
    "chunked, chunked": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + CHUNKS,
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: Chunked\r\n\r\n" + CHUNKS,
    "gzip, chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
    "chunks win": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "blank after a size": OK + b"Transfer-Encoding: chunked\r\n\r\nb \t\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk extension": OK + b'Transfer-Encoding: chunked\r\n\r\n0b;a="b"\r\n' + BODY + b"\r\n0\r\n\r\n",
    "trailers": OK + b"Transfer-Encoding: chunked\r\n\r\nB\r\n" + BODY + b"\r\n0\r\nX: y\r\n",
    "another coding": OK + b"Transfer-Encoding: identity\r\n\r\n" + BODY,
    "100 and 103": b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 103 Hints\r\nLink: <a>\r\n\r\n" + OK + b"\r\n" + BODY,
    "odd name": OK + b"a/b.php: x\r\nContent-Length: 11\r\n\r\n" + BODY,
    "blank in a name": OK + b"X-Powered By: x\r\nContent-Length: 11\r\n\r\n" + BODY,
    "blank before the colon": OK + b"X : y\r\nContent-Length: 11\r\n\r\n" + BODY,
    "no colon": OK + b"what is this\r\nContent-Length: 11\r\n\r\n" + BODY,
    "NUL in a value": OK + b"X: a\0b\r\n c\r\nContent-Length: 11\r\n\r\n" + BODY,
    "CR in a value": OK + b"X: a\rb\r\nContent-Length: 11\r\n\r\n" + BODY,
}


@pytest.mark.case("F10")
@pytest.mark.parametrize("name", GOOD)
def test_a_reply_that_other_clients_take_is_read(name: str) -> None:
    """Whatever is odd about it, in one piece, byte by byte, and in pieces between."""
    data = GOOD[name]
    found = read(data)
    assert (found.status, found.body, found.cut, found.fault, found.code) == (200, BODY, False, "", "")
    assert found.dropped == (name in ("odd name", "blank in a name", "blank before the colon", "no colon")) + 2 * (
        name == "NUL in a value"
    ) + (name == "CR in a value")
    for size in (1, 2, 3, 7, 16):
        assert read(data, size) == found


def test_headers() -> None:
    """Names are in lower case, repeated ones are joined, folded lines too, and values may be empty or Latin-1."""
    data = OK + b"A: 1\r\nSERVER:\r\nX-Long: a\r\n \tb\r\na:2\r\nN: M\xfcller\r\nContent-Length: 0\r\n\r\n"
    assert dict(read(data).headers) == {
        "a": "1, 2", "server": "", "x-long": "a b", "n": "M\ufffdller", "content-length": "0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "connection.closed"),
        (b"HTTP/1.1 200 OK", "connection.closed"),
        (b"HTTP/1.1 100 Go on\r\n\r\n", "connection.closed"),
        (b"HTTP/1.1 100 Go on\r\nX: y\r\n", "connection.closed"),
        (b"220 mail.example ESMTP", "protocol.error"),
        (b"\x16\x03\x01", "protocol.error"),
        (b"ICY 200 OK\r\n\r\n", "protocol.error"),
        (b"HTTP/2 200\r\n\r\n", "protocol.error"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "protocol.error"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "protocol.error"),
        (b"HTTP/1.1 099 OK\r\n\r\n", "protocol.error"),
        (b"HTTP/1.1  200 OK\r\n\r\n", "protocol.error"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "protocol.error"),
        (b"HTTP/1.1 100 Go on\r\n\r\nnoise", "protocol.error"),
        (b"HTTP/1.1 100 Go on\r\n\r\n" * 5000, "protocol.error"),
        (b"HTTP/1.1 " + b"2" * (HEAD_LIMIT + 9), "protocol.error"),
    ],
)
def test_without_a_status_line_there_is_no_reply(data: bytes, code: str) -> None:
    """Noise is found at its first byte, before a line ends."""
    assert read(data).code == code
    assert read(data, 1000).code == code


@pytest.mark.parametrize(
    ("status", "rest", "fault", "body"),
    [
        (401, b"Content-Length: 11\r\nContent-Length: 12\r\n\r\n{}", "protocol.error", b""),
        (200, b"Content-Length: -1\r\n\r\n{}", "protocol.error", b""),
        (200, b"Content-Length: 1e3\r\n\r\n{}", "protocol.error", b""),
        (200, b"Content-Length: 14\r\n\r\n{}", "connection.closed", b"{}"),
        (403, b"X: y\r\nZ: ", "connection.closed", b""),
        (401, b"X: y\r\n" * 20000, "protocol.error", b""),
        (200, b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "connection.closed", b"{}"),
        (200, b"Transfer-Encoding: chunked\r\n\r\n2\r\n{", "connection.closed", b"{"),
        (200, b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n", "protocol.error", b"{}"),
        (200, b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n", "protocol.error", b"{}"),
        (200, b"Transfer-Encoding: chunked\r\n\r\n-2\r\n", "protocol.error", b""),
        (200, b"Transfer-Encoding: chunked\r\n\r\n2;" + b"x" * CHUNK_LINE_LIMIT, "protocol.error", b""),
        (
            200,
            b"Transfer-Encoding: chunked\r\n\r\n" + (b"1;" + b"x" * 4000 + b"\r\n{\r\n") * 90,
            "protocol.error",
            None,
        ),
    ],
)
def test_after_a_status_line_what_came_is_kept(status: int, rest: bytes, fault: str, body: bytes | None) -> None:
    """A fault keeps the status, and the part of the body that came."""
    found = read(b"HTTP/1.1 %d x\r\n" % status + rest)
    assert (found.status, found.fault, found.code) == (status, fault, "")
    assert body is None or found.body == body
    again = read(b"HTTP/1.1 %d x\r\n" % status + rest, 500)
    assert (again.status, again.fault) == (status, fault)


def test_a_lost_connection_after_the_status_line() -> None:
    """A reset is a fault of its own, and where the body ends with the connection it is no end."""
    for rest in (b"\r\n{", b"Content-Length: 9\r\n\r\n{"):
        reader = Reader(LIMIT, lambda _status: True)
        assert not reader.feed(OK + rest)
        assert reader.end("connection.reset")
        assert (reader.status, reader.fault, bytes(reader.body)) == (200, "connection.reset", b"{")


@pytest.mark.parametrize("status", [204, 304])
def test_what_has_no_body_is_not_waited_for(status: int) -> None:
    """Nor the reply to HEAD, nor a body that nobody wants."""
    data = b"HTTP/1.1 %d x\r\nContent-Length: 5\r\n\r\n" % status
    assert read(data, ends=False).fault == ""
    for how in ({"is_head": True}, {"wanted": False}):
        assert read(OK + b"Content-Length: 5\r\n\r\n", ends=False, **how) == Read(200, (("content-length", "5"),))


def test_a_body_is_cut() -> None:
    """At its limit, and in too many pieces."""
    found = read(OK + b"\r\n" + b"x" * (LIMIT + 1))
    assert (len(found.body), found.cut, found.fault) == (LIMIT, True, "")
    assert not read(OK + b"\r\n" + b"x" * LIMIT).cut
    found = read(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * (MAX_PIECES + 1))
    assert (len(found.body), found.cut) == (MAX_PIECES + 1, True)


@pytest.mark.case("F23")
@pytest.mark.parametrize(
    ("coding", "body", "inflated"),
    [
        ("gzip", gzip.compress(BODY), BODY),
        ("X-GZIP", gzip.compress(BODY), BODY),
        ("deflate", zlib.compress(BODY), BODY),
        ("deflate", zlib.compress(BODY)[2:-4], BODY),
        ("gzip", gzip.compress(BODY)[:-9], None),
        ("gzip", BODY, None),
        ("br", BODY, None),
        ("gzip, gzip", gzip.compress(gzip.compress(BODY)), None),
        ("gzip", b"", None),
    ],
    ids=range(9),
)
def test_a_compressed_body_is_inflated(coding: str, body: bytes, inflated: bytes | None) -> None:
    """A body that cannot be inflated cannot be read."""
    reply = Reply(200, {"content-encoding": coding}, body, cut=False).inflated(LIMIT)
    if inflated is None:
        assert reply.opaque or reply.body in (BODY, b"") or BODY.startswith(reply.body)
        assert reply.json() != {"ok": True} or reply.body == BODY
    else:
        assert (reply.body, reply.opaque, reply.json()) == (inflated, False, {"ok": True})


@pytest.mark.case("F23")
def test_a_bomb_is_cut() -> None:
    """Not a byte more than the limit is kept."""
    bomb = gzip.compress(b" " * 50_000_000)
    reply = Reply(200, {"content-encoding": "gzip"}, bomb, cut=False).inflated(LIMIT)
    assert (len(reply.body), reply.cut, reply.opaque) == (LIMIT, True, True)


# --- fuzzing

LINES = st.sampled_from(
    [
        b"Content-Length: 3", b"Content-Length: 3", b"Content-Length: 4", b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip", b"X: y", b"X y", b" folded", b"A: \xff", b"", b"3", b"abc", b"0", b"2;x",
        b"HTTP/1.1 200 OK", b"HTTP/1.1 100 Go on", b"HTTP/1.1 401 no", b"HTTP/1.0 500", b"a\0b", b"\r",
    ]
)  # fmt: skip
DATA = st.builds(
    lambda lines, ends: b"HTTP/1.1 200 OK\r\n" + b"".join(a + b for a, b in zip(lines, ends, strict=False)),
    st.lists(LINES, max_size=12),
    st.lists(st.sampled_from([b"\r\n", b"\r\n", b"\n", b""]), min_size=12, max_size=12),
)


def split_everywhere(data: bytes) -> None:
    whole = read(data)
    for size in range(1, min(len(data), 40) + 1):
        assert read(data, size) == whole


@settings(max_examples=150, deadline=None)
@given(DATA)
def test_the_pieces_do_not_matter(data: bytes) -> None:
    """Split at every size, the result is the same, and nothing but ProbeFailed is raised."""
    split_everywhere(data)


@pytest.mark.slow
@pytest.mark.hypothesis
@settings(max_examples=20_000, deadline=None)
@given(st.one_of(DATA, st.binary(max_size=60).map(lambda rest: OK + rest), st.binary(max_size=40)))
def test_the_pieces_do_not_matter_long(data: bytes) -> None:
    """As above, with more examples and any bytes."""
    split_everywhere(data)


def second_opinion(data: bytes) -> tuple[int, bytes] | None:
    """What h11 makes of the bytes: status and body; None if it takes them for no reply, or an unfinished one."""
    other = h11.Connection(h11.CLIENT)
    other.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    other.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        for piece in (data, b""):
            other.receive_data(piece)
            while True:
                event: Any = other.next_event()
                if isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    return status, body
                elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                    break
    except h11.RemoteProtocolError:
        return None
    return None


def agree(data: bytes) -> None:
    theirs, ours = second_opinion(data), read(data)
    if theirs is not None and ours.status != 101:
        assert (ours.status, ours.body, ours.fault, ours.code) == (*theirs, "", ""), data


@settings(max_examples=300, deadline=None)
@given(DATA)
def test_what_h11_accepts_is_read_alike(data: bytes) -> None:
    """h11 is stricter: whatever it accepts, this reader reads to the same status and body."""
    agree(data)


@pytest.mark.slow
@pytest.mark.hypothesis
@settings(max_examples=50_000, deadline=None)
@given(st.one_of(DATA, st.binary(max_size=60).map(lambda rest: OK + rest)))
def test_what_h11_accepts_is_read_alike_long(data: bytes) -> None:
    """As above, with more examples."""
    agree(data)


# --- requests


@pytest.mark.parametrize(
    "value", [b"a\r\nX: y", b"a\nb", b"a\rb", b"a\0b", b" a", b"a ", b"\ta", b"\x7f", b"a\x1bb", "ü".encode()]
)
def test_no_value_begins_another_line(value: bytes) -> None:
    """A request is never sent with a character that ends a header."""
    with pytest.raises(ProbeFailed) as found:
        Request("GET", place_of("http://a/"), [(b"X-Key", value)]).encoded()
    assert found.value.code == "credential.malformed"


def test_a_request_as_it_is_sent() -> None:
    """Host first, then the headers as given, then the body."""
    request = Request("POST", place_of("http://a:8/x?y"), [(b"A", b"b c"), (b"E", b"")], b"body")
    assert request.encoded() == b"POST /x?y HTTP/1.1\r\nHost: a:8\r\nA: b c\r\nE: \r\n\r\nbody"
    for name in (b"", b"a b", b"a:", "ü".encode()):
        with pytest.raises(ProbeFailed):
            Request("GET", place_of("http://a/"), [(name, b"x")]).encoded()
