"""The numbers of HTTP and WebSocket, each with the reason for it.

All are counted on bytes as they came from the socket, before h11 sees them: h11's one limit depends
on how the bytes were split into reads, and cannot tell a long request line from a long head.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024

# --- heads ---------------------------------------------------------------------------------------

# The first line, without its CRLF. Long enough for a search page's query or a signed URL; common
# servers take 8 KiB, and a form that was sent by GET can be twice that. Beyond it: 414.
START_LINE_MAX_BYTES: Final = 16 * KIB

# A whole head, with the empty line that ends it. Browsers send 1 to 4 KiB, with the cookies of a
# single sign-on up to 16; a head also has to fit one message of the wire. Beyond it: 431.
HEAD_MAX_BYTES: Final = 32 * KIB

# Field lines of a head, and those of a trailer section: a dozen is usual. Each costs more than its
# bytes, here and in every program behind. Beyond it: 431.
FIELDS_MAX: Final = 256

# --- bodies --------------------------------------------------------------------------------------

# Digits of a Content-Length, before int() sees them: below 2**63, which msgpack and every peer can
# hold, and an exabyte all the same.
CONTENT_LENGTH_MAX_DIGITS: Final = 18

# Hexadecimal digits of a chunk size: 64 bits, as most peers count.
CHUNK_SIZE_MAX_DIGITS: Final = 16

# Bytes of a chunked body that are not body: size lines with their extensions, and the CRLF after
# each chunk. The first few of each chunk are free, since an app that streams letter by letter needs
# 5 for each; of the rest so much, and one byte more for each byte of body, so that extensions
# without an end are no way to keep us busy. No line may be longer, because a line is held whole.
CHUNK_FRAMING_FREE_BYTES: Final = 16
CHUNK_FRAMING_MAX_BYTES: Final = 16 * KIB

# Short chunks are read as a run, whatever their sizes: of data no longer than one digit says, with
# no more zeros before that than make their framing free.
CHUNK_RUN_DATA_MAX_BYTES: Final = 15
CHUNK_RUN_ZEROS_MAX: Final = CHUNK_FRAMING_FREE_BYTES - len(b"\r\nf\r\n")

# Of a read: 4 KiB may be 680 frames of no bytes, which take 0.1 to 0.2 ms; and what brings fewer
# than one piece in 64 bytes is no more work than plain bytes. A chunk with an extension costs most:
# 32 KiB of them take 8 ms. The client reads as much at once of heads, and of chunks; loose ones
# take 12 ms, so where a read has brought more pieces the next one brings less.
READ_FIRST_BYTES: Final = 4 * KIB
READ_MOST_BYTES: Final = 64 * KIB
READ_CHUNKS_MOST_BYTES: Final = 32 * KIB
READ_PIECES_MOST_BYTES: Final = 8 * KIB
READ_PIECE_BYTES: Final = 64

# The trailer section with the empty line that ends it: a checksum, a signature, gRPC's status.
TRAILERS_MAX_BYTES: Final = 8 * KIB

# --- WebSocket -----------------------------------------------------------------------------------

# RFC 6455 5.5. Also what makes it possible to hold a control frame until it is whole.
CONTROL_PAYLOAD_MAX_BYTES: Final = 125
