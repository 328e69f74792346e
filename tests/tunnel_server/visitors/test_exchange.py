from __future__ import annotations

import re

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.drivers.upgrade_leg import CLOSE_ANSWER_S
from protocol.http.heads import parse_request
from tests.edge_fakes import get
from tunnel_server.answers.refusal import Refusal
from tunnel_server.visitors.exchange import Exchange
from tunnel_server.visitors.exchange_states import AnswerEvent, AnswerState, RequestState

UPGRADE = get(
    b"/",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
POST = b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 5\r\n\r\n"


class FakeRelay:
    reads = True

    async def relay_to_app(self, data: bytes) -> None:
        raise NotImplementedError

    def sweep(self, now: float) -> None:
        raise AssertionError

    def close(self, code: int, answer_s: float = CLOSE_ANSWER_S) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("state", AnswerState)
def test_what_a_state_implies(state: AnswerState) -> None:
    exchange = Exchange(parse_request(get()))
    exchange.answered = state
    assert exchange.over is (state in (AnswerState.OVER, AnswerState.CLOSING))
    assert exchange.decided is (exchange.over or state is AnswerState.SWITCHED)
    assert exchange.ends_by_close is (state in (AnswerState.CUT, AnswerState.SWITCHED))
    if state is not AnswerState.AWAITED:
        assert exchange.closes is (state not in (AnswerState.KEPT, AnswerState.OVER))


# --- how a request begins ------------------------------------------------------------------------


def test_a_request_without_a_body_is_whole_from_the_start() -> None:
    assert Exchange(parse_request(get())).request is RequestState.WHOLE
    assert Exchange(parse_request(POST)).request is RequestState.COMING
    assert Exchange(parse_request(POST.replace(b"5", b"0"))).request is RequestState.WHOLE


def test_what_is_no_request_is_answered_as_http_1_1_and_closes() -> None:
    exchange = Exchange(None)
    assert exchange.beginning(own=True, draining=False) is AnswerEvent.LAST
    assert (exchange.method, exchange.version) == (b"GET", b"1.1")
    assert not exchange.asks_websocket
    assert repr(exchange) == "<Exchange b'?' COMING AWAITED None>"


def test_a_failure_without_a_stream_is_only_noted() -> None:
    exchange = Exchange(parse_request(POST))
    exchange.fail(Refusal("bad-request", "why"))
    assert exchange.failure == Refusal("bad-request", "why")
    assert not exchange.request_ended
    assert re.fullmatch("<Exchange b'/' BROKEN AWAITED None>", repr(exchange))


# --- whether the connection closes after it ------------------------------------------------------


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    ("raw", "beginning"),
    [
        (get(), AnswerEvent.KEEP),
        (get(b"/", b"Connection: close"), AnswerEvent.LAST),
        (get().replace(b"1.1", b"1.0"), AnswerEvent.LAST),
        (get(b"/", b"Connection: keep-alive").replace(b"1.1", b"1.0"), AnswerEvent.KEEP),
        (POST, AnswerEvent.LAST),  # the rest of it would be taken for the next request
    ],
)
def test_what_was_asked_says_whether_another_may_follow(
    raw: bytes, own: bool, beginning: AnswerEvent
) -> None:
    head = parse_request(raw)
    exchange = Exchange(head)
    assert exchange.beginning(own=own, draining=False) is beginning
    assert (exchange.method, exchange.version) == (head.method, head.version)


def test_a_request_that_has_ended_or_broken_off() -> None:
    exchange = Exchange(parse_request(POST))
    exchange.end_request()
    assert exchange.beginning(own=False, draining=False) is AnswerEvent.KEEP
    exchange.follow()
    assert exchange.beginning(own=False, draining=False) is AnswerEvent.KEEP
    exchange.fail(Refusal("bad-request"))
    assert exchange.beginning(own=True, draining=False) is AnswerEvent.LAST


class Stream:
    """Stands in for a TunnelStream, of which an exchange asks two things."""

    def __init__(self, stopped: str | None = None, *, lost: bool = False) -> None:
        self.stopped = stopped
        self.lost = lost


def early(raw: bytes = POST, stream: Stream | None = None) -> Exchange:
    answered_by = stream or Stream()
    exchange = Exchange(parse_request(raw), stream=answered_by)  # type: ignore[arg-type]  # see there
    assert exchange.under_way
    return exchange


CLOSING = POST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
OLD = POST.replace(b"1.1", b"1.0")
OLD_KEPT = OLD.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")


