"""Reads an HTTP/1.1 reply from bytes in pieces of any size (RFC 9112), as browsers and curl do.

| what comes | what it is |
|---|---|
| a first line other than `HTTP/1.x NNN`, reason or not | `protocol.error`, at the first byte that differs |
| a header line whose name is no token, or whose value has NUL or CR | dropped and counted (`dropped`) |
| a line that begins with a blank or tab; a header more than once | joined to the one before; by a comma |
| equal Content-Lengths | one; different ones, or no number, are a fault |
| Transfer-Encoding whose last coding is chunked, once or more | chunks, whatever Content-Length says |
| 100 to 199 | skipped; 101 is `protocol.error` |
| a reply to HEAD, 204, 304 | no body |
| neither a length nor chunks | the body ends with the connection |
| the end of the connection anywhere else | `connection.closed`; after the status line a fault |
| a chunk that is none | a fault; trailers are not read |
| more than HEAD_LIMIT bytes of heads, or so many more of chunk lines; a longer chunk line | a fault |
| a body over its limit, or in more than MAX_PIECES pieces | cut |
| an error after a good status line | a fault: what came is kept, for the status of a refusal says enough |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from intctl.probes.trace import ProbeFailed

#: The most bytes of status lines and headers, informational ones included; and of all chunk lines.
HEAD_LIMIT = 100 * 1024
CHUNK_LINE_LIMIT = 4096
#: A body in more pieces than this is cut: chunks of one byte would cost a second of CPU.
MAX_PIECES = 4096

_START = b"HTTP/1."
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: [^\0\r]*)?")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEAD_END = re.compile(rb"\n\r?\n")
_CHUNK = re.compile(rb"\r?\n?([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")


class Reader:
    """One reply. `fault`: the code of an error after the status line; `cut`: too long; `rest`: what was not read."""

    def __init__(self, max_body: int, wanted: Callable[[int], bool], *, is_head: bool = False) -> None:
        """`wanted` says by the status whether the body is read; `is_head` that the request was HEAD."""
        self._max_body, self._wanted, self._is_head = max_body, wanted, is_head
        self.rest, self.body = bytearray(), bytearray()
        self._ended = self.fault = ""
        self._pieces = self._spent = self.status = self.dropped = 0
        self.headers: dict[str, str] = {}
        self.cut = False
        self._steps = self._read()

    def feed(self, data: bytes) -> bool:
        """Take the next bytes, b"" at the end. Return whether all that is needed has come. Raises ProbeFailed."""
        self.rest += data
        return self.end("connection.closed") if not data else next(self._steps, True)

    def end(self, code: str) -> bool:
        """Take the end of the connection, for this reason. Returns True. Raises ProbeFailed before a status line."""
        self._ended = code
        return next(self._steps, True)

    def _read(self) -> Iterator[bool]:
        while self.status < 200:
            yield from self._head()
            if self.status == 101:
                raise ProbeFailed("protocol.error", "HTTP 101 was not asked for")
        if self.fault or self._is_head or self.status in (204, 304) or not self._wanted(self.status):
            return
        codings = self.headers.get("transfer-encoding", "").lower().split(",")
        lengths = {length.strip() for length in self.headers.get("content-length", "").split(",")} - {""}
        if codings[-1].strip() == "chunked":
            yield from self._chunks()
        elif codings != [""] or not lengths:
            yield from self._body(None)
        elif len(lengths) > 1 or not re.fullmatch("[0-9]{1,18}", next(iter(lengths)), re.ASCII):
            self.fault = "protocol.error"
        else:
            yield from self._body(int(lengths.pop()))

    def _head(self) -> Iterator[bool]:
        scanned = 0
        while True:
            if not _START.startswith(self.rest[: len(_START)]):
                raise ProbeFailed("protocol.error")  # a banner, TLS or noise
            found = _HEAD_END.search(self.rest, max(scanned - 3, 0))
            size = scanned = found.end() if found else len(self.rest)
            stop = "protocol.error" if self._spent + size > HEAD_LIMIT else "" if found else self._ended
            if found or stop:
                break
            yield False
        self._spent += size
        head, newline, _ = bytes(self.rest[:size]).rpartition(b"\n")
        del self.rest[:size]
        if newline:
            self._parse(head.split(b"\n"))
        if stop and (not newline or self.status < 200):
            raise ProbeFailed(stop)
        self.fault = stop

    def _parse(self, lines: list[bytes]) -> None:
        status = _STATUS.fullmatch(lines[0].removesuffix(b"\r"))
        if status is None:
            raise ProbeFailed("protocol.error")
        self.status, self.headers, key = int(status[1]), {}, ""
        for line in (line.removesuffix(b"\r") for line in lines[1:]):
            is_folded = line[:1] in (b" ", b"\t")
            name, colon, value = (b"", b":", line) if is_folded else line.partition(b":")
            if not is_folded:
                key = name.decode("ascii").lower() if colon and _NAME.fullmatch(name) else ""
            if not key or b"\0" in value or b"\r" in value:
                self.dropped, key = self.dropped + bool(line), ""
                continue
            text, known = value.strip(b" \t").decode("utf-8", "replace"), self.headers.get(key)
            self.headers[key] = text if known is None else f"{known} {text}" if is_folded else f"{known}, {text}"

    def _chunks(self) -> Iterator[bool]:
        while not self.fault and not self.cut:
            found = _CHUNK.match(self.rest)
            if found is not None:
                size = int(found[1], 16)  # first: the match looks into the buffer
                self._spent += found.end()
                del self.rest[: found.end()]
                if not size:
                    return
                self.fault = "protocol.error" if self._spent > 2 * HEAD_LIMIT else ""
                yield from self._body(size)
            elif len(self.rest) > CHUNK_LINE_LIMIT or b"\n" in self.rest[2:]:
                self.fault = "protocol.error"
            elif self._ended:
                self.fault = self._ended
            else:
                yield False

    def _body(self, left: int | None) -> Iterator[bool]:
        """Take so many bytes, or all until the connection ends."""
        while left != 0 and not self.fault and not self.cut:
            if not self.rest and self._ended:
                self.fault = "" if left is None and self._ended == "connection.closed" else self._ended
                return
            if not self.rest:
                yield False
                continue
            size = len(self.rest) if left is None else min(len(self.rest), left)
            room = self._max_body - len(self.body)
            self._pieces += 1
            self.body += self.rest[: min(size, room)]
            del self.rest[:size]
            self.cut = size > room or self._pieces > MAX_PIECES
            left = None if left is None else left - size
