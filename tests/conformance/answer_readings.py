"""Answers that programs read in one way, or in two: the rows of a table of docs/conformance.md.

Each row is what an app writes, and behind it stands another answer that nobody asked for: who reads
on where the first one has ended has read another body.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Row(NamedTuple):
    """One liberty.

    Fields:
        name: of the row.
        section: where the RFC speaks of it.
        said: there, in our words.
        answer: an app's bytes.
        taken: the body that is read here; None: refused, or cut off.
    """

    name: str
    section: str
    said: str
    answer: bytes
    taken: bytes | None


BEHIND: Final = b"HTTP/1.1 299 Behind\r\nContent-Length: 0\r\n\r\n"

_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
_LENGTH: Final = b"Content-Length: 2\r\n"
_LAST: Final = b"0\r\n\r\n"

# A reader that takes any two bytes behind data for its end finds a size of 3 here; one that ends a
# line at LF finds 0x13, and what the other one takes for the last chunk is data.
_TWO_SIZES: Final = b"1\r\na\n13\r\nxyz\r\n0\r\n\r\n.........\r\n0\r\n\r\n"


def _head(fields: bytes, line: bytes = b"HTTP/1.1 200 OK\r\n") -> bytes:
    return line + fields + b"\r\n"


def _chunks(body: bytes) -> bytes:
    return _head(_CHUNKED) + body


LF_ENDS: Final = "a recipient may end a line at a single LF and ignore a CR before it"
SPACE_GOES: Final = "a proxy must remove whitespace between name and colon from an answer"
ONE_LENGTH: Final = "a recipient may take a list of one same value for that value, or refuse it"
NO_SPACE: Final = "no space before CRLF; before an extension it is bad, and must be read over"
CRLF_BEHIND: Final = "data ends with CRLF"

ROWS: Final = (
    Row("LF behind every line of the head", "9112 2.2", LF_ENDS,
        _head(_LENGTH).replace(b"\r\n", b"\n") + b"ok", b"ok"),
    Row("LF behind some lines of the head", "9112 2.2", LF_ENDS,
        _head(b"A: b\n" + _LENGTH) + b"ok", b"ok"),
    Row("LF as the empty line", "9112 2.2", LF_ENDS,
        _head(_LENGTH)[:-2] + b"\nok", b"ok"),
    Row("LF in a 103", "9112 2.2", LF_ENDS,
        b"HTTP/1.1 103 Early Hints\nLink: </a>\n\n" + _head(_LENGTH) + b"ok", b"ok"),
    Row("a space before a colon, behind the length", "9112 5.1", SPACE_GOES,
        _head(_LENGTH + b"A : b\r\n") + b"ok", b"ok"),
    Row("a space before a colon, before the length", "9112 5.1", SPACE_GOES,
        _head(b"A : b\r\n" + _LENGTH) + b"ok", b"ok"),
    Row("a tab before a colon", "9112 5.1", SPACE_GOES,
        _head(_LENGTH + b"A\t: b\r\n") + b"ok", b"ok"),
    Row("two equal lengths", "9110 8.6", ONE_LENGTH, _head(_LENGTH * 2) + b"ok", b"ok"),
    Row("equal lengths in a list", "9110 8.6", ONE_LENGTH,
        _head(b"Content-Length: 2, 2\r\n") + b"ok", b"ok"),
    Row("one number in two spellings", "9110 8.6", ONE_LENGTH,
        _head(_LENGTH + b"Content-Length: 02\r\n") + b"ok", b"ok"),
    Row("spaces behind a chunk's size", "9112 7.1", NO_SPACE,
        _chunks(b"2  \r\nok\r\n0  \r\n\r\n"), b"ok"),
    Row("a tab behind a chunk's size", "9112 7.1", NO_SPACE,
        _chunks(b"2\t\r\nok\r\n" + _LAST), b"ok"),
    Row("a space before an extension", "9112 7.1.1", NO_SPACE,
        _chunks(b"2 ;a=b\r\nok\r\n" + _LAST), b"ok"),
    Row("LF behind a chunk's size", "9112 2.2", LF_ENDS,
        _chunks(b"2\nok\r\n0\n\r\n"), b"ok"),
    Row("LF behind an extension", "9112 2.2", LF_ENDS,
        _chunks(b"2;a=b\nok\r\n" + _LAST), b"ok"),
    Row("LF behind a trailer", "9112 2.2", LF_ENDS,
        _chunks(b"2\r\nok\r\n0\r\nA: b\n\r\n"), b"ok"),
    Row("LF behind the trailers", "9112 2.2", LF_ENDS,
        _chunks(b"2\r\nok\r\n0\r\n\n"), b"ok"),
    Row("a space before a trailer's colon", "9112 5.1", SPACE_GOES,
        _chunks(b"2\r\nok\r\n0\r\nA : b\r\n\r\n"), b"ok"),
    # --- refused ---
    Row("LF behind a chunk's data", "9112 7.1", CRLF_BEHIND, _chunks(_TWO_SIZES), None),
    Row("a space before the colon of Content-Length", "9112 5.1", SPACE_GOES,
        _head(b"Content-Length : 2\r\n") + b"ok", None),
    Row("a space before the colon of Transfer-Encoding", "9112 5.1", SPACE_GOES,
        _head(b"Transfer-Encoding : chunked\r\n") + b"2\r\nok\r\n" + _LAST, None),
    Row("a space before the colon of Connection", "9112 5.1", SPACE_GOES,
        _head(b"Connection : close\r\n" + _LENGTH) + b"ok", None),
    Row("a space before the colon of Upgrade", "9112 5.1", SPACE_GOES,
        _head(b"Upgrade : h2c\r\n" + _LENGTH) + b"ok", None),
    Row("a bare CR in a value", "9112 2.2", "a bare CR is wrong, or becomes SP",
        _head(b"A: b\rContent-Length: 1\r\n" + _LENGTH) + b"ok", None),
    Row("a folded line", "9112 5.2", "a proxy must refuse it, or put SP in its place",
        _head(b"A: b\r\n Content-Length: 1\r\n" + _LENGTH) + b"ok", None),
    Row("a folded length", "9112 5.2", "a proxy must refuse it, or put SP in its place",
        _head(b"Content-Length:\r\n 2\r\n") + b"ok", None),
    Row("two lengths that differ", "9112 6.3", "an unrecoverable error",
        _head(_LENGTH + b"Content-Length: 1\r\n") + b"ok", None),
    Row("a length beside chunked", "9112 6.3", "chunked counts; it may be an attack",
        _head(_CHUNKED + _LENGTH) + b"2\r\nok\r\n" + _LAST, None),
    Row("a size with 0x", "9112 7.1", "hexadecimal digits",
        _chunks(b"0x2\r\nok\r\n" + _LAST), None),
    Row("a size with a sign", "9112 7.1", "hexadecimal digits",
        _chunks(b"+2\r\nok\r\n" + _LAST), None),
    Row("a space before a size", "9112 7.1", "hexadecimal digits",
        _chunks(b" 2\r\nok\r\n" + _LAST), None),
    Row("a size and another word", "9112 7.1", "hexadecimal digits",
        _chunks(b"2 2\r\nok\r\n" + _LAST), None),
    Row("a bare CR behind a size", "9112 7.1", "hexadecimal digits, then CRLF",
        _chunks(b"2\rok\r\n" + _LAST), None),
)  # fmt: skip
