from __future__ import annotations

from protocol.http import limits


def test_limits_are_those_that_were_decided() -> None:
    assert limits.START_LINE_MAX_BYTES == 16_384
    assert limits.HEAD_MAX_BYTES == 32_768
    assert limits.FIELDS_MAX == 256
    assert limits.CHUNK_FRAMING_FREE_BYTES == 16
    assert limits.CHUNK_FRAMING_MAX_BYTES == 16_384
    assert limits.TRAILERS_MAX_BYTES == 8_192
    assert limits.CONTROL_PAYLOAD_MAX_BYTES == 125
    assert 10**limits.CONTENT_LENGTH_MAX_DIGITS < 2**63
    assert 16**limits.CHUNK_SIZE_MAX_DIGITS == 2**64
