"""msgpack of bounded shape, and the bodies of a frame that are one value or a code.

Bodies of each request (open, head, end, reset) are arrays, because they are read for every one; the
others are maps whose unknown keys are ignored, so that they can grow (`map_bodies`), and so is what
open and head end with (`head_bodies`). A body that does not fit its shape raises
RemoteProtocolError and nothing else, whatever its bytes.

What is written is checked as far as strangers have a say in it (a visitor's Host, an app's status):
the peer ends the session when a frame breaks a limit, and no visitor may bring that about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgpack

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.http.fields import Fields
from protocol.limits import (
    CODE_MAX_CHARS,
    FIELDS_MAX,
    HEAD_BODY_MAX_BYTES,
    TEXT_MAX_CHARS,
)

UINT_MAX: Final = 2**63 - 1

# Keys of a map, features of a hello.
WORDS_MAX: Final = 64

# --- reading -------------------------------------------------------------------------------------


def unpack(body: bytes) -> Any:
    """Read one msgpack value. Raises RemoteProtocolError.

    Arrays are held to the number of fields: nested arrays that announce more than they hold would
    else make the parser allocate hundreds of megabytes for a body of 65,000 bytes.
    """
    try:
        return msgpack.unpackb(
            body,
            use_list=False,
            strict_map_key=True,
            max_array_len=FIELDS_MAX,
            max_map_len=WORDS_MAX,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise RemoteProtocolError(f"a body that is not msgpack: {type(error).__name__}") from None


def wrong(what: str) -> RemoteProtocolError:
    """The error of a body that does not fit its shape."""
    return RemoteProtocolError(f"a frame with a wrong {what}")


def is_uint(value: object, maximum: int = UINT_MAX) -> bool:
    return type(value) is int and 0 <= value <= maximum


def is_text(value: object, maximum: int = TEXT_MAX_CHARS) -> bool:
    return type(value) is str and len(value) <= maximum


def are_fields(value: object) -> bool:
    if type(value) is not tuple:
        return False
    for pair in value:
        if type(pair) is not tuple or len(pair) != 2:
            return False
        if type(pair[0]) is not bytes or type(pair[1]) is not bytes:
            return False
    return True


def is_code(value: object) -> bool:
    return type(value) is str and len(value) <= CODE_MAX_CHARS


def read_uint(body: bytes) -> int:
    """Read an ack, credit, ping or pong. Raises RemoteProtocolError."""
    value = unpack(body)
    if not is_uint(value):
        raise wrong("number")
    return int(value)


def read_trailers(body: bytes) -> Fields:
    """Read the body of `end`: empty, or trailer fields. Raises RemoteProtocolError."""
    if not body:
        return ()
    value: Any = unpack(body) if len(body) <= HEAD_BODY_MAX_BYTES else None
    if not are_fields(value):
        raise wrong("end")
    trailers: Fields = value
    return trailers


def read_code(body: bytes) -> tuple[str, str]:
    """Read the code and message of `reset` or `stop-sending`. Raises RemoteProtocolError."""
    value = unpack(body)
    if type(value) is not tuple or len(value) != 2:
        raise wrong("code")
    code, message = value
    if not (is_code(code) and is_text(message)):
        raise wrong("code")
    return code, message


# --- writing -------------------------------------------------------------------------------------

pack: Final[Callable[[object], bytes]] = msgpack.Packer().pack
"""Pack an array, a map or a number in msgpack. It is the packer's own: every frame of ours asks."""


def pack_code(code: str, message: str = "") -> bytes:
    """Pack the body of `reset` or `stop-sending`, its text cut to what the wire carries."""
    return pack((code, clip(message)))


def pack_trailers(trailers: Fields) -> bytes:
    """Pack the body of `end`. Raises LocalProtocolError as `pack_bounded`."""
    return pack_bounded(trailers, trailers) if trailers else b""


def pack_bounded(value: object, fields: Fields) -> bytes:
    """Pack a head or trailers with these fields.

    Raises:
        LocalProtocolError: they are over the limits.
    """
    packed = pack(value)
    if len(packed) > HEAD_BODY_MAX_BYTES or len(fields) > FIELDS_MAX:
        raise LocalProtocolError(f"a head of {len(packed)} bytes, {len(fields)} fields")
    return packed


def clip(text: str) -> str:
    """Cut a text for people to the limit, and to what UTF-8 can carry."""
    return text[:TEXT_MAX_CHARS].encode("utf-8", "replace").decode()
