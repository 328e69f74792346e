from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, strategies as st
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import Event, Message, Ping, Pong, TextMessage

from protocol.http.keepalive import Keepalive
from protocol.http.websocket import close_frame
from tests.protocol.http.drawn import binary, split

AFTER_S = 10
MASK = b"\x01\x02\x03\x04"
PING, PONG = 0x89, 0x8A


def frame(first: int, payload: bytes = b"", *, masked: bool = False) -> bytes:
    assert len(payload) < 126
    if not masked:
        return bytes([first, len(payload)]) + payload
    cover = (MASK * 32)[: len(payload)]
    covered = bytes(a ^ b for a, b in zip(payload, cover, strict=True))
    return bytes([first, 0x80 | len(payload)]) + MASK + covered


class Leg:
    """A leg whose peer is the test; what crossed each way, and the pings that went to the peer."""

    def __init__(self, *, masked: bool = False) -> None:
        self.masked = masked
        self.now = 0.0
        self.random = Random(1)
        self.keepalive = Keepalive(AFTER_S, 0.0, self.random.randbytes, masked=masked)
        self.pings: list[bytes] = []  # payloads

    def send(self, first: int, payload: bytes = b"") -> bytes:
        """A frame that goes to the peer."""
        return self.send_bytes(frame(first, payload, masked=self.masked))

    def send_bytes(self, data: bytes) -> bytes:
        out = self.keepalive.to_peer.feed(data)
        if out:
            self.keepalive.sent_at = self.now
        return out

    def receive(self, first: int, payload: bytes = b"") -> bytes:
        """A frame that comes from the peer."""
        return self.keepalive.from_peer.feed(frame(first, payload, masked=not self.masked))

    def wait(self, seconds: float = AFTER_S) -> bytes:
        """Time passes; the ping that leaves then."""
        self.now += seconds
        ping = self.keepalive.due_ping(self.now)
        if ping:
            self.keepalive.sent_at = self.now
            self.pings.append(unmasked(ping))
        return ping

    def answer(self) -> bytes:
        """The peer answers our latest ping; what of that crosses."""
        return self.receive(PONG, self.pings[-1])


def unmasked(short: bytes) -> bytes:
    """The payload of a whole control frame."""
    if not short[1] & 0x80:
        return short[2:]
    return bytes(byte ^ short[2 + index % 4] for index, byte in enumerate(short[6:]))


# --- when a ping is due --------------------------------------------------------------------------


def test_a_ping_goes_to_a_visitor_after_that_long_without_a_byte() -> None:
    leg = Leg()
    assert leg.wait(AFTER_S - 0.1) == b""
    ping = leg.wait(0.1)
    assert ping[:2] == b"\x89\x10"
    assert len(ping) == 18


def test_a_ping_to_an_app_is_masked_with_a_fresh_key() -> None:
    leg = Leg(masked=True)
    masks = set()
    for _ in range(3):
        ping = leg.wait()
        assert ping[:2] == b"\x89\x90"
        assert len(ping) == 22
        masks.add(ping[2:6])
        assert leg.answer() == b""
    assert len(masks) == len(set(leg.pings)) == 3


def test_the_clock_begins_again_with_each_byte_to_the_peer_and_with_none_from_it() -> None:
    leg = Leg()
    leg.wait(6)
    leg.send(0x81, b"x")
    leg.receive(0x81, b"y")
    assert leg.wait(6) == b""
    leg.receive(0x81, b"y")
    assert leg.wait(4)


def test_our_own_ping_is_a_byte_to_the_peer() -> None:
    leg = Leg()
    assert leg.wait()
    leg.answer()
    assert leg.wait(AFTER_S - 0.1) == b""
    assert leg.wait(0.1)


def test_no_second_ping_while_ours_is_unanswered_however_long_that_is() -> None:
    leg = Leg()
    assert leg.wait()
    for _ in range(5):
        assert leg.wait(1000) == b""
    assert leg.answer() == b""
    assert leg.wait(0)


@pytest.mark.parametrize("masked", [False, True])
def test_no_ping_while_a_forwarded_one_is_unanswered(masked: bool) -> None:
    leg = Leg(masked=masked)
    leg.send(PING, b"of the other end")
    assert leg.wait(1000) == b""
    assert leg.receive(PONG, b"of the other end") == frame(
        PONG, b"of the other end", masked=not masked
    )
    assert leg.wait(0)


