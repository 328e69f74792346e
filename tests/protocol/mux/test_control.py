from __future__ import annotations

import math

import pytest

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import CLAIMS_MAX, CLAIMS_PER_MINUTE_MAX, GONE_UNSENT_MAX, PINGS_PER_SECOND_MAX
from protocol.mux.codec import pack
from protocol.mux.control import Control, Heartbeat
from protocol.mux.events import (
    ClaimAnswered,
    ClaimAsked,
    ConnectionGone,
    Event,
    GoingAway,
    Released,
)
from protocol.mux.map_bodies import pack_map
from protocol.mux.messages import Claimed, Goaway, Gone, Refused, Release
from protocol.mux.sending import Parts
from protocol.mux.wire import FrameType, frame, split_message
from tests.protocol.mux.pair import CLAIM, kinds_of

GRANTED = Claimed(1, "app", "http://app.example")
REFUSED = Refused(1, "name-taken", "somebody has it")


def end(*, is_server: bool) -> Control:
    return Control(Heartbeat(15, 30), is_server=is_server)


def ends() -> tuple[Control, Control]:
    return end(is_server=True), end(is_server=False)


def carry(sender: Control, receiver: Control, room: int = 65_000) -> list[Event | None]:
    parts: Parts = []
    size = sender.take(parts, room)
    message = b"".join(parts)
    assert size == len(message)
    if not message:
        return []
    return [receiver.receive(kind, body, 0.0) for kind, _, body in split_message(message)]


def kinds(control: Control) -> list[FrameType]:
    parts: Parts = []
    control.take(parts, 65_000)
    return kinds_of(b"".join(parts))


# --- heartbeat -----------------------------------------------------------------------------------


def test_first_ping_goes_at_once_and_the_next_after_the_interval() -> None:
    heartbeat = Heartbeat(15, 30)
    assert heartbeat.ping_due(100.0) == 1
    assert heartbeat.ping_due(114.9) is None
    assert heartbeat.ping_due(115.0) == 2


def test_round_trip_is_the_newest_and_only_the_newest_ping_tells_it() -> None:
    heartbeat = Heartbeat(15, 30)
    assert heartbeat.round_trip_s == math.inf
    heartbeat.ping_due(0.0)
    heartbeat.ponged(1, 0.3)
    heartbeat.ponged(1, 0.1)  # said twice
    assert heartbeat.round_trip_s == 0.3
    heartbeat.ping_due(15.0)
    heartbeat.ponged(1, 15.1)  # an old one
    heartbeat.ponged(3, 15.1)  # never sent
    assert heartbeat.round_trip_s == 0.3
    heartbeat.ponged(2, 15.2)
    assert heartbeat.round_trip_s == pytest.approx(0.2)
    heartbeat.ping_due(30.0)
    heartbeat.ponged(3, 31.0)
    assert heartbeat.round_trip_s == 1.0


def test_ten_pings_a_second_pass_and_one_more_does_not() -> None:
    heartbeat = Heartbeat(15, 30)
    for second in (0.0, 1.0):
        for _ in range(PINGS_PER_SECOND_MAX):
            heartbeat.pinged(second)
    with pytest.raises(RemoteProtocolError, match="too many pings"):
        heartbeat.pinged(1.999)


def test_pong_repeats_the_newest_ping_alone() -> None:
    server, client = ends()
    for number in range(5):
        server.receive(FrameType.PING, pack(number), 0.0)
    parts: Parts = []
    server.take(parts, 65_000)
    assert parts == [frame(FrameType.PONG, 0, pack(4))]
    carry(server, client)


def test_ping_and_pong_cross() -> None:
    server, client = ends()
    server.ping(0.0)
    server.ping(1.0)  # not due
    assert carry(server, client) == [None]
    assert carry(client, server) == [None]
    assert server.heartbeat.round_trip_s == 0.0


# --- claims --------------------------------------------------------------------------------------


