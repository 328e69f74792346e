"""Strict readers of bodies: bytes in, body bytes out, no more than announced (RFC 9112 6 and 7).

All three have the same face:

    feed(data)  the body bytes in it. After the end, what is fed is added to `rest`.
    eof()       the peer has closed: HttpError(`truncated`) unless the body is complete by that.
    done        the body is complete
    rest        bytes that came after its end
    pieces      how many parts of work the last call was: chunks, and runs of them
    left        so many bytes are body, whatever comes: of its length, or of the chunk under way
    trailers    those that may go on
    lenient     something was taken that the strict grammar refuses (see lenient.py)

Wrong framing raises HttpError, and what the same call had found before it is lost with it: the
body counts as truncated, so nobody may take it for whole. The reader is of no use after that.
"""

from __future__ import annotations

import re

from protocol.errors import HttpError
from protocol.http import grammar
from protocol.http.fields import BodyForm, Fields, crossing_trailers
from protocol.http.framing import read_fields
from protocol.http.limits import (
    CHUNK_FRAMING_FREE_BYTES,
    CHUNK_FRAMING_MAX_BYTES,
    CHUNK_RUN_DATA_MAX_BYTES,
    FIELDS_MAX,
    READ_MOST_BYTES,
    TRAILERS_MAX_BYTES,
)


