from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.http.heads import parse_request
from tests.edge_fakes import get
from tunnel_server.answers.refusal import Refusal
from tunnel_server.visitors.exchange import Exchange


class FakeRelay:
    async def relay_to_app(self, data: bytes) -> None:
        raise NotImplementedError

    def sweep(self, now: float) -> None:
        raise AssertionError

    def close(self, code: int) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("raw", "close"),
    [
        (get(), False),
        (get(b"/", b"Connection: close"), True),
        (get().replace(b"1.1", b"1.0"), True),
        (get(b"/", b"Connection: keep-alive").replace(b"1.1", b"1.0"), False),
    ],
)
def test_the_visitor_says_whether_another_may_follow(raw: bytes, close: bool) -> None:
    head = parse_request(raw)
    exchange = Exchange(head)
    assert exchange.close is close
    assert (exchange.method, exchange.version) == (b"GET", head.version)


def test_what_is_no_request_is_answered_as_http_1_1_and_closes() -> None:
    exchange = Exchange(None)
    assert exchange.close
    assert (exchange.method, exchange.version) == (b"GET", b"1.1")
    assert not exchange.asks_upgrade
    assert repr(exchange) == "<Exchange b'?' open None>"


def test_a_failure_without_a_stream_is_only_noted() -> None:
    exchange = Exchange(parse_request(get(b"/x")))
    exchange.fail(Refusal("bad-request", "why"))
    assert exchange.failure == Refusal("bad-request", "why")
    exchange.finish()
    assert repr(exchange) == "<Exchange b'/x' over None>"


async def test_a_switch_decides_and_finish_ends(nursery: trio.Nursery) -> None:
    exchange = Exchange(parse_request(get()))
    done: list[str] = []

    async def read() -> None:
        await exchange.wait_decided()
        done.append("decided")
        await exchange.wait_over()
        done.append("over")

    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    assert done == []
    exchange.switch(FakeRelay())
    await wait_all_tasks_blocked()
    assert done == ["decided"]
    assert "switched" in repr(exchange)
    exchange.finish()
    await wait_all_tasks_blocked()
    assert done == ["decided", "over"]


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("switch", [True, False])
async def test_a_read_ahead_ends_when_it_is_decided(
    nursery: trio.Nursery, early: bool, switch: bool
) -> None:
    exchange = Exchange(parse_request(get()))

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
