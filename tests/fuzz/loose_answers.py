"""Answers of apps made at random, by a grammar with the liberties that an app may take in it.

Most are whole and right but for one or two of them: what any reader refuses compares nothing.
"""

from __future__ import annotations

from random import Random
from typing import Final, TypeVar

Choice = TypeVar("Choice")

BEHIND: Final = (
    b"",
    b"HTTP/1.1 299 Behind\r\nContent-Length: 0\r\n\r\n",
    b"0\r\n\r\n",
    b"\n",
    b"x",
)

_STATUSES: Final = (*(b"200",) * 6, b"204", b"206", b"304", b"404", b"500", b"999")
_EARLY: Final = (b"100", b"102", b"103", b"199")
_REASONS: Final = (b" OK", b" ", b"", b" So\tso", b" \xe4")
_NAMES: Final = (b"A", b"x-b", b"Server", b"Date", b"Set-Cookie", b"Keep-Alive", b"Content-Type")
_VALUES: Final = (b"", b"b", b"b, c", b'"b: c"', b"\xe4", b"a\tb", b"2", b"x" * 300)
_BODIES: Final = (b"", b"a", b"ok", b"\r\n", b"1\r\na", b"hello, world", b"\n0\r\n\r\n", b"x" * 40)
_TOKENS: Final = (
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"0",
    b"\x00",
    b"\x0b",
    b"\xa0",
)


class AnswerMaker:
    """Answers from one source of randomness.

    Args:
        seed: gives the same answers each time.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # the answers are to be the same each time
        self._looseness = 0.0  # of the answer under way: how often a liberty is taken

    def __repr__(self) -> str:
        return f"<AnswerMaker looseness={self._looseness}>"

    def make(self) -> bytes:
        """The next answer, with what may stand behind it."""
        self._looseness = self._pick((0.0, 0.05, 0.2, 0.5))
        answer = b"".join([self._early() for _ in range(self._pick((0, 0, 0, 0, 1, 2)))])
        answer += self._final()
        for _ in range(self._pick((0, 0, 0, 0, 0, 1, 2))):
            answer = self._changed(answer)
        return answer + self._pick(BEHIND)

    def _pick(self, choices: tuple[Choice, ...]) -> Choice:
        return self._random.choice(choices)

    def _is_loose(self) -> bool:
        return self._random.random() < self._looseness

    # --- heads ---

    def _end(self) -> bytes:
        """Of a line."""
        return self._pick((b"\n", b"\n", b"\n", b"\r\r\n", b"\r")) if self._is_loose() else b"\r\n"

    def _space(self) -> bytes:
        """Where none may be."""
        return self._pick((b" ", b"\t", b"  ", b" \t ", b"\x0b")) if self._is_loose() else b""

    def _line(self, name: bytes, value: bytes) -> bytes:
        fold = self._pick((b"", b"\r\n ", b"\n\t")) if self._is_loose() else b""
        return (
            name
            + self._space()
            + b":"
            + self._pick((b" ", b"", b"\t "))
            + fold
            + value
            + self._end()
        )

    def _fields(self) -> list[bytes]:
        count = self._pick((0, 1, 1, 2, 4))
        return [self._line(self._pick(_NAMES), self._pick(_VALUES)) for _ in range(count)]

    def _early(self) -> bytes:
        line = b"HTTP/1.1 " + self._pick(_EARLY) + self._pick(_REASONS) + self._end()
        return line + b"".join(self._fields()) + self._end()

    def _final(self) -> bytes:
        version = self._pick((b"HTTP/1.1",) * 7 + (b"HTTP/1.0",))
        line = version + b" " + self._pick(_STATUSES) + self._pick(_REASONS) + self._end()
        framing, body = self._pick((self._with_length, self._with_chunks, self._until_close))()
        fields = self._fields() + framing
        self._random.shuffle(fields)
        return line + b"".join(fields) + self._end() + body

    # --- bodies ---

    def _with_length(self) -> tuple[list[bytes], bytes]:
        body = self._pick(_BODIES)
        number = b"%d" % len(body)
        lengths = [number]
        while self._is_loose():
            lengths.append(self._pick((number, number, b"0" + number, b"1", b"", b"+" + number)))
        if len(lengths) > 1 and self._pick((True, False)):
            lengths = [self._pick((b",", b", ", b" ,\t")).join(lengths)]
        return [self._line(self._length_name(), length) for length in lengths], body

    def _length_name(self) -> bytes:
        return self._pick((b"Content-Length", b"content-length", b"CONTENT-LENGTH"))

    def _with_chunks(self) -> tuple[list[bytes], bytes]:
        framing = [self._line(b"Transfer-Encoding", self._pick((b"chunked", b"Chunked")))]
        if self._is_loose():
            framing += [self._line(self._length_name(), b"5")] * self._pick((0, 0, 1))
        chunks = [self._chunk(self._pick(_BODIES[1:])) for _ in range(self._pick((0, 1, 1, 2, 5)))]
        trailers = self._fields() if self._pick((True, False, False)) else []
        if self._is_loose():
            trailers.append(self._line(self._pick((b"Connection", b"Upgrade", b"X")), b"x"))
        last = self._size(0) + self._end() + b"".join(trailers) + self._end()
        return framing, b"".join(chunks) + last

    def _chunk(self, data: bytes) -> bytes:
        behind = self._pick((b"\n", b"", b" \r\n", b"\r")) if self._is_loose() else b"\r\n"
        return self._size(len(data)) + self._end() + data + behind

    def _size(self, size: int) -> bytes:
        digits = self._pick((b"%x", b"%X", b"%03x")) % size
        if self._is_loose():
            digits = self._pick((b"0x", b"+", b" ", b"-")) + digits if self._is_loose() else digits
        extension = self._pick((b"", b"", b"", b";a=b", b"; a", b";"))
        return digits + self._space() + extension + (self._space() if extension else b"")

    def _until_close(self) -> tuple[list[bytes], bytes]:
        return [self._line(b"Connection", b"close")] * self._pick((0, 1)), self._pick(_BODIES)

    # --- and anything else ---

    def _changed(self, data: bytes) -> bytes:
        """With a few bytes taken out, repeated or put in."""
        at = self._random.randrange(len(data))
        few = data[at : at + self._pick((0, 1, 1, 2, 5))]
        return data[:at] + self._pick((b"", few * 2, *_TOKENS)) + data[at + len(few) :]