class LengthBody:
    """A body of `length` bytes."""

    __slots__ = ("done", "left", "pieces", "rest", "trailers")
    lenient = False

    def __init__(self, length: int) -> None:
        self.left = length
        self.pieces = 1
        self.done = not length
        self.rest = b""
        self.trailers: Fields = ()

    def __repr__(self) -> str:
        return f"<LengthBody left={self.left} rest={len(self.rest)}>"

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`: `data` itself where all of it is body."""
        left = self.left - len(data)
        if left > 0:
            self.left = left
            return data
        body = data[: self.left]
        self.rest += data[self.left :]
        self.left = 0
        self.done = True
        return body

    def eof(self) -> None:
        """Raises HttpError(`truncated`) if body is missing."""
        if not self.done:
            raise HttpError("truncated", f"the body ended {self.left} bytes too early")


class UntilCloseBody:
    """A body that ends with its connection."""

    __slots__ = ("done", "pieces", "rest", "trailers")
    left = READ_MOST_BYTES  # of any read
    lenient = False

    def __init__(self) -> None:
        self.done = False
        self.pieces = 1
        self.rest = b""
        self.trailers: Fields = ()

    def __repr__(self) -> str:
        return f"<UntilCloseBody done={self.done}>"

    def feed(self, data: bytes) -> bytes:
        """All of it is body."""
        return data

    def eof(self) -> None:
        """Completes the body."""
        self.done = True


class ChunkedBody:
    """A chunked body (RFC 9112 7.1); extensions are dropped.

    Its states: before a size line, in a chunk's data, in the trailer section, done. The CRLF that
    ends a chunk's data is read together with the size line behind it.
    """

    __slots__ = (
        "_chunk",
        "_framing_allowed",
        "_held",
        "_in_trailers",
        "_prefix",
        "done",
        "left",
        "pieces",
        "rest",
        "trailers",
    )
    lenient = False
    # Behind each chunk. The lenient reader has others, once it needs them.
    _next_chunk = grammar.NEXT_CHUNK
    _next_prefix = grammar.NEXT_CHUNK_PREFIX

    def __init__(self) -> None:
        self._chunk = grammar.FIRST_CHUNK  # what comes next, and how it may begin
        self._prefix = grammar.FIRST_CHUNK_PREFIX
        self._held = b""  # a size line or trailer section that is not whole
        self.left = 0  # of the chunk under way
        self.pieces = 0
        self._framing_allowed = CHUNK_FRAMING_MAX_BYTES  # what may still come
        self._in_trailers = False
        self.done = False
        self.rest = b""
        self.trailers: Fields = ()

    def __repr__(self) -> str:
        where = "done" if self.done else "trailers" if self._in_trailers else "chunks"
        return f"<ChunkedBody {where} left={self.left} held={len(self._held)}>"

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`, joined.

        Raises:
            HttpError: `bad-request`, or `head-too-large` for too large a trailer section.
        """
        if self._held:
            data = self._held + data
            self._held = b""
        at = min(self.left, len(data))  # more of the chunk under way
        pieces = [data[:at]] if at else []
        self.left -= at
        size = len(data)
        while at < size and not self.done:
            if self._in_trailers:
                at = self._read_trailers(data, at)
            else:
                at = self._read_chunks(data, at, pieces)
        self.pieces = len(pieces) or 1
        if self.done:
            self.rest += data[at:]
        return b"".join(pieces)

    def eof(self) -> None:
        """Raises HttpError(`truncated`) if the last chunk or the trailer section is missing."""
        if not self.done:
            raise HttpError("truncated", "the chunked body ended without its last chunk")

    def _read_chunks(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Read chunks up to the last one, or to the end of what is there; returns where that is.

        Chunks of a byte are the most work that a peer can make of its bytes: this is for them.
        """
        size = len(data)
        while at < size:
            line = self._chunk.match(data, at)
            if line is None:
                line = self._other_line(data, at)
                if line is None:
                    self._check_framing(len(self._held))
                    return size
            begin = line.end()
            chunk_bytes = int(line[1], 16)
            self._count_framing(begin - at, chunk_bytes)
            self._chunk, self._prefix = self._next_chunk, self._next_prefix
            if not chunk_bytes:
                self._in_trailers = True
                return begin
            at = begin + chunk_bytes
            pieces.append(data[begin:at])
            if at > size:
                self.left = at - size
                return size
            if chunk_bytes <= CHUNK_RUN_DATA_MAX_BYTES:
                at = self._read_run(data, at, pieces)
        return at

    def _read_run(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Read the short chunks that follow, whatever their sizes; returns where they end."""
        run = grammar.SHORT_CHUNKS.match(data, at)
        if run is None:
            return at
        body = _data_of_run(run[0])
        pieces.append(body)
        self._framing_allowed += len(body)
        return run.end()

    def _count_framing(self, framing_bytes: int, body_bytes: int) -> None:
        """Count a line; its chunk pays for later ones only."""
        self._framing_allowed += body_bytes - self._check_framing(framing_bytes)

    def _check_framing(self, framing_bytes: int) -> int:
        """Return how much of a line counts."""
        counted = max(0, framing_bytes - CHUNK_FRAMING_FREE_BYTES)
        if counted > self._framing_allowed or framing_bytes > CHUNK_FRAMING_MAX_BYTES:
            raise HttpError("bad-request", "too much chunk framing for so little body")
        return counted

    def _read_trailers(self, data: bytes, at: int) -> int:
        section = grammar.TRAILERS.match(data, at)
        if section is None:
            return self._other_trailers(data, at)
        end = section.end()
        if end - at > TRAILERS_MAX_BYTES:
            raise too_large_trailers()
        self._end_with(section[0])
        return end

    def _other_line(self, data: bytes, at: int) -> re.Match[bytes] | None:
        """Hold it while it may become the framing of a chunk, and else refuse it."""
        if not self._prefix.fullmatch(data, at):
            raise HttpError("bad-request", "the framing of a chunk is wrong")
        self._held = data[at:]
        return None

    def _other_trailers(self, data: bytes, at: int) -> int:
        """Likewise what may become a trailer section; returns where it ends."""
        if not grammar.TRAILERS_PREFIX.fullmatch(data, at):
            raise HttpError("bad-request", "the trailer section is wrong")
        return self._hold_trailers(data, at)

    def _hold_trailers(self, data: bytes, at: int) -> int:
        if len(data) - at > TRAILERS_MAX_BYTES:
            raise too_large_trailers()
        self._held = data[at:]
        return len(data)

    def _end_with(self, section: bytes) -> None:
        """The body is complete with this trailer section, a strict one."""
        received = read_fields(section)
        if len(received) > FIELDS_MAX:
            raise HttpError("head-too-large", f"more than {FIELDS_MAX} trailers")
        self.trailers = crossing_trailers(received)
        self.done = True


def too_large_trailers() -> HttpError:
    return HttpError("head-too-large", f"trailers of more than {TRAILERS_MAX_BYTES} bytes")


def _data_of_run(run: bytes) -> bytes:
    """The data of short chunks, joined.

    Where all are framed alike, all first bytes of their framing are one slice, and all second ones,
    and so on; likewise their data. Else it is a tenth as fast, and seven times as fast as reading
    them one by one.
    """
    data_at = run.index(b"\r\n", 2) + 2
    chunk_bytes = int(run[2:data_at], 16)
    stride = data_at + chunk_bytes
    count, rest = divmod(len(run), stride)
    alike = not rest and all(
        run[offset::stride] == bytes([run[offset]]) * count for offset in range(data_at)
    )
    if not alike:
        data_at = grammar.SHORT_CHUNK_DATA_AT
        return b"".join([chunk[data_at:] for chunk in grammar.SHORT_CHUNK.findall(run)])
    body = bytearray(count * chunk_bytes)
    for offset in range(chunk_bytes):
        body[offset::chunk_bytes] = run[data_at + offset :: stride]
    return bytes(body)


BodyReader = LengthBody | ChunkedBody | UntilCloseBody


def body_reader(form: BodyForm, chunked: type[ChunkedBody] = ChunkedBody) -> BodyReader:
    """The reader for a body of this form; no body is one of 0 bytes. `chunked` reads chunks."""
    if form == "chunked":
        return chunked()
    if form == "until-close":
        return UntilCloseBody()
    return LengthBody(form or 0)
