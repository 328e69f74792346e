"""The first message each way: hello and welcome, each alone in its message.

A client may offer `resume` first; an end that cannot resume answers `refused` with
`unknown-session`, and the client goes on with hello on the same connection.
"""

from __future__ import annotations

from protocol.errors import HandshakeRefused, RemoteProtocolError
from protocol.mux.codec import (
    pack_map,
    read_goaway,
    read_hello,
    read_refused,
    read_resume,
    read_welcome,
)
from protocol.mux.messages import Hello, Refused, Resume, Welcome
from protocol.mux.wire import Frame, FrameType, frame, split_message


def _only_frame(message: bytes) -> Frame:
    frames = split_message(message)
    if len(frames) != 1 or frames[0][1] != 0:
        raise RemoteProtocolError("the handshake's messages hold one frame of the session")
    return frames[0]


def hello_message(hello: Hello) -> bytes:
    """What a client sends first on a new session."""
    return frame(FrameType.HELLO, 0, pack_map(hello))


def welcome_message(welcome: Welcome) -> bytes:
    """What a server answers to hello."""
    return frame(FrameType.WELCOME, 0, pack_map(welcome))


def unknown_session_message() -> bytes:
    """What a server that holds no such session answers to resume."""
    said = Refused(0, "unknown-session", "this session is not held here; start a new one")
    return frame(FrameType.REFUSED, 0, pack_map(said))


def read_first(message: bytes) -> Hello | Resume:
    """A client's first message, as the server reads it.

    Raises:
        RemoteProtocolError: it is neither hello nor resume.
    """
    kind, _, body = _only_frame(message)
    if kind == FrameType.HELLO:
        return read_hello(body)
    if kind == FrameType.RESUME:
        return read_resume(body)
    raise RemoteProtocolError("the first frame must be hello or resume")


def read_answer(message: bytes) -> Welcome:
    """The server's answer to hello, as the client reads it.

    Raises:
        HandshakeRefused: the server said no.
        RemoteProtocolError: it is no answer to hello.
    """
    kind, _, body = _only_frame(message)
    if kind == FrameType.WELCOME:
        return read_welcome(body)
    if kind == FrameType.REFUSED:
        refused = read_refused(body)
        raise HandshakeRefused(refused.code, refused.message)
    if kind == FrameType.GOAWAY:
        goaway = read_goaway(body)
        raise RemoteProtocolError(f"the server said {goaway.code}: {goaway.message}", goaway.code)
    raise RemoteProtocolError("the server's first frame must be welcome")
