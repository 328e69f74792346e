"""Bytes as text, as hex, and as an image: what they are, for people."""

from __future__ import annotations

import codecs
import re
from typing import Final, NamedTuple

HEX_ROW_BYTES: Final = 16

# Charsets of texts; Python's list has codecs beside them that are none, or take time.
_CHARSETS: Final = re.compile(
    r"utf-8|utf-16(?:-[lb]e)?|utf-32(?:-[lb]e)?|ascii|iso8859-\d+|cp\d+|koi8-[rutk]"
    r"|shift_jis|euc_jp|iso2022_jp|gbk|gb2312|gb18030|big5|euc_kr|mac-\w+|tis-620"
)
_MARKS: Final = (
    *((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)
# Control characters that no text has; of others a file has none but by mistake.
_NO_TEXT: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]")

_IMAGES: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "image/avif"),
    (re.compile(rb"BM....\0\0\0\0", re.DOTALL), "image/bmp"),
    (re.compile(rb"\x00\x00\x01\x00[^\x00]\x00"), "image/x-icon"),
)


class DecodedText(NamedTuple):
    """A text.

    Fields:
        charset: the one that was used.
        problem: for people.
    """

    text: str
    charset: str
    problem: str | None = None


class HexRow(NamedTuple):
    """A row of a hex dump."""

    offset: int
    digits: str
    characters: str


def decoded_text(data: bytes, charset: str = "") -> DecodedText:
    """Decode a text; what is no character of its charset becomes U+FFFD. Never raises.

    Args:
        charset: as Content-Type says; "": it says none, and a byte order mark tells it, or it is
            UTF-8.
    """
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return DecodedText(data.decode(marked, "replace").removeprefix("\ufeff"), marked)
    if not charset:
        return DecodedText(data.decode("utf-8", "replace"), "utf-8")
    try:
        name = codecs.lookup(charset.strip("'\"")).name
    except (LookupError, ValueError):
        name = ""
    if not _CHARSETS.fullmatch(name):
        said = f"the charset {charset[:40]!r} is not known; shown as UTF-8"
        return DecodedText(data.decode("utf-8", "replace"), "utf-8", said)
    return DecodedText(data.decode(name, "replace"), name)


def is_text(data: bytes) -> bool:
    """Whether bytes are a text in UTF-8, but for a character that is cut off at their end."""
    text = data[:4096].decode("utf-8", "replace")
    return not _NO_TEXT.search(text[:-1] if len(data) > 4096 else text.removesuffix("\ufffd"))


def hex_rows(data: bytes, begin: int, count: int) -> list[HexRow]:
    """Return rows of HEX_ROW_BYTES.

    Args:
        begin, count: of rows.
    """
    last = min(len(data), (begin + count) * HEX_ROW_BYTES)
    return [_hex_row(data, at) for at in range(begin * HEX_ROW_BYTES, last, HEX_ROW_BYTES)]


def _hex_row(data: bytes, at: int) -> HexRow:
    row = data[at : at + HEX_ROW_BYTES]
    return HexRow(at, row.hex(" "), "".join(chr(b) if 0x20 <= b < 0x7F else "." for b in row))


def image_type(data: bytes) -> str | None:
    """Return the type of an image by its first bytes; None: it is none that is shown as one.

    SVG is a page, and never is.
    """
    return next((name for begins, name in _IMAGES if begins.match(data)), None)