def test_a_pong_for_the_latest_ping_answers_those_before_it() -> None:
    leg = Leg()
    for payload in (b"1", b"2", b"3"):
        leg.send(PING, payload)
    leg.receive(PONG, b"2")
    assert leg.wait() == b""
    leg.receive(PONG, b"3")
    assert leg.wait(0)


def test_a_pong_that_nobody_asked_for_answers_nothing_and_crosses() -> None:
    leg = Leg()
    leg.send(PING, b"asked")
    assert leg.receive(PONG, b"unasked")
    assert leg.receive(PONG)
    assert leg.wait() == b""


def test_an_empty_ping_is_one_too() -> None:
    leg = Leg()
    leg.send(PING)
    assert leg.wait() == b""
    leg.receive(PONG)
    assert leg.wait(0)


def test_a_pong_for_a_ping_behind_ours_passes_ours_over() -> None:
    leg = Leg()
    assert leg.wait()
    leg.send(PING, b"later")
    assert leg.wait(1000) == b""
    assert leg.receive(PONG, b"later")
    assert leg.wait(0)
    assert len(leg.pings) == 2


def test_an_answer_to_ours_leaves_the_one_behind_it_unanswered() -> None:
    leg = Leg()
    assert leg.wait()
    leg.send(PING, b"later")
    assert leg.answer() == b""
    assert leg.wait(1000) == b""
    assert leg.receive(PONG, b"later")
    assert leg.wait(0)


def test_a_ping_goes_between_two_fragments_and_never_into_a_frame() -> None:
    leg = Leg()
    leg.send(0x01, b"first ")
    assert leg.wait()
    leg.answer()
    last = frame(0x80, b"second")
    leg.send_bytes(last[:4])
    assert leg.wait(1000) == b""
    leg.send_bytes(last[4:])
    assert leg.wait()


@pytest.mark.parametrize("held", [b"\x81", b"\x81\x7e\x01", b"\x89\x05pin"])
def test_a_ping_goes_before_what_is_held(held: bytes) -> None:
    leg = Leg()
    assert leg.send_bytes(held) == b""
    assert leg.wait()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("to_peer", [False, True])
def test_no_ping_after_a_close_either_way(masked: bool, to_peer: bool) -> None:
    leg = Leg(masked=masked)
    close = close_frame(1000, mask=MASK if masked is to_peer else None)
    cutter = leg.keepalive.to_peer if to_peer else leg.keepalive.from_peer
    assert cutter.feed(close) == close
    assert leg.wait(1000) == b""


@pytest.mark.parametrize("to_peer", [False, True])
def test_no_ping_once_the_frames_of_a_direction_are_lost(to_peer: bool) -> None:
    leg = Leg()
    cutter = leg.keepalive.to_peer if to_peer else leg.keepalive.from_peer
    assert cutter.feed(b"\x83\x00") == b"\x83\x00"
    assert leg.wait(1000) == b""


# --- which pongs are swallowed -------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
def test_only_a_pong_with_exactly_our_payload_is_swallowed(masked: bool) -> None:
    leg = Leg(masked=masked)
    leg.wait()
    ours = leg.pings[0]
    others = [b"", ours[:-1], ours + b"x", ours[::-1], b"x" * 16]
    for payload in others:
        assert leg.receive(PONG, payload) == frame(PONG, payload, masked=not masked)
        assert leg.receive(PING, payload) == frame(PING, payload, masked=not masked)
    assert leg.receive(PING, ours)
    assert leg.receive(0x82, ours)
    assert leg.answer() == b""
    assert leg.answer()  # once


def test_our_pong_is_cut_out_of_what_came_with_it() -> None:
    leg = Leg()
    leg.wait()
    ours = frame(PONG, leg.pings[0], masked=True)
    before = frame(0x01, b"first", masked=True)
    behind = frame(0x80, b"last", masked=True) + frame(PONG, b"other", masked=True)
    part = frame(0x82, b"part", masked=True)
    feed = leg.keepalive.from_peer.feed
    assert feed(before + ours + behind + part[:-1]) == before + behind + part[:-1]
    assert feed(part[-1:]) == part[-1:]


def test_our_pong_is_swallowed_in_any_split_and_held_until_it_is_known() -> None:
    for cut in range(1, 22):
        leg = Leg()
        leg.wait()
        ours = frame(PONG, leg.pings[0], masked=True)
        assert leg.keepalive.from_peer.feed(ours[:cut]) == b""
        assert leg.keepalive.from_peer.held == ours[:cut]
        assert leg.keepalive.from_peer.feed(ours[cut:] + b"\x81") == b""
        assert leg.keepalive.from_peer.held == b"\x81"


