"""A ClientHello that is not whole, which OpenSSL waits for up to 128 KiB of."""

from __future__ import annotations

_RECORD_MAX_BYTES = 16 * 1024
_ANNOUNCED_BYTES = 131_000  # OpenSSL takes no more than 131,396


def unfinished_hello(size_bytes: int) -> bytes:
    """So many bytes on the line."""
    message = b"\x01" + _ANNOUNCED_BYTES.to_bytes(3, "big") + b"\x03\x03" + bytes(_ANNOUNCED_BYTES)
    starts = range(0, len(message), _RECORD_MAX_BYTES)
    pieces = [message[start : start + _RECORD_MAX_BYTES] for start in starts]
    records = (b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)
    return b"".join(records)[:size_bytes]
