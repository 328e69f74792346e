"""Cuts heads out of what a socket gives, and holds our limits on them.

The limits are counted on bytes, so that the same bytes pass or fail however reads split them.
"""

from __future__ import annotations

from typing import Final

from protocol.errors import HttpError, NoHttpError
from protocol.http.limits import FIELDS_MAX, HEAD_MAX_BYTES, START_LINE_MAX_BYTES

_ANSWER_STARTS: Final = b"HTTP/1."
_CR: Final = 0x0D
_FIRST_VISIBLE: Final = 0x21

# A start line of full length still has its CR behind it, before the LF that is looked for.
_LF_AT_MOST_AT: Final = START_LINE_MAX_BYTES + 1


class HeadBuffer:
    """Bytes in, raw heads out.

    A head that next_head() returns is within the limits and ends with its empty line; what stands
    in it is for parse_request() or parse_response() to judge. Lines that end in a bare LF are cut
    as well, so that a sender of those is told so instead of waiting for its deadline.

    Args:
        is_request: heads of requests, which may have one empty line in front (RFC 9112 2.2), or
            heads of answers, which must start with "HTTP/1.".
    """

    def __init__(self, is_request: bool = True) -> None:
        self._is_request = is_request
        self._data = b""
        self._searched = 0  # no head ends before this offset
        self._may_drop_line = is_request

    def __repr__(self) -> str:
        kind = "requests" if self._is_request else "answers"
        return f"<HeadBuffer {kind} held={len(self._data)} started={self.started}>"

    def __len__(self) -> int:
        return len(self._data)

    @property
    def started(self) -> bool:
        """Whether a byte of a head is there; an empty line in front is none."""
        return bool(self._data[:3].strip(b"\r\n"))

    def feed(self, data: bytes) -> None:
        """Take what was read. It is judged by next_head()."""
        self._data = self._data + data if self._data else data

    def take_rest(self) -> bytes:
        """Return what came after the last head that next_head() gave. The buffer is empty then."""
        rest, self._data = self._data, b""
        self._searched = 0
        self._may_drop_line = self._is_request
        return rest

    def next_head(self) -> bytes | None:
        """Return the next whole head with its empty line; None while there is none.

        Raises:
            HttpError: `uri-too-long` (a request line over its limit), `head-too-large`, or
                `bad-request` where it cannot become a head. The buffer is of no use after that.
            NoHttpError: `bad-request`: an answer does not start like one. `take_rest` has it all.
        """
        if self._may_drop_line and self._data[:2] == b"\r\n":
            self._data = self._data[2:]
            self._may_drop_line = False
        data = self._data
        if not data:
            return None
        self._check_start(data)
        end = end_of_head(data, self._searched)
        if (end < 0 and len(data) >= HEAD_MAX_BYTES) or end > HEAD_MAX_BYTES:
            raise HttpError("head-too-large", f"a head of more than {HEAD_MAX_BYTES} bytes")
        if end < 0:
            self._searched = max(0, len(data) - 2)
            return None
        if data.count(b"\n", 0, end) > FIELDS_MAX + 2:  # the start line, the empty line
            raise HttpError("head-too-large", f"a head of more than {FIELDS_MAX} fields")
        self._data = data[end:]
        self._searched = 0
        self._may_drop_line = self._is_request
        return data[:end]

    def _check_start(self, data: bytes) -> None:
        """Refuse a first line, whole or not, that cannot become right."""
        if not self._is_request:
            if data[:7] != _ANSWER_STARTS[: len(data)]:
                raise NoHttpError("bad-request", "what came is no answer in HTTP/1.0 or HTTP/1.1")
        elif data[0] < _FIRST_VISIBLE and not (self._may_drop_line and data == b"\r"):
            # TLS on a plain port, a second empty line: no line will ever end.
            raise HttpError("bad-request", "a request starts with its method")
        if len(data) > _LF_AT_MOST_AT and data.find(b"\n", 0, _LF_AT_MOST_AT + 1) < 0:
            code = "uri-too-long" if self._is_request else "head-too-large"
            raise HttpError(code, f"a first line of more than {START_LINE_MAX_BYTES} bytes")


def end_of_head(data: bytes, start: int = 0) -> int:
    """Return where the first empty line ends, -1 if there is none. A bare LF ends a line here."""
    end = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start, None if end < 0 else end + 1)
    if bare >= 0:
        return bare + 2
    return end + 3 if end >= 0 else -1