def test_claim_is_asked_granted_and_released_by_the_server() -> None:
    server, client = ends()
    client.claim(CLAIM)
    assert carry(client, server) == [ClaimAsked(CLAIM)]
    server.answer_claim(GRANTED)
    assert carry(server, client) == [ClaimAnswered(GRANTED)]
    assert server.claims == client.claims == {1}
    server.release(1, "taken-over", "by another")
    assert carry(server, client) == [Released(Release(1, "taken-over", "by another"))]
    assert server.claims == client.claims == set()


def test_claim_is_given_up_by_the_client() -> None:
    server, client = ends()
    client.claim(CLAIM)
    carry(client, server)
    server.answer_claim(GRANTED)
    carry(server, client)
    client.release(1, "given-up", "")
    assert carry(client, server) == [Released(Release(1, "given-up", ""))]


def test_refused_claim_may_be_asked_again() -> None:
    server, client = ends()
    client.claim(CLAIM)
    carry(client, server)
    server.answer_claim(REFUSED)
    assert carry(server, client) == [ClaimAnswered(REFUSED)]
    client.claim(CLAIM)
    assert carry(client, server) == [ClaimAsked(CLAIM)]


def test_release_from_both_ends_at_once_is_no_fault() -> None:
    server, client = ends()
    client.claim(CLAIM)
    carry(client, server)
    server.answer_claim(GRANTED)
    carry(server, client)
    server.release(1, "taken-over", "")
    client.release(1, "given-up", "")
    assert carry(server, client) == [None]
    assert carry(client, server) == [None]
    server.release(1, "taken-over", "")
    assert len(server) == 0


def test_second_claim_before_the_answer_has_left_is_a_fault() -> None:
    server = end(is_server=True)
    server.receive(FrameType.CLAIM, pack_map(CLAIM), 0.0)
    second = pack_map(CLAIM._replace(claim=2))
    with pytest.raises(RemoteProtocolError, match="a second claim"):
        server.receive(FrameType.CLAIM, second, 0.0)
    server.answer_claim(REFUSED)
    with pytest.raises(RemoteProtocolError, match="a second claim"):
        server.receive(FrameType.CLAIM, second, 0.0)
    server.take([], 65_000)
    server.receive(FrameType.CLAIM, second, 0.0)


def test_claims_have_a_limit_at_both_ends() -> None:
    server, client = ends()
    for number in range(CLAIMS_MAX):
        client.claim(CLAIM._replace(claim=number))
        carry(client, server)
        server.answer_claim(GRANTED._replace(claim=number))
        carry(server, client)
    more = CLAIM._replace(claim=CLAIMS_MAX)
    with pytest.raises(LocalProtocolError):
        client.claim(more)
    with pytest.raises(RemoteProtocolError, match="one too many"):
        server.receive(FrameType.CLAIM, pack_map(more), 0.0)


def test_claim_that_holds_is_asked_again_only_by_a_client_that_missed_the_answer() -> None:
    server, client = ends()
    client.claim(CLAIM)
    with pytest.raises(LocalProtocolError):
        client.claim(CLAIM._replace(claim=2))
    carry(client, server)
    server.answer_claim(GRANTED)
    carry(server, client)
    with pytest.raises(LocalProtocolError):
        client.claim(CLAIM)
    # After a resume, to a client that missed the answer.
    assert server.receive(FrameType.CLAIM, pack_map(CLAIM), 0.0) == ClaimAsked(CLAIM)
    server.answer_claim(GRANTED)
    assert server.claims == {1}


def test_claim_that_is_too_long_changes_nothing() -> None:
    client = end(is_server=False)
    with pytest.raises(LocalProtocolError):
        client.claim(CLAIM._replace(options={"x": b"x" * 65_000}))
    assert len(client) == 0
    client.claim(CLAIM)


@pytest.mark.parametrize("answer", [GRANTED, REFUSED])
def test_answer_that_nobody_asked_for_is_a_fault(answer: Claimed | Refused) -> None:
    server, client = ends()
    kind = FrameType.CLAIMED if isinstance(answer, Claimed) else FrameType.REFUSED
    with pytest.raises(RemoteProtocolError, match="not asked"):
        client.receive(kind, pack_map(answer), 0.0)
    with pytest.raises(LocalProtocolError):
        server.answer_claim(answer)


