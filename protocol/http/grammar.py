"""The grammar of RFC 9110 and 9112 as regular expressions, the strict one: for both directions.

What an app may write beside it, where it can be read in one way alone, has a part of its own.

All are used with fullmatch or match. They are written so that no byte can be matched in two ways:
a run of one class never meets a neighbour of the same class, and runs are possessive (`++`), so a
mismatch is found in time linear in the input. Classes say what is allowed, not what is refused,
which sre also matches faster.
"""

from __future__ import annotations

import re
from typing import Final

from protocol.http.limits import (
    CHUNK_RUN_DATA_MAX_BYTES,
    CHUNK_RUN_ZEROS_MAX,
    CHUNK_SIZE_MAX_DIGITS,
    CONTENT_LENGTH_MAX_DIGITS,
)

_TCHAR: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_TOKEN: Final = _TCHAR + rb"++"
# HTAB, SP, VCHAR, obs-text: no other control byte, no DEL (RFC 9110 5.5).
_TEXT: Final = rb"[\t\x20-\x7e\x80-\xff]"
_VISIBLE: Final = rb"[\x21-\x7e\x80-\xff]"
# The bytes of a target: visible ASCII but "#", which starts a fragment and is never sent.
_TARGET: Final = rb"[\x21\x22\x24-\x7e]"

# Field lines as they are received. No whitespace before the colon, none at the start of a line
# (obs-fold), and a line ends with CRLF and nothing else.
_FIELD_LINES: Final = rb"(?:" + _TOKEN + rb":" + _TEXT + rb"*+\r\n)*"

# One of them, once they are known to be well-formed. The whitespace behind the value is in it.
FIELD: Final = re.compile(rb"(" + _TOKEN + rb"):[ \t]*(" + _TEXT + rb"*+)\r\n")

METHOD: Final = re.compile(_TOKEN)
REASON: Final = re.compile(_TEXT + rb"*+")
ORIGIN_FORM: Final = re.compile(rb"/" + _TARGET + rb"*+")
ABSOLUTE_FORM: Final = re.compile(
    rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?]*+)(" + _TARGET + rb"*+)",
)

# uri-host [ ":" port ] (RFC 9110 7.2, RFC 3986 3.2.2), with a host and, after a colon, a port.
HOST: Final = re.compile(
    rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=]++|%[0-9A-Fa-f]{2})+(?::[0-9]{1,5})?"
    rb"|\[[0-9A-Fa-f:.]++\](?::[0-9]{1,5})?"
)

REQUEST_LINE: Final = re.compile(
    rb"(" + _TOKEN + rb") (" + _TARGET + rb"++) HTTP/([0-9]\.[0-9])\r\n"
)
# Whole heads; the last group is their field lines, which FIELD takes apart.
REQUEST_HEAD: Final = re.compile(
    rb"(" + _TOKEN + rb") (" + _TARGET + rb"++) HTTP/(1\.[01])\r\n(" + _FIELD_LINES + rb")\r\n"
)

# The space before a missing reason is often missing as well, and nothing depends on it.
STATUS_LINE: Final = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9]{2})(?: (" + _TEXT + rb"*+))?\r\n")
RESPONSE_HEAD: Final = re.compile(STATUS_LINE.pattern + rb"(" + _FIELD_LINES + rb")\r\n")

# A member of Upgrade (RFC 9110 7.8).
PROTOCOL: Final = re.compile(_TOKEN + rb"(?:/" + _TOKEN + rb")?")

LENGTH: Final = re.compile(rb"[0-9]{1,%d}" % CONTENT_LENGTH_MAX_DIGITS)

# --- chunks (RFC 9112 7.1) -----------------------------------------------------------------------

# No whitespace around the size. Extensions are dropped, so only their bytes are judged.
_SIZE: Final = rb"[0-9A-Fa-f]{1,%d}" % CHUNK_SIZE_MAX_DIGITS
_EXTENSION: Final = rb"(?:;" + _TEXT + rb"*+)?"

