"""The bodies that are maps: those of the handshake, of claims and of the session's own end.

Keys that this version does not know are ignored, so that maps can grow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from protocol.limits import STREAMS_MAX
from protocol.mux.codec import WORDS_MAX, clip, is_code, is_text, is_uint, pack, unpack, wrong
from protocol.mux.messages import (
    Claim,
    Claimed,
    Goaway,
    Gone,
    Hello,
    Refused,
    Release,
    Resume,
    Resumed,
    Welcome,
)

_Shape = Mapping[str, Callable[[object], bool]]


def _is_bytes(length: int) -> Callable[[object], bool]:
    return lambda value: type(value) is bytes and len(value) == length


def _is_words(value: object) -> bool:
    if type(value) is not tuple or len(value) > WORDS_MAX:
        return False
    return all(is_code(word) for word in value)


def _is_option(value: object) -> bool:
    """One value, or an array of them: nothing nests deeper."""
    values = value if type(value) is tuple else (value,)
    return all(type(one) in (bool, int, str, bytes) for one in values)


def _is_options(value: object) -> bool:
    if type(value) is not dict:
        return False
    return all(is_code(key) and _is_option(option) for key, option in value.items())


def _is_seconds(value: object) -> bool:
    return is_uint(value, 86_400)


def _is_interval(value: object) -> bool:
    return _is_seconds(value) and value != 0


def _is_count(value: object) -> bool:
    return is_uint(value, STREAMS_MAX)


_HELLO: Final[_Shape] = {
    "features": _is_words,
    "agent": is_text,
    "max_streams": _is_count,
    "body_credit": is_uint,
}
_WELCOME: Final[_Shape] = {
    "features": _is_words,
    "agent": is_text,
    "session": _is_bytes(16),
    "secret": _is_bytes(32),
    "ping_interval_s": _is_interval,
    "timeout_s": _is_interval,
    "hold_s": _is_seconds,
}
_RESUME: Final[_Shape] = {
    "session": _is_bytes(16),
    "secret": _is_bytes(32),
    "attempt": is_uint,
    "received": is_uint,
}
_RESUMED: Final[_Shape] = {"received": is_uint}
_CLAIM: Final[_Shape] = {
    "claim": is_uint,
    "name": is_text,
    "instance": _is_bytes(16),
    "start": lambda value: type(value) is bool,
    "options": _is_options,
    "default": is_text,
}
_CLAIM_ABSENT: Final = {"default": None}  # of clients up to 0.2
_CLAIMED: Final[_Shape] = {"claim": is_uint, "name": is_text, "url": is_text, "note": is_text}
_CLAIMED_ABSENT: Final = {"note": None}  # where there is nothing to say, and of servers up to 0.2
_SAID: Final[_Shape] = {"claim": is_uint, "code": is_code, "message": is_text}
_GONE: Final[_Shape] = {"connection": is_uint}
_GOAWAY: Final[_Shape] = {"code": is_code, "message": is_text, "deadline_s": _is_seconds}


def _read_map(
    body: bytes, shape: _Shape, absent: Mapping[str, object] = MappingProxyType({})
) -> list[Any]:
    """The values of a map; `absent` has those of keys that came with a later version."""
    value = unpack(body)
    if type(value) is not dict:
        raise wrong("body")
    for key, fits in shape.items():
        if not fits(value.get(key)) and (key in value or key not in absent):
            raise wrong(key)
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
    return Claimed._make(_read_map(body, _CLAIMED, _CLAIMED_ABSENT))


def read_refused(body: bytes) -> Refused:
    """Read the body of `refused`. Raises RemoteProtocolError."""
    return Refused._make(_read_map(body, _SAID))


def read_release(body: bytes) -> Release:
    """Read the body of `release`. Raises RemoteProtocolError."""
    return Release._make(_read_map(body, _SAID))


def read_goaway(body: bytes) -> Goaway:
    """Read the body of `goaway`. Raises RemoteProtocolError."""
    return Goaway._make(_read_map(body, _GOAWAY))


def read_gone(body: bytes) -> Gone:
    """Read the body of `gone`. Raises RemoteProtocolError."""
    return Gone._make(_read_map(body, _GONE))


_FOR_PEOPLE: Final = frozenset({"message", "note"})

_MapMessage = (
    Hello | Welcome | Resume | Resumed | Claim | Claimed | Refused | Release | Goaway | Gone
)


def pack_map(message: _MapMessage) -> bytes:
    """Pack one of the messages that are maps, without the keys that it leaves out (None).

    A text for people is cut to what the wire carries.
    """
    said = {key: value for key, value in message._asdict().items() if value is not None}
    for key in _FOR_PEOPLE & said.keys():
        said[key] = clip(said[key])
    return pack(said)
