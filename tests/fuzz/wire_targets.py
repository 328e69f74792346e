"""WebSocket frames, messages of the wire, and single fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from protocol.errors import HandshakeRefused, NoHttpError, RemoteProtocolError
from protocol.http.fields import Fields
from protocol.http.framing import read_fields
from protocol.http.keepalive import Keepalive
from protocol.http.websocket import FrameCutter
from protocol.mux import codec, head_bodies, map_bodies
from protocol.mux.control import Heartbeat
from protocol.mux.core import Core
from protocol.mux.handshake import read_answer_to_hello, read_answer_to_resume, read_first
from protocol.mux.messages import Claim, Head, Open
from protocol.mux.streams import KINDS
from protocol.mux.wire import frame, split_message
from protocol.names import APEX, is_legal_name, tunnel_key
from protocol.options import OptionError, read_options
from protocol.program.text import printable
from tunnel_client.identity.rewriting import Identity, Visited
from tunnel_client.identity.url_fields import ANSWERED, ASKED, VALUE_MAX_BYTES
from tunnel_client.origin.no_http import why_no_http
from tunnel_client.settings.target import Target
from tunnel_server.answers.negotiation import is_ping, preferred_form
from tunnel_server.owners.tokens import bearer_token

APP: Final = Target.parse("3000")


# --- WebSocket -----------------------------------------------------------------------------------


def websocket_frames(data: bytes) -> None:
    """All bytes cross in order, in any split, and one cuts only where a frame ends."""
    for masked in (False, True):
        boundaries = {whole_frames(data, masked, size) for size in (len(data) or 1, 1, 3)}
        assert len(boundaries) == 1


def whole_frames(data: bytes, masked: bool, piece_bytes: int) -> tuple[int, bool, bool]:
    cutter = FrameCutter(masked)
    crossed = b""
    for at in range(0, len(data), piece_bytes):
        crossed += cutter.feed(data[at : at + piece_bytes])
        assert len(cutter.held) <= 130
    assert crossed + cutter.held == data
    return len(crossed) if cutter.lost else len(data), cutter.lost, cutter.closed


def keepalive(data: bytes) -> None:
    """Both directions of a leg with pings of ours: nothing but our pongs is taken out."""
    leg = Keepalive(1, 0.0, bytes, masked=False)
    middle = len(data) // 2
    to_peer = leg.to_peer.feed(data[:middle]) + leg.to_peer.held
    assert to_peer == data[:middle]
    leg.due_ping(10.0)
    from_peer = leg.from_peer.feed(data[middle:]) + leg.from_peer.held
    assert len(from_peer) <= len(data) - middle


# --- the wire ------------------------------------------------------------------------------------

READERS: Final[tuple[Callable[[bytes], object], ...]] = (
    codec.read_uint,
    head_bodies.read_open,
    head_bodies.read_head,
    partial(head_bodies.read_open, version=1),
    partial(head_bodies.read_head, version=1),
    codec.read_trailers,
    codec.read_code,
    map_bodies.read_hello,
    map_bodies.read_welcome,
    map_bodies.read_resume,
    map_bodies.read_resumed,
    map_bodies.read_claim,
    map_bodies.read_claimed,
    map_bodies.read_refused,
    map_bodies.read_release,
    map_bodies.read_goaway,
    map_bodies.read_gone,
)


def frame_bodies(data: bytes) -> None:
    """Each kind of body; what was read can be packed again, and options are known or refused."""
    if not data:
        return
    try:
        said = READERS[data[0] % len(READERS)](data[1:])
    except RemoteProtocolError:
        return
    if isinstance(said, Claim):
        try:
            read_options(said.options)
        except OptionError as error:
            if error.code not in ("unknown-option", "option-invalid"):
                raise
    if isinstance(said, Open):
        assert head_bodies.read_open(head_bodies.pack_open(said)) == said
    if isinstance(said, Head):
        assert head_bodies.read_head(head_bodies.pack_head(said)) == said


def messages(data: bytes) -> None:
    """Whole frames, and together they are the message; the handshake's readers too."""
    try:
        frames = split_message(data)
    except RemoteProtocolError:
        frames = []
    else:
        assert b"".join(frame(*one) for one in frames) == data
    for read in (read_first, read_answer_to_hello, read_answer_to_resume):
        try:
            read(data)
        except (RemoteProtocolError, HandshakeRefused):
            pass
        else:
            assert len(frames) == 1


def sessions(data: bytes) -> None:
    """A core that is told anything: it takes it, or the session ends with the protocol error."""
    core = Core(is_server=bool(data[:1] < b"\x80"), heartbeat=Heartbeat(15, 30))
    if core.is_server:
        opened = Open("http", 1, b"GET", b"/", b"1.1", (), None, "http", "a", "::1", 0)
        for kind in KINDS:
            core.open(opened._replace(kind=kind), 0.0)
    for message in split_at_lengths(data[1:]):
        try:
            core.receive(message, 0.0)
        except RemoteProtocolError as error:
            core.fail(error.code, str(error))
        core.next_message(0.0)
        for stream in list(core.streams.values()):
            core.take_head(stream, 0.0)
            core.take_data(stream, 0.0)
    assert core.budget.free <= 16 << 20


def split_at_lengths(data: bytes) -> Iterator[bytes]:
    """Messages, each behind two bytes of its length."""
    while len(data) >= 2:
        size = int.from_bytes(data[:2], "big")
        yield data[2 : 2 + size]
        data = data[2 + size :]


# --- fields that are read ------------------------------------------------------------------------


def hosts(data: bytes) -> None:
    """A name that may be one, the service, or nobody."""
    name = tunnel_key(data, frozenset({"localhost", "example.com"}))
    assert name is None or name == APEX or is_legal_name(name)


def visitors_fields(data: bytes) -> None:
    """Accept, Authorization: any value gives an answer. Those that hold URLs stay one line."""
    preferred_form(data)
    is_ping(data)
    bearer_token(data)
    fields = with_value(data, [b"Origin", *ASKED])
    opened = Open("http", 1, b"GET", b"/", b"1.1", fields, None, "https", "a.example", "::1", 0)
    asked, _ = Identity(APP).asked(opened, fields)
    check_translated(fields, asked)


def apps_fields(data: bytes) -> None:
    """Location, Link, Set-Cookie and all that hold URLs: translated or not, they stay one line."""
    fields = with_value(data, [b"Access-Control-Allow-Origin", *ANSWERED])
    told = Identity(APP).answered(fields, Visited(b"https://a.example", True), final=True)
    check_translated(fields, told)


def with_value(data: bytes, names: list[bytes]) -> Fields:
    """Fields of these names that all have this value; none if it is no legal one."""
    if any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in data):
        return ()
    return read_fields(b"".join(b"%b: %b\r\n" % (name, data) for name in names))


def check_translated(fields: Fields, translated: Fields) -> None:
    """The same fields, each in one line, and none grown too long."""
    assert [name for name, _ in translated] == [name for name, _ in fields]
    for (_, before), (_, value) in zip(fields, translated, strict=True):
        assert b"\r" not in value
        assert b"\n" not in value
        assert len(value) <= max(len(before), VALUE_MAX_BYTES)


def no_http(data: bytes) -> None:
    """What an app says that is no HTTP is shown, short and harmless."""
    error = NoHttpError("bad-request", "what came is no answer")
    said = why_no_http(error, APP, data[:4096])
    assert said.isprintable()
    assert len(said) <= 500
    assert printable(said) == said
    json.dumps(said)
