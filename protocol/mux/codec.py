"""The bodies of all frames but `data`: msgpack, of bounded and checked shape.

Per-request bodies (open, head, end, reset) are arrays, because they are read for every request; the
others are maps whose unknown keys are ignored, so that they can grow. A body that does not fit its
shape raises RemoteProtocolError and nothing else, whatever its bytes.

What is written is checked as far as strangers have a say in it (a visitor's Host, an app's status):
the peer ends the session when a frame breaks a limit, and no visitor may bring that about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgpack

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.http.fields import Fields
from protocol.limits import (
    ADDRESS_MAX_CHARS,
    CODE_MAX_CHARS,
    FIELDS_MAX,
    HEAD_BODY_MAX_BYTES,
    STREAMS_MAX,
    TEXT_MAX_CHARS,
)
from protocol.mux.messages import (
    Claim,
    Claimed,
    Goaway,
    Head,
    Hello,
    Open,
    Refused,
    Release,
    Resume,
    Resumed,
    Welcome,
)

UINT_MAX: Final = 2**63 - 1

# Keys of a map, features of a hello.
_WORDS_MAX: Final = 64

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
            max_map_len=_WORDS_MAX,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise RemoteProtocolError(f"a body that is not msgpack: {type(error).__name__}") from None


def _fail(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"a frame with a wrong {what}")


def _is_uint(value: object, maximum: int = UINT_MAX) -> bool:
    return type(value) is int and 0 <= value <= maximum


def _is_text(value: object, maximum: int = TEXT_MAX_CHARS) -> bool:
    return type(value) is str and len(value) <= maximum


def _are_fields(value: object) -> bool:
    if type(value) is not tuple:
        return False
    for pair in value:
        if type(pair) is not tuple or len(pair) != 2:
            return False
        if type(pair[0]) is not bytes or type(pair[1]) is not bytes:
            return False
    return True


def _is_request_form(value: object) -> bool:
    return value is None or _is_uint(value) or (type(value) is str and value == "chunked")


def _is_answer_form(value: object) -> bool:
    return _is_request_form(value) or (type(value) is str and value == "until-close")


def read_uint(body: bytes) -> int:
    """Read an ack, credit, ping or pong. Raises RemoteProtocolError."""
    value = unpack(body)
    if not _is_uint(value):
        raise _fail("number")
    return int(value)


_OPEN_LENGTH: Final = len(Open._fields)
# All but the body form, which has a type of its own.
_OPEN_TYPES: Final = (str, int, bytes, bytes, bytes, tuple, str, str, str, int)


def read_open(body: bytes) -> Open:
    """Read the body of `open`. Raises RemoteProtocolError."""
    value = unpack(body) if len(body) <= HEAD_BODY_MAX_BYTES else None
    if type(value) is not tuple or len(value) != _OPEN_LENGTH:
        raise _fail("open")
    opened = Open._make(value)
    if not (
        (*map(type, value[:6]), *map(type, value[7:])) == _OPEN_TYPES
        and len(opened.kind) <= CODE_MAX_CHARS
        and 0 <= opened.claim <= UINT_MAX
        and _are_fields(opened.fields)
        and _is_request_form(opened.body)
        and len(opened.scheme) <= CODE_MAX_CHARS
        and len(opened.host) <= TEXT_MAX_CHARS
        and len(opened.visitor) <= ADDRESS_MAX_CHARS
        and 0 <= opened.credit <= UINT_MAX
    ):
        raise _fail("open")
    return opened


def read_head(body: bytes) -> Head:
    """Read the body of `head`. Raises RemoteProtocolError."""
    value = unpack(body) if len(body) <= HEAD_BODY_MAX_BYTES else None
    if type(value) is not tuple or len(value) != 4:
        raise _fail("head")
    head = Head._make(value)
    if not (
        type(head.status) is int
        and 100 <= head.status <= 999
        and type(head.reason) is bytes
        and _are_fields(head.fields)
        and _is_answer_form(head.body)
    ):
        raise _fail("head")
    return head


def read_trailers(body: bytes) -> Fields:
    """Read the body of `end`: empty, or trailer fields. Raises RemoteProtocolError."""
    if not body:
        return ()
    value: Any = unpack(body) if len(body) <= HEAD_BODY_MAX_BYTES else None
    if not _are_fields(value):
        raise _fail("end")
    trailers: Fields = value
    return trailers


def read_code(body: bytes) -> tuple[str, str]:
    """Read the code and message of `reset` or `stop-sending`. Raises RemoteProtocolError."""
    value = unpack(body)
    if type(value) is not tuple or len(value) != 2:
        raise _fail("code")
    code, message = value
    if not (_is_code(code) and _is_text(message)):
        raise _fail("code")
    return code, message


_Shape = Mapping[str, Callable[[object], bool]]


def _is_bytes(length: int) -> Callable[[object], bool]:
    return lambda value: type(value) is bytes and len(value) == length


def _is_code(value: object) -> bool:
    return type(value) is str and len(value) <= CODE_MAX_CHARS


def _is_words(value: object) -> bool:
    if type(value) is not tuple or len(value) > _WORDS_MAX:
        return False
    return all(_is_code(word) for word in value)


def _is_option(value: object) -> bool:
    """One value, or an array of them: nothing nests deeper."""
    values = value if type(value) is tuple else (value,)
    return all(type(one) in (bool, int, str, bytes) for one in values)


def _is_options(value: object) -> bool:
    if type(value) is not dict:
        return False
    return all(_is_code(key) and _is_option(option) for key, option in value.items())


def _is_seconds(value: object) -> bool:
    return _is_uint(value, 86_400)


def _is_interval(value: object) -> bool:
    return _is_seconds(value) and value != 0


def _is_count(value: object) -> bool:
    return _is_uint(value, STREAMS_MAX)


_HELLO: Final[_Shape] = {
    "features": _is_words,
    "agent": _is_text,
    "max_streams": _is_count,
    "body_credit": _is_uint,
}
_WELCOME: Final[_Shape] = {
    "features": _is_words,
    "agent": _is_text,
    "session": _is_bytes(16),
    "secret": _is_bytes(32),
    "ping_interval_s": _is_interval,
    "timeout_s": _is_interval,
    "hold_s": _is_seconds,
}
_RESUME: Final[_Shape] = {
    "session": _is_bytes(16),
    "secret": _is_bytes(32),
    "attempt": _is_uint,
    "received": _is_uint,
}
_RESUMED: Final[_Shape] = {"received": _is_uint}
_CLAIM: Final[_Shape] = {
    "claim": _is_uint,
    "name": _is_text,
    "instance": _is_bytes(16),
    "start": lambda value: type(value) is bool,
    "options": _is_options,
    "default": _is_text,
}
_CLAIM_ABSENT: Final = {"default": None}  # of clients up to 0.2
_CLAIMED: Final[_Shape] = {"claim": _is_uint, "name": _is_text, "url": _is_text}
_SAID: Final[_Shape] = {"claim": _is_uint, "code": _is_code, "message": _is_text}
_GOAWAY: Final[_Shape] = {"code": _is_code, "message": _is_text, "deadline_s": _is_seconds}


def _read_map(
    body: bytes, shape: _Shape, absent: Mapping[str, object] = MappingProxyType({})
) -> list[Any]:
    """The values of a map; `absent` has those of keys that came with a later version."""
    value = unpack(body)
    if type(value) is not dict:
        raise _fail("body")
    for key, fits in shape.items():
        if not fits(value.get(key)) and (key in value or key not in absent):
            raise _fail(key)
    return [value.get(key, absent.get(key)) for key in shape]


def read_hello(body: bytes) -> Hello:
    """Read the body of `hello`. Raises RemoteProtocolError."""
    return Hello._make(_read_map(body, _HELLO))


def read_welcome(body: bytes) -> Welcome:
    """Read the body of `welcome`. Raises RemoteProtocolError."""
    return Welcome._make(_read_map(body, _WELCOME))


def read_resume(body: bytes) -> Resume:
    """Read the body of `resume`. Raises RemoteProtocolError."""
    return Resume._make(_read_map(body, _RESUME))


def read_resumed(body: bytes) -> Resumed:
    """Read the body of `resumed`. Raises RemoteProtocolError."""
    return Resumed._make(_read_map(body, _RESUMED))


def read_claim(body: bytes) -> Claim:
    """Read the body of `claim`. Raises RemoteProtocolError."""
    return Claim._make(_read_map(body, _CLAIM, _CLAIM_ABSENT))


def read_claimed(body: bytes) -> Claimed:
    """Read the body of `claimed`. Raises RemoteProtocolError."""
    return Claimed._make(_read_map(body, _CLAIMED))


def read_refused(body: bytes) -> Refused:
    """Read the body of `refused`. Raises RemoteProtocolError."""
    return Refused._make(_read_map(body, _SAID))


def read_release(body: bytes) -> Release:
    """Read the body of `release`. Raises RemoteProtocolError."""
    return Release._make(_read_map(body, _SAID))


def read_goaway(body: bytes) -> Goaway:
    """Read the body of `goaway`. Raises RemoteProtocolError."""
    return Goaway._make(_read_map(body, _GOAWAY))


# --- writing -------------------------------------------------------------------------------------

_MapMessage = Hello | Welcome | Resume | Resumed | Claim | Claimed | Refused | Release | Goaway


_PACKER: Final = msgpack.Packer()


def pack(value: object) -> bytes:
    """Pack any of the arrays or numbers above in msgpack."""
    packed: bytes = _PACKER.pack(value)
    return packed


def pack_map(message: _MapMessage) -> bytes:
    """Pack one of the messages that are maps, without the keys that it leaves out (None).

    A text for people is cut to what the wire carries.
    """
    said = {key: value for key, value in message._asdict().items() if value is not None}
    if "message" in said:
        said["message"] = _clip(said["message"])
    return pack(said)


def pack_code(code: str, message: str = "") -> bytes:
    """Pack the body of `reset` or `stop-sending`, its text cut likewise."""
    return pack((code, _clip(message)))


def pack_open(opened: Open) -> bytes:
    """Pack an `open`.

    Raises:
        LocalProtocolError: a head over the limits, or facts that the peer would refuse.
    """
    if not (
        _is_request_form(opened.body)
        and len(opened.host) <= TEXT_MAX_CHARS
        and len(opened.visitor) <= ADDRESS_MAX_CHARS
    ):
        raise LocalProtocolError(f"an open of {len(opened.host)} characters of host")
    return _pack_bounded(opened, opened.fields)


def pack_head(head: Head) -> bytes:
    """Pack a `head`. Raises LocalProtocolError likewise."""
    if not (100 <= head.status <= 999 and _is_answer_form(head.body)):
        raise LocalProtocolError(f"a head with status {head.status} and body {head.body!r}")
    return _pack_bounded(head, head.fields)


def pack_trailers(trailers: Fields) -> bytes:
    """Pack the body of `end`. Raises LocalProtocolError likewise."""
    return _pack_bounded(trailers, trailers) if trailers else b""


def _pack_bounded(value: object, fields: Fields) -> bytes:
    packed = pack(value)
    if len(packed) > HEAD_BODY_MAX_BYTES or len(fields) > FIELDS_MAX:
        raise LocalProtocolError(f"a head of {len(packed)} bytes, {len(fields)} fields")
    return packed


def _clip(text: str) -> str:
    """Cut a text for people to the limit, and to what UTF-8 can carry."""
    return text[:TEXT_MAX_CHARS].encode("utf-8", "replace").decode()