def test_ends_keep_to_their_roles() -> None:
    server, client = ends()
    with pytest.raises(LocalProtocolError):
        server.claim(CLAIM)
    client.claim(CLAIM)
    with pytest.raises(LocalProtocolError):
        client.answer_claim(GRANTED)
    with pytest.raises(RemoteProtocolError):
        client.receive(FrameType.CLAIM, pack_map(CLAIM), 0.0)
    server.receive(FrameType.CLAIM, pack_map(CLAIM), 0.0)
    for kind, answer in ((FrameType.CLAIMED, GRANTED), (FrameType.REFUSED, REFUSED)):
        with pytest.raises(RemoteProtocolError):
            server.receive(kind, pack_map(answer), 0.0)


# --- goaway, and what is left --------------------------------------------------------------------


def test_goaway_is_noted_at_both_ends() -> None:
    server, client = ends()
    goaway = Goaway("shutting-down", "until tomorrow", 8)
    server.goaway(goaway)
    assert server.leaving
    assert carry(server, client) == [GoingAway(goaway)]
    assert client.peer_leaving == goaway


def test_only_clears_what_else_was_to_be_said() -> None:
    server = end(is_server=True)
    server.ping(0.0)
    server.only(Goaway("protocol-error", "why", 0))
    assert kinds(server) == [FrameType.GOAWAY]


def test_a_newer_frame_takes_the_place_of_the_older() -> None:
    server, client = ends()
    server.goaway(Goaway("x", "first", 0))
    server.ping(0.0)
    server.goaway(Goaway("x", "second", 0))
    assert len(server) == 2
    carry(server, client)
    assert client.peer_leaving == Goaway("x", "second", 0)


def test_frames_that_lack_room_stay() -> None:
    server, client = ends()
    server.goaway(Goaway("x", "y" * 400, 0))
    server.ping(0.0)
    assert carry(server, client, room=100) == []
    assert len(server) == 2
    assert len(carry(server, client)) == 2
    assert len(server) == 0


@pytest.mark.parametrize(
    "kind",
    [
        FrameType.DATA,
        FrameType.CREDIT,
        FrameType.HELLO,
        FrameType.WELCOME,
        FrameType.RESUME,
        FrameType.RESUMED,
    ],
)
def test_frame_that_does_not_belong_to_a_running_session_is_a_fault(kind: FrameType) -> None:
    for control in ends():
        with pytest.raises(RemoteProtocolError, match="where none belongs"):
            control.receive(kind, b"\x01", 0.0)


def lose(*ends: Control) -> None:
    """What they have to say gets lost with the connection, and the session is resumed."""
    for end in ends:
        end.take([], 65_000)
        end.resume()


def test_claim_without_an_answer_is_asked_again_after_a_resume() -> None:
    server, client = ends()
    client.claim(CLAIM)
    lose(server, client)
    assert carry(client, server) == [ClaimAsked(CLAIM)]
    server.answer_claim(GRANTED)
    lose(server, client)
    assert carry(server, client) == []
    assert carry(client, server) == [ClaimAsked(CLAIM)]
    server.answer_claim(GRANTED)
    assert carry(server, client) == [ClaimAnswered(GRANTED)]
    lose(server, client)
    assert carry(client, server) == carry(server, client) == []


def test_a_second_goaway_of_a_client_does_nothing_and_of_a_server_the_newest_holds() -> None:
    server, client = ends()
    first, second = Goaway("x", "first", 1), Goaway("x", "second", 2)
    for goaway, event in ((first, [GoingAway(first)]), (second, [None])):
        client.goaway(goaway)
        assert carry(client, server) == event
    assert server.peer_leaving == first
    for goaway in (first, second):
        server.goaway(goaway)
        assert carry(server, client) == [GoingAway(goaway)]
    assert client.peer_leaving == second


