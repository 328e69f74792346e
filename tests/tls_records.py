"""Records of a client of TLS 1.3, KeyUpdates among them, which Python's ssl does not send.

A client whose keys were logged is gone on with here, behind its handshake.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_UPDATE_BYTES = 5 + 5 + 1 + 16  # the record's header, the message, the type inside, the tag
_HANDSHAKE, _PLAIN_TEXT = b"\x16", b"\x17"


def logging_context(log: Path) -> ssl.SSLContext:
    """A client's, which writes its keys to `log`."""
    context = ssl.create_default_context()
    context.keylog_filename = str(log)
    return context


class ClientRecords:
    """What a client sends next that has sent nothing since its handshake (RFC 8446 5.2).

    Args:
        log: where its keys are; the suite is TLS_AES_256_GCM_SHA384, which OpenSSL takes first.
    """

    def __init__(self, log: Path) -> None:
        lines = log.read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("CLIENT_TRAFFIC_SECRET_0 "))
        self._use(bytes.fromhex(line.split()[2]))

    def __repr__(self) -> str:
        return f"<ClientRecords {self._sent} with this key>"

    def plain(self, data: bytes) -> bytes:
        return self._record(data + _PLAIN_TEXT)

    def key_updates(self, count: int, *, requested: bool = False) -> bytes:
        """So many (RFC 8446 4.6.3); where they are requested the server has to send as many."""
        return b"".join(self._key_update(requested) for _ in range(count))

    def _key_update(self, requested: bool) -> bytes:
        record = self._record(b"\x18\0\0\x01" + bytes([requested]) + _HANDSHAKE)
        self._use(_expand(self._secret, b"traffic upd", 48))
        return record

    def _use(self, secret: bytes) -> None:
        self._secret = secret
        self._key = AESGCM(_expand(secret, b"key", 32))
        self._iv = int.from_bytes(_expand(secret, b"iv", 12), "big")
        self._sent = 0

    def _record(self, inner: bytes) -> bytes:
        header = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        nonce = (self._iv ^ self._sent).to_bytes(12, "big")
        self._sent += 1
        return header + self._key.encrypt(nonce, inner, header)


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446 7.1) with an empty context; one block is enough."""
    name = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(name)]) + name + b"\0\x01"
    return hmac.digest(secret, info, hashlib.sha384)[:size]