@pytest.mark.parametrize(
    ("raw", "app_closes", "beginning", "closes"),
    [
        (POST, False, AnswerEvent.KEEP, False),
        (POST, True, AnswerEvent.LAST, True),
        (POST, None, AnswerEvent.LAST, True),
        (CLOSING, False, AnswerEvent.UNSAID, True),  # it would be told to send no more
        (CLOSING, True, AnswerEvent.LAST, True),
        (OLD, False, AnswerEvent.UNSAID, True),
        (OLD, True, AnswerEvent.LAST, True),
        (OLD_KEPT, False, AnswerEvent.UNSAID, True),
    ],
)
def test_an_early_answer_says_that_it_closes_only_if_the_apps_does(
    raw: bytes, app_closes: bool | None, beginning: AnswerEvent, closes: bool
) -> None:
    exchange = early(raw)
    begun = exchange.beginning(own=False, draining=False, app_closes=app_closes)
    assert begun is beginning
    exchange.begin_answer(begun)
    assert exchange.closes is closes
    exchange.finish()
    assert (exchange.closes, exchange.under_way) == (closes, True)
    exchange.end_request()
    assert (exchange.closes, exchange.under_way) == (closes, False)


def test_an_early_answer_that_only_the_end_ends_does_not_say_so_while_the_request_goes_on() -> None:
    def begins(
        stream: Stream | None = None, *, closes: bool = False, stops: bool = False
    ) -> object:
        exchange = early(OLD, stream)
        return exchange.beginning(own=False, draining=stops, cut=True, app_closes=closes)

    assert begins() is AnswerEvent.UNSAID_CUT
    for said in (begins(closes=True), begins(stops=True), begins(Stream("no-error"))):
        assert said is AnswerEvent.CUT


def test_an_early_answer_of_ours_or_of_a_server_that_stops_is_the_last() -> None:
    assert early().beginning(own=True, draining=False, app_closes=False) is AnswerEvent.LAST
    assert early().beginning(own=False, draining=True, app_closes=False) is AnswerEvent.LAST
    for stream in (Stream("no-error"), Stream(lost=True)):
        stopped = early(stream=stream)
        assert not stopped.request_goes_on
        assert stopped.beginning(own=False, draining=False, app_closes=False) is AnswerEvent.LAST


def test_a_request_that_the_app_stops_behind_a_kept_answer_closes() -> None:
    exchange = early()
    exchange.begin_answer(exchange.beginning(own=False, draining=False, app_closes=False))
    exchange.finish()
    assert (exchange.closes, exchange.under_way) == (False, True)
    exchange.give_up_request()
    assert (exchange.closes, exchange.under_way) == (True, False)


def test_what_ends_the_connection_whatever_was_asked() -> None:
    head = parse_request(get())
    exchange = Exchange(head)
    assert exchange.beginning(own=False, draining=True) is AnswerEvent.LAST
    assert exchange.beginning(own=True, draining=False, silent=True) is AnswerEvent.LAST
    assert exchange.beginning(own=False, draining=True, cut=True) is AnswerEvent.CUT
    assert Exchange(head, last=True).beginning(own=True, draining=False) is AnswerEvent.LAST


def test_an_upgrade_that_the_app_declines_keeps_the_connection_if_nothing_came_behind() -> None:
    exchange = Exchange(parse_request(UPGRADE))
    assert exchange.asks_websocket
    assert exchange.beginning(own=False, draining=False) is AnswerEvent.KEEP
    assert exchange.beginning(own=True, draining=False) is AnswerEvent.LAST
    exchange.follow()
    assert exchange.beginning(own=False, draining=False) is AnswerEvent.LAST


# --- where the two tasks meet --------------------------------------------------------------------


async def test_a_switch_decides_and_finish_ends(nursery: trio.Nursery) -> None:
    exchange = Exchange(parse_request(get()))
    done: list[str] = []

    async def read() -> None:
        await exchange.wait_decided()
        done.append("decided")
        await exchange.wait_over()
        done.append("over")

    nursery.start_soon(read)
    exchange.begin_answer(AnswerEvent.CUT)
    await wait_all_tasks_blocked()
    assert done == []
    exchange.switch(FakeRelay())
    await wait_all_tasks_blocked()
    assert done == ["decided"]
    assert "SWITCHED" in repr(exchange)
    exchange.finish()
    await wait_all_tasks_blocked()
    assert done == ["decided", "over"]


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("switch", [True, False])
async def test_a_read_ahead_ends_when_it_is_decided(
    nursery: trio.Nursery, early: bool, switch: bool
) -> None:
    exchange = Exchange(parse_request(get()))
    exchange.begin_answer(AnswerEvent.CUT)

    def decide() -> None:
        if switch:
            exchange.switch(FakeRelay())
        else:
            exchange.finish()

    if early:
        decide()
    done = trio.Event()

    async def read() -> None:
        with exchange.until_decided():
            await trio.sleep_forever()
        done.set()

    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    assert done.is_set() is early
    if not early:
        decide()
    await done.wait()