FIRST_CHUNK: Final = re.compile(rb"(" + _SIZE + rb")" + _EXTENSION + rb"\r\n")
NEXT_CHUNK: Final = re.compile(rb"\r\n" + FIRST_CHUNK.pattern)
FIRST_CHUNK_PREFIX: Final = re.compile(rb"(?:" + _SIZE + _EXTENSION + rb"\r?)?")
NEXT_CHUNK_PREFIX: Final = re.compile(rb"\r?|\r\n" + FIRST_CHUNK_PREFIX.pattern)


def _short_chunk(size: int) -> bytes:
    """A size of one digit, behind its zeros, and so many bytes of whatever value."""
    digit = b"%x" % size
    either = digit if size < 10 else b"[%b%b]" % (digit, digit.upper())
    return either + rb"\r\n[\x00-\xff]{%d}" % size


_SHORT_CHUNK: Final = b"|".join(map(_short_chunk, range(1, CHUNK_RUN_DATA_MAX_BYTES + 1)))
_SHORT_FRAMING: Final = rb"\r\n0{0,%d}" % CHUNK_RUN_ZEROS_MAX

# As many short chunks without extensions as follow each other, and what each has behind its zeros:
# a digit, CRLF and the data.
SHORT_CHUNKS: Final = re.compile(rb"(?:" + _SHORT_FRAMING + rb"(?:" + _SHORT_CHUNK + rb"))++")
SHORT_CHUNK: Final = re.compile(_SHORT_FRAMING + rb"(" + _SHORT_CHUNK + rb")")
SHORT_CHUNK_DATA_AT: Final = 3

TRAILERS: Final = re.compile(_FIELD_LINES + rb"\r\n")
TRAILERS_PREFIX: Final = re.compile(
    _FIELD_LINES + rb"(?:" + _TOKEN + rb"(?::" + _TEXT + rb"*+\r?)?|\r)?"
)

# --- what an app may write beside it: see lenient.py ---------------------------------------------

# A line end that is no CRLF, and a name with whitespace behind it.
BARE_LF: Final = re.compile(rb"(?<!\r)\n")
SPACED_NAME: Final = re.compile(rb"(" + _TOKEN + rb")[ \t]++:")

# Whitespace behind a size, and a bare LF behind a line; but the CRLF that ends a chunk's data stays
# what it is.
_LOOSE_LINE: Final = rb"[ \t]*+" + _EXTENSION
LOOSE_FIRST_CHUNK: Final = re.compile(rb"(" + _SIZE + rb")" + _LOOSE_LINE + rb"\r?\n")
LOOSE_NEXT_CHUNK: Final = re.compile(rb"\r\n" + LOOSE_FIRST_CHUNK.pattern)
LOOSE_FIRST_CHUNK_PREFIX: Final = re.compile(rb"(?:" + _SIZE + _LOOSE_LINE + rb"\r?)?")
LOOSE_NEXT_CHUNK_PREFIX: Final = re.compile(rb"\r?|\r\n" + LOOSE_FIRST_CHUNK_PREFIX.pattern)

_LOOSE_FIELD_LINES: Final = rb"(?:" + _TOKEN + rb"[ \t]*+:" + _TEXT + rb"*+\r?\n)*"
LOOSE_TRAILERS: Final = re.compile(_LOOSE_FIELD_LINES + rb"\r?\n")
LOOSE_TRAILERS_PREFIX: Final = re.compile(
    _LOOSE_FIELD_LINES + rb"(?:" + _TOKEN + rb"[ \t]*+(?::" + _TEXT + rb"*+\r?)?|\r)?"
)

# --- what we write -------------------------------------------------------------------------------

# Names one after the other, and lines as they leave: value without whitespace around it.
NAME_BYTES: Final = re.compile(_TCHAR + rb"*+")
LINES_TO_SEND: Final = re.compile(
    rb"(?:" + _TOKEN + rb": (?:" + _VISIBLE + _TEXT + rb"*+(?<![ \t]))?\r\n)*"
)

# 16 bytes in base64 (RFC 6455 4.1).
WEBSOCKET_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