def test_our_pong_before_an_illegal_header_of_the_same_read_is_swallowed() -> None:
    leg = Leg()
    leg.wait()
    ours = frame(PONG, leg.pings[0], masked=True)
    assert leg.keepalive.from_peer.feed(ours + b"\x83\x00") == b"\x83\x00"


def test_repr_says_what_is_awaited() -> None:
    leg = Leg()
    assert repr(leg.keepalive) == "<Keepalive 10 s, awaits nothing>"
    leg.wait()
    assert repr(leg.keepalive) == "<Keepalive 10 s, awaits our pong>"
    leg.answer()
    leg.send(PING)
    assert repr(leg.keepalive) == "<Keepalive 10 s, awaits a pong>"
    assert repr(leg.keepalive.to_peer).startswith("<WatchingCutter masked=False ")


# --- any bytes, any split ------------------------------------------------------------------------

# Frames as they come, some of them broken; None stands for the answer to our latest ping.
FRAMES = st.lists(
    st.one_of(
        st.none(),
        st.tuples(st.sampled_from([0x01, 0x80, 0x82, PING, PONG, 0xC1]), binary(20)),
        st.tuples(st.sampled_from([0x88, 0x83]), binary(2)),
    ),
    max_size=6,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("to peer"), FRAMES),
        st.tuples(st.just("from peer"), FRAMES),
        st.tuples(st.just("wait"), st.just([])),
    ),
    max_size=12,
)


def boundaries(data: bytes, masked: bool) -> set[int]:
    """Where a ping may stand in these frames: to the first Close or illegal one, short ones all."""
    ends = {0}
    at = 0
    while at + 2 <= len(data):
        end = at + (6 if masked else 2) + (data[at + 1] & 0x7F)
        if data[at] in (0x83, 0x88) or end > len(data):
            break
        at = end
        ends.add(at)
    return ends


@given(steps=STEPS, cuts=st.lists(st.integers(0, 200), max_size=6), masked=st.booleans())
def test_what_crosses_is_what_was_sent_but_for_our_pings_and_pongs(
    steps: list[tuple[str, list[tuple[int, bytes] | None]]], cuts: list[int], masked: bool
) -> None:
    leg = Leg(masked=masked)
    sent_to = sent_from = out_to = out_from = b""
    pings_at: list[int] = []
    illegal = answered = False
    for kind, frames in steps:
        if kind == "wait":
            if leg.wait():
                pings_at.append(len(out_to))
                answered = False
        elif kind == "to peer":
            data = b"".join(frame(*one, masked=masked) for one in frames if one)
            sent_to += data
            out_to += b"".join(map(leg.send_bytes, split(data, cuts)))
        else:
            pieces = b""
            for one in frames:
                if one is not None:
                    data = frame(*one, masked=not masked)
                    illegal = illegal or one[0] == 0x83
                elif not leg.pings or answered or illegal:
                    continue
                else:
                    data = frame(PONG, leg.pings[-1], masked=not masked)
                    answered = True
                pieces += data
                sent_from += b"" if one is None else data
            out_from += b"".join(map(leg.keepalive.from_peer.feed, split(pieces, cuts)))
    assert out_to + leg.keepalive.to_peer.held == sent_to
    assert out_from + leg.keepalive.from_peer.held == sent_from
    assert set(pings_at) <= boundaries(sent_to, masked)
    assert len(leg.pings) == len(pings_at)


# --- two real ends -------------------------------------------------------------------------------


class End:
    """An app or a visitor that keeps to RFC 6455, by wsproto, and what it saw."""

    def __init__(self, kind: ConnectionType) -> None:
        self.connection = Connection(kind)
        self.inbox = b""
        self.texts = ""
        self.said = ""
        self.asked: list[bytes] = []  # payloads of its pings
        self.heard: list[bytes] = []  # payloads of the pongs that it got
        self.owed: list[Ping] = []
        self._number = itertools.count()
        self._in_message = False

    def write(self, *, finished: bool) -> bytes:
        """A fragment of a message, the last one or not."""
        text = str(next(self._number))
        self.said += text
        return self.connection.send(TextMessage(text, message_finished=finished))

    def ping(self, payload: bytes) -> bytes:
        self.asked.append(payload)
        return self.connection.send(Ping(payload))

    def read(self) -> None:
        """Take what has arrived, and answer nothing yet."""
        self.connection.receive_data(self.inbox)  # raises RemoteProtocolError for what is illegal
        self.inbox = b""
        for event in self.connection.events():
            self._take(event)

    def _take(self, event: Event) -> None:
        assert self.connection.state is ConnectionState.OPEN, event
        if isinstance(event, Ping):
            self.owed.append(event)
        elif isinstance(event, Pong):
            self.heard.append(bytes(event.payload))
        else:
            assert isinstance(event, Message)
            self.texts += event.data

    def answer(self, *, each: bool) -> bytes:
        """Pongs for all that is owed, or for the latest alone (RFC 6455 5.5.3)."""
        owed = self.owed if each else self.owed[-1:]
        self.owed = []
        return b"".join(self.connection.send(ping.response()) for ping in owed)