def test_releases_and_goaway_are_said_again_after_a_resume() -> None:
    server, client = ends()
    for number in range(CLAIMS_MAX + 1):
        client.claim(CLAIM._replace(claim=number))
        carry(client, server)
        server.answer_claim(GRANTED._replace(claim=number))
        carry(server, client)
        if number:
            server.release(number, "taken-over", "gone")
            if number < CLAIMS_MAX:
                carry(server, client)
    client.goaway(Goaway("shutting-down", "the client stops", 8))
    lose(server, client)
    releases = [event for event in carry(server, client) if isinstance(event, Released)]
    assert [event.release.claim for event in releases] == [CLAIMS_MAX]
    assert client.claims == {0}
    assert carry(client, server) == [GoingAway(Goaway("shutting-down", "the client stops", 8))]
    lose(server, client)
    said: list[bytes | memoryview] = []
    server.take(said, 65_000)
    assert len(said) == CLAIMS_MAX


def test_claim_that_is_asked_anew_is_not_released_again() -> None:
    server, client = ends()
    for _ in range(2):
        client.claim(CLAIM)
        carry(client, server)
        server.answer_claim(GRANTED)
        carry(server, client)
        server.release(1, "taken-over", "gone")
        carry(server, client)
    client.claim(CLAIM)
    carry(client, server)
    server.answer_claim(GRANTED)
    lose(server, client)
    assert carry(server, client) == []


def test_resume_drops_pings_and_what_was_measured_on_the_old_line() -> None:
    server, client = ends()
    client.ping(0.0)
    carry(client, server)
    carry(server, client)
    assert client.heartbeat.round_trip_s == 0
    client.ping(20.0)
    carry(client, server)
    lose(server, client)
    assert client.heartbeat.round_trip_s == math.inf
    assert not server
    client.ping(20.5)
    assert client


def test_what_waited_to_be_sent_is_dropped_by_a_resume() -> None:
    server, client = ends()
    client.ping(0.0)
    client.claim(CLAIM)
    carry(client, server)
    server.answer_claim(GRANTED)
    assert len(server) == 2  # a pong and the answer wait
    server.resume()
    client.resume()
    assert not server
    assert carry(client, server) == [ClaimAsked(CLAIM)]  # and that is no second claim
    server.answer_claim(GRANTED)
    assert carry(server, client) == [ClaimAnswered(GRANTED)]


def test_claims_at_the_limit_and_one_more_in_a_minute() -> None:
    server = end(is_server=True)
    body = pack_map(CLAIM)

    def ask(now: float) -> None:
        assert server.receive(FrameType.CLAIM, body, now) == ClaimAsked(CLAIM)
        server.answer_claim(REFUSED)
        kinds(server)

    for minute in (0.0, 60.0):
        for _ in range(CLAIMS_PER_MINUTE_MAX):
            ask(minute)
    with pytest.raises(RemoteProtocolError, match="too many claims"):
        ask(119.9)


# --- visitors that have gone ---------------------------------------------------------------------


def test_the_client_hears_which_connections_of_visitors_have_ended() -> None:
    server, client = ends()
    server.gone(3)
    server.gone(2**40)
    assert carry(server, client) == [ConnectionGone(3), ConnectionGone(2**40)]
    assert carry(server, client) == []


def test_of_a_client_that_does_not_read_only_so_many_are_kept() -> None:
    server, client = ends()
    for number in range(GONE_UNSENT_MAX + 1):
        server.gone(number)
    told = carry(server, client)
    assert told == [ConnectionGone(number) for number in range(GONE_UNSENT_MAX)]
    server.gone(1000)
    assert carry(server, client) == [ConnectionGone(1000)]


def test_on_a_new_connection_they_are_not_repeated() -> None:
    server, _ = ends()
    server.gone(3)
    server.resume()
    assert kinds(server) == []


def test_only_a_server_of_version_2_may_say_it() -> None:
    gone = pack_map(Gone(3))
    older = Control(Heartbeat(15, 30), is_server=False, version=1)
    for control in (end(is_server=True), older):
        with pytest.raises(RemoteProtocolError, match="type 41"):
            control.receive(FrameType.GONE, gone, 0.0)
