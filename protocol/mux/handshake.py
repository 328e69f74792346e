"""The first message each way, each alone in its message: hello and welcome, or resume and resumed.

A server that does not hold the session, or will not give it, answers resume with `refused` and
`unknown-session`, whatever the reason; the client goes on with hello on the same connection.
"""

from __future__ import annotations

from typing import Final

from protocol.errors import HandshakeRefused, RemoteProtocolError
from protocol.mux.map_bodies import (
    pack_map,
    read_goaway,
    read_hello,
    read_refused,
    read_resume,
    read_resumed,
    read_welcome,
)
from protocol.mux.messages import Hello, Refused, Resume, Resumed, Welcome
from protocol.mux.wire import Frame, FrameType, frame, split_message

UNKNOWN_SESSION: Final = "unknown-session"


def _only_frame(message: bytes) -> Frame:
    frames = split_message(message)
    if len(frames) != 1 or frames[0][1] != 0:
        raise RemoteProtocolError("the handshake's messages hold one frame of the session")
    return frames[0]


def hello_message(hello: Hello) -> bytes:
    """Return the first message of a client on a new session."""
    return frame(FrameType.HELLO, 0, pack_map(hello))


def welcome_message(welcome: Welcome) -> bytes:
    """Return the answer of a server to hello."""
    return frame(FrameType.WELCOME, 0, pack_map(welcome))


def resume_message(resume: Resume) -> bytes:
    """Return the first message of a client that wants a session back."""
    return frame(FrameType.RESUME, 0, pack_map(resume))


def resumed_message(received: int) -> bytes:
    """Return the answer of a server to resume when the session goes on."""
    return frame(FrameType.RESUMED, 0, pack_map(Resumed(received)))


def unknown_session_message() -> bytes:
    """Return the answer to resume of a server that holds no such session."""
    said = Refused(0, UNKNOWN_SESSION, "this session is not held here; start a new one")
    return frame(FrameType.REFUSED, 0, pack_map(said))


def read_first(message: bytes) -> Hello | Resume:
    """Read a client's first message (server only).

    Raises:
        RemoteProtocolError: it is neither hello nor resume.
    """
    kind, _, body = _only_frame(message)
    if kind == FrameType.HELLO:
        return read_hello(body)
    if kind == FrameType.RESUME:
        return read_resume(body)
    raise RemoteProtocolError("the first frame must be hello or resume")


def read_answer_to_hello(message: bytes) -> Welcome:
    """Read the answer to hello (client only).

    Raises:
        HandshakeRefused: the server said no.
        RemoteProtocolError: it is no answer to hello, or the server leaves.
    """
    kind, _, body = _only_frame(message)
    if kind == FrameType.WELCOME:
        return read_welcome(body)
    raise _no_session(kind, body)


def read_answer_to_resume(message: bytes) -> Resumed | None:
    """Read the answer to resume (client only); None: it awaits hello, and has no such session.

    Raises:
        HandshakeRefused: the server said no for another reason.
        RemoteProtocolError: it is no answer to resume, or the server leaves.
    """
    kind, _, body = _only_frame(message)
    if kind == FrameType.RESUMED:
        return read_resumed(body)
    error = _no_session(kind, body)
    if isinstance(error, HandshakeRefused) and error.code == UNKNOWN_SESSION:
        return None
    raise error


def _no_session(kind: int, body: bytes) -> HandshakeRefused | RemoteProtocolError:
    if kind == FrameType.REFUSED:
        refused = read_refused(body)
        return HandshakeRefused(refused.code, refused.message)
    if kind == FrameType.GOAWAY:
        goaway = read_goaway(body)
        return RemoteProtocolError(f"the server said {goaway.code}: {goaway.message}", goaway.code)
    return RemoteProtocolError("the server's first frame does not answer ours")