class Tunnel:
    """A visitor, its leg, the app's leg and an app; what each says is carried in pieces."""

    def __init__(self) -> None:
        self.visitor = End(ConnectionType.CLIENT)
        self.app = End(ConnectionType.SERVER)
        self.visitor_leg = Leg()
        self.app_leg = Leg(masked=True)
        self.from_visitor = self.from_app = b""  # not carried yet

    def carry(self, size: int) -> None:
        """So much of what was said crosses both legs."""
        data, self.from_visitor = self.from_visitor[:size], self.from_visitor[size:]
        self.app.inbox += self.app_leg.send_bytes(self.visitor_leg.keepalive.from_peer.feed(data))
        data, self.from_app = self.from_app[:size], self.from_app[size:]
        self.visitor.inbox += self.visitor_leg.send_bytes(
            self.app_leg.keepalive.from_peer.feed(data)
        )

    def wait(self) -> None:
        self.visitor.inbox += self.visitor_leg.wait()
        self.app.inbox += self.app_leg.wait()

    def end(self, which: str) -> tuple[End, Callable[[bytes], None]]:
        """One end, and where to put what it says."""

        def say(data: bytes) -> None:
            if which == "app":
                self.from_app += data
            else:
                self.from_visitor += data

        return (self.app if which == "app" else self.visitor), say

    def step(self, which: str, what: str, number: int) -> None:
        end, say = self.end(which)
        if what == "ping":
            say(end.ping(PAYLOADS[number % len(PAYLOADS)]))
        elif what == "fragment":
            say(end.write(finished=False))
        elif what == "message":
            say(end.write(finished=True))
        elif what == "read":
            end.read()
        elif what == "answer":
            say(end.answer(each=number % 2 == 0))
        elif what == "carry":
            self.carry(number)
        else:
            self.wait()

    def settle(self) -> None:
        """All that was said arrives, and is answered."""
        for which in ("app", "visitor") * 3:
            self.step(which, "message", 0)
            self.carry(100_000)
            self.step(which, "read", 0)
            self.step(which, "answer", 1)
            self.carry(100_000)
        self.app.read()
        self.visitor.read()


# Few, and one of them empty: heartbeats of apps are often all alike.
PAYLOADS = [b"", b"a", b"b"]
WHAT = ["ping", "fragment", "message", "read", "answer", "carry", "wait", "wait"]


def is_answered(asked: list[bytes], heard: list[bytes]) -> bool:
    """Whether one who asked this, and heard that, was answered: the latest, and in order."""
    rest = iter(asked)
    return all(payload in rest for payload in heard) and asked[-1:] == heard[-1:]


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["app", "visitor"]), st.sampled_from(WHAT), st.integers(0, 60)),
        max_size=60,
    )
)
def test_neither_end_meets_a_fault_and_each_is_answered(steps: list[tuple[str, str, int]]) -> None:
    tunnel = Tunnel()
    for which, what, number in steps:
        tunnel.step(which, what, number)
    tunnel.settle()
    assert (tunnel.app.texts, tunnel.visitor.texts) == (tunnel.visitor.said, tunnel.app.said)
    for end in (tunnel.app, tunnel.visitor):
        assert is_answered(end.asked, end.heard), (end.asked, end.heard)


def test_an_idle_websocket_is_pinged_for_hours_and_neither_end_hears_of_it() -> None:
    tunnel = Tunnel()
    for _ in range(1000):
        tunnel.wait()
        tunnel.app.read()
        tunnel.visitor.read()
        tunnel.from_app += tunnel.app.answer(each=True)
        tunnel.from_visitor += tunnel.visitor.answer(each=True)
        tunnel.carry(1000)
    assert len(tunnel.app_leg.pings) == len(tunnel.visitor_leg.pings) == 1000
    assert tunnel.app.heard == tunnel.visitor.heard == []
