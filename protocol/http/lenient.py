"""Beside the strict grammar an app may write what has one reading.

Visitors are strangers, and what two programs read in two ways is how one of them is deceived, so
requests are read strictly. The app is the developer's own, and is seen through the tunnel as it is
without it: what curl and browsers take is taken here, if no reader makes anything else of it.

* A bare LF ends a line of a head, of a chunk's size or of a trailer (RFC 9112 2.2).
* SP and HTAB before a colon go, but not of a field that says how the message or the connection
  ends (RFC 9112 5.1).
* Content-Length with one value, repeated or in a list, is that value (RFC 9110 8.6).
* SP and HTAB behind a chunk's size go (RFC 9112 7.1.1, BWS).

Nothing of it goes on: a head is written strictly first and then read as any other, so that what
follows sees no difference. The connection is not used again, since a program that writes loosely
may count loosely. The head of a 101 stays strict: what follows it is another protocol's, and all
must agree to the byte where that begins.
"""

from __future__ import annotations

import re
from typing import Final

from protocol.errors import HttpError
from protocol.http import grammar
from protocol.http.bodies import ChunkedBody, too_large_trailers
from protocol.http.heads import ResponseHead, parse_response
from protocol.http.limits import START_LINE_MAX_BYTES, TRAILERS_MAX_BYTES

# Readers differ about these behind a space: one has the field, and another one has not.
_ENDS: Final = frozenset({b"connection", b"content-length", b"transfer-encoding", b"upgrade"})

_LENGTH_NAME: Final = b"content-length"


def parse_lenient_response(raw: bytes, method: bytes, refusal: HttpError) -> ResponseHead:
    """Read the head of an answer that parse_response() has refused; what it is without its faults.

    Args:
        raw: the head.
        method: of the request that it answers.
        refusal: what parse_response() raised.

    Raises:
        HttpError: `bad-request`, where there is no one reading: `refusal`, or what parse_response()
            says of the rest; `head-too-large` for a first line over its limit.
    """
    written = _written_strictly(raw)
    status = grammar.STATUS_LINE.match(written)
    if written == raw or status is None or status[2] == b"101":
        raise refusal
    return parse_response(written, method)


def _written_strictly(raw: bytes) -> bytes:
    """The head with what may be mended in it mended, in time linear in its size."""
    first, *lines = grammar.BARE_LF.sub(b"\r\n", raw).split(b"\r\n")
    if len(first) > START_LINE_MAX_BYTES:  # the head's buffer allows for a CR, which is not there
        raise HttpError("head-too-large", f"a first line of more than {START_LINE_MAX_BYTES} bytes")
    return b"\r\n".join([first, *_with_one_length([_without_space(line) for line in lines])])


def _without_space(line: bytes) -> bytes:
    """A field line without whitespace before its colon, if that says nothing about an end."""
    name = grammar.SPACED_NAME.match(line)
    if name is None or name[1].lower() in _ENDS:
        return line
    return name[1] + line[name.end() - 1 :]


def _with_one_length(lines: list[bytes]) -> list[bytes]:
    """Field lines with the first Content-Length alone, if all say the same number."""
    named = [line for line in lines if line.lower().startswith(_LENGTH_NAME + b":")]
    if not named:
        return lines
    listed = b",".join([line[len(_LENGTH_NAME) + 1 :] for line in named]).split(b",")
    lengths = [length.strip(b" \t") for length in listed]
    if not all(map(grammar.LENGTH.fullmatch, lengths)) or len(set(map(int, lengths))) > 1:
        return lines
    one = named[0].partition(b":")[0] + b": " + lengths[0]
    first = lines.index(named[0])
    return [*lines[:first], one, *[line for line in lines[first:] if line not in named]]


class LenientChunkedBody(ChunkedBody):
    """A chunked body of an app. A line is looked at leniently once it cannot be a strict one.

    It has no slots, so that `lenient` and what comes next are the class's until such a line came.
    From then on each line is looked at leniently first: to look twice takes three times as long.
    """

    def _other_line(self, data: bytes, at: int) -> re.Match[bytes] | None:
        if not self._prefix.fullmatch(data, at):
            is_first = self._chunk is grammar.FIRST_CHUNK
            loose = grammar.LOOSE_FIRST_CHUNK if is_first else grammar.LOOSE_NEXT_CHUNK
            line = loose.match(data, at)
            if line is not None:
                self._be_lenient()
                return line
            prefix = (
                grammar.LOOSE_FIRST_CHUNK_PREFIX if is_first else grammar.LOOSE_NEXT_CHUNK_PREFIX
            )
            if not prefix.fullmatch(data, at):
                raise HttpError("bad-request", "the framing of a chunk is wrong")
        self._held = data[at:]
        return None

    def _be_lenient(self) -> None:
        self.lenient = True
        self._next_chunk = grammar.LOOSE_NEXT_CHUNK
        self._next_prefix = grammar.LOOSE_NEXT_CHUNK_PREFIX

    def _other_trailers(self, data: bytes, at: int) -> int:
        if not grammar.TRAILERS_PREFIX.fullmatch(data, at):
            section = grammar.LOOSE_TRAILERS.match(data, at)
            if section is not None:
                self._end_leniently(section[0])
                return section.end()
            if not grammar.LOOSE_TRAILERS_PREFIX.fullmatch(data, at):
                raise HttpError("bad-request", "the trailer section is wrong")
        return self._hold_trailers(data, at)

    def _end_leniently(self, section: bytes) -> None:
        """The limit is on the bytes that came."""
        if len(section) > TRAILERS_MAX_BYTES:
            raise too_large_trailers()
        self.lenient = True
        lines = grammar.BARE_LF.sub(b"\r\n", section).split(b"\r\n")
        written = b"\r\n".join(map(_without_space, lines))
        if not grammar.TRAILERS.fullmatch(written):
            raise HttpError("bad-request", "a space before the colon of a trailer about an end")
        self._end_with(written)
