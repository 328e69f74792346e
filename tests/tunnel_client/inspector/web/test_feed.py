from __future__ import annotations

import json
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from tests.inspector_fakes import LivePage, an_inspector, count_tasks, got, opened_tap
from tests.turns import short_turns
from tunnel_client.inspector.capture.exchange import KeptExchange
from tunnel_client.inspector.web import feed as module
from tunnel_client.inspector.web.feed import MESSAGE_MAX_CHARS, ROWS_MAX
from tunnel_client.observing.events import Reconnecting


async def test_a_page_gets_what_is_there_and_then_what_changes() -> None:
    async with an_inspector() as running, trio.open_nursery() as nursery:
        got(running.store)
        tap = opened_tap(running.store)
        await running.until_sorted()
        page = await running.page(nursery)
        first = await page.news()
        assert first["snapshot"] is True
        assert [row["id"] for row in first["rows"]] == [1, 2]
        assert first["first_id"] == 1
        assert first["counts"]["kept"] == 2
        assert first["connection"]["state"] == "connected"
        assert first["run"] == (await running.get("/api/run"))["run"]
        tap.ended("gone")
        [row] = await page.rows(1)
        assert (row["id"], row["state"], row["error"]) == (2, "over", "gone")
        await page.socket.aclose()


async def test_a_page_that_comes_again_goes_on_where_it_was() -> None:
    async with an_inspector() as running, trio.open_nursery() as nursery:
        got(running.store)
        await running.until_sorted()
        page = await running.page(nursery)
        seq = (await page.news())["seq"]
        await page.socket.aclose()
        got(running.store)
        await running.until_sorted()
        page = await running.page(nursery, since=seq)
        news = await page.news()
        assert news["snapshot"] is False
        assert [row["id"] for row in news["rows"]] == [2]
        await page.socket.aclose()
        for since, run in ((seq, "another"), (10**9, None), ("x", None), (-1, None), (None, None)):
            said = {"since": since} | ({"run": run} if run else {})
            page = await running.page(nursery, **said)
            assert (await page.news())["snapshot"] is True, said
            await page.socket.aclose()


@pytest.mark.parametrize(
    "first", ['{"token": "wrong"}', "{}", "[]", "no JSON", '{"token": 1}', "["]
)
async def test_without_the_token_it_is_closed_with_1008(first: str) -> None:
    async with an_inspector() as running, trio.open_nursery() as nursery:
        page = await running.silent_page(nursery)
        await page.socket.send_message(first)
        assert await page.close_code() == 1008


async def test_who_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_MESSAGE_S", 0.01)
    async with an_inspector() as running, trio.open_nursery() as nursery:
        page = await running.silent_page(nursery)
        assert await page.close_code() == 1008


async def test_a_clear_is_a_snapshot_of_what_is_left() -> None:
    async with an_inspector() as running, trio.open_nursery() as nursery:
        got(running.store)
        opened_tap(running.store)
        await running.until_sorted()
        page = await running.page(nursery)
        await page.news()
        await running.ask("DELETE", "/api/exchanges")
        while not (news := await page.news())["snapshot"]:
            pass
        assert [row["id"] for row in news["rows"]] == [2]
        await page.socket.aclose()


async def test_without_news_it_is_told_that_the_client_lives_and_how_it_is_connected() -> None:
    async with an_inspector() as running, trio.open_nursery() as nursery:
        page = await running.page(nursery)
        await page.news()
        running.inspector.tell(Reconnecting(1, 1.0, "the line is cut"))
        news = await page.news()
        assert news["rows"] == []
        assert news["connection"]["state"] == "offline"
        await page.socket.aclose()


@pytest.mark.slow
@pytest.mark.alone
async def test_ten_thousand_rows_come_in_short_turns_and_bounded_messages() -> None:
    async with an_inspector() as running, trio.open_nursery() as nursery:
        await running.get("/api/run")
        for number in range(10_000):
            got(running.store, target=b"/some/path/of/an/app?number=%d" % number)
            if number % 1000 == 0:
                await running.until_sorted()
        await running.until_sorted()
        with short_turns():
            page = await running.page(nursery)
            seen: set[int] = set()
            while len(seen) < 10_000:
                text = await page.text()
                assert len(text) < MESSAGE_MAX_CHARS + 64 * 1024
                rows = json.loads(text)["rows"]
                assert len(rows) <= ROWS_MAX
                seen |= {row["id"] for row in rows}
        await page.socket.aclose()


async def test_eight_pages_live_at_once_and_leave_nothing() -> None:
    async with an_inspector() as running, trio.open_nursery() as nursery:
        await running.get("/api/run")
        before = count_tasks()
        pages = [await running.page(nursery) for _ in range(8)]
        for page in pages:
            await page.news()
        assert count_tasks() > before + 3 * len(pages)
        got(running.store)
        for page in pages:
            assert [row["id"] for row in await page.rows(1)] == [1]
        for page in pages[:4]:
            await page.socket.aclose()
        for page in pages[4:]:
            await trio.aclose_forcefully(page.socket._stream)
        with trio.fail_after(1):
            while count_tasks() > before:
                await trio.testing.wait_all_tasks_blocked(0.01)


async def closes(page: LivePage) -> None:
    await page.socket.aclose()


async def ends(page: LivePage) -> None:
    """As a browser that is killed."""
    await trio.aclose_forcefully(page.socket._stream)


async def resets(page: LivePage) -> None:
    stream = page.socket._stream
    assert isinstance(stream, trio.SocketStream)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await trio.aclose_forcefully(stream)


@pytest.mark.parametrize("leave", [closes, ends, resets])
@pytest.mark.parametrize("is_busy", [False, True])
async def test_a_page_that_leaves_while_it_is_told_leaves_no_task_after_a_second(
    leave: Callable[[LivePage], Awaitable[None]], is_busy: bool
) -> None:
    async with an_inspector() as running, trio.open_nursery() as nursery:
        await running.get("/api/run")
        before = count_tasks()
        page = await running.page(nursery)
        await page.say(show=1)
        await page.news()
        for _ in range(2000 if is_busy else 0):  # it is in the middle of what it has to tell
            got(running.store, target=b"/" + b"x" * 400)
        if is_busy:
            await running.until_sorted()
        await leave(page)
        with trio.fail_after(1):
            while count_tasks() > before:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert (await running.ask("GET", "/api/run")).status == 200
        nursery.cancel_scope.cancel()  # the page's own task may hold a message that nobody takes


async def test_bodies_of_the_exchange_that_is_shown_are_kept() -> None:
    async with an_inspector(memory_bytes=16 * 1024 * 1024) as running:
        async with trio.open_nursery() as nursery:
            large = b"x" * (512 * 1024)
            got(running.store, large)
            await running.until_sorted()
            page = await running.page(nursery)
            await page.say(show=1)
            await page.news()
            exchange = running.store.get(1)
            assert exchange is not None
            while not running.store._kept_open:
                await trio.testing.wait_all_tasks_blocked(0.01)
            for _ in range(40):
                got(running.store, large)
                await running.until_sorted()
            assert is_whole(exchange)
            await page.say(show=None)
            while running.store._kept_open:
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert not is_whole(exchange)
            await page.socket.aclose()


def is_whole(exchange: KeptExchange) -> bool:
    body = exchange.answer.body
    return body is not None and body.is_whole
