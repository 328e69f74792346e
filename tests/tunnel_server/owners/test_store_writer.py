"""The worker thread is real: tests wait for what it did. Time jumps where they say so."""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tunnel_server.owners.names import Change, Kept, Seen
from tunnel_server.owners.store import StoreContent
from tunnel_server.owners.store_writer import AGAIN_S, LOOK_EVERY_S, StoreWriter
from tunnel_server.owners.stored_tokens import StoredToken, StoredTokens

SHOP = Kept("ann", True, 1.0)
OTTER = Kept("bob", False, 2.0)
SOON_S = 60.0  # nothing here takes as long; it ends a test that hangs


class FakeStore:
    """A store in memory, of which each write is told."""

    def __init__(self) -> None:
        self.names: dict[str, Kept] = {}
        self.used_on: dict[int, str] = {}
        self.tokens = StoredTokens()
        self.fails = False
        self.changed = False
        self.owners: dict[str, str] | None = None
        self.closed = False
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.looks: queue.Queue[dict[str, Change]] = queue.Queue()
        self.writing: dict[str, Change] = {}

    def __repr__(self) -> str:
        return "<FakeStore>"

    def write(
        self,
        domain: str,
        changes: dict[str, Change],
        owners: dict[str, str] | None,
        used_on: dict[int, str],
    ) -> None:
        self.used_on |= used_on
        self.owners = None if owners is None else dict(owners)
        assert domain == "example.com"
        assert self.goes_on.wait(SOON_S)
        if self.fails:
            self.looks.put({})
            raise sqlite3.OperationalError("database or disk is full")
        self.writing = changes
        for name, change in changes.items():
            match change:
                case Kept():
                    self.names[name] = change
                case None:
                    self.names.pop(name, None)

    def has_changed(self) -> bool:
        self.looks.put(self.writing)
        self.writing = {}
        changed, self.changed = self.changed, False
        return changed

    def content(self, domain: str) -> StoreContent:
        return StoreContent(dict(self.names), self.tokens)

    def close(self) -> None:
        self.closed = True

    async def look(self) -> dict[str, Change]:
        """Wait for the thread's next turn; what it wrote."""
        return await trio.to_thread.run_sync(self.looks.get, True, SOON_S)


class World:
    def __init__(self) -> None:
        self.store = FakeStore()
        self.read: list[dict[str, Kept]] = []
        self.read_tokens: list[StoredTokens] = []
        store: Any = self.store
        self.writer = StoreWriter(store, "example.com", self._take, {"shop": SHOP, "gone": SHOP})
        self.scope = trio.CancelScope()

    def _take(self, content: StoreContent) -> None:
        self.read.append(content.names)
        self.read_tokens.append(content.tokens)


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            with world.scope:
                await world.writer.run()

        nursery.start_soon(run)
        assert await world.store.look() == {}
        yield world
        world.scope.cancel()
    assert world.store.closed


@pytest.mark.usefixtures("mock_clock")
async def test_a_change_is_written_soon_and_nobody_waits_for_it() -> None:
    async with running() as world:
        world.store.goes_on.clear()
        world.writer.changed("shop", SHOP)
        world.writer.changed("otter", OTTER)
        await wait_all_tasks_blocked(0.01)
        world.writer.changed("late", SHOP)  # while the disk stands still
        assert repr(world.writer) == "<StoreWriter ok 1 to write>"
        world.store.goes_on.set()
        assert await world.store.look() == {"shop": SHOP, "otter": OTTER}
        assert await world.store.look() == {"late": SHOP}


@pytest.mark.usefixtures("mock_clock")
async def test_the_date_on_which_a_token_was_used_is_written_and_kept_while_the_store_fails(
    mock_clock: MockClock,
) -> None:
    async with running() as world:
        world.store.fails = True
        world.writer.token_used(1, "2026-11-30")
        await world.store.look()
        await wait_all_tasks_blocked(0.01)
        world.writer.token_used(2, "2026-11-30")
        world.store.fails = False
        mock_clock.jump(AGAIN_S)
        await world.store.look()
        assert world.store.used_on == {1: "2026-11-30", 2: "2026-11-30"}


@pytest.mark.usefixtures("mock_clock")
async def test_tokens_of_another_program_are_read_with_its_names() -> None:
    async with running() as world:
        ann = StoredToken(1, "ann", "ann", (), "", 0, None, None, "")
        world.store.tokens, world.store.changed = StoredTokens((ann,)), True
        world.writer.changed("shop", SHOP)  # or a second would have to pass
        await world.store.look()
        await wait_all_tasks_blocked(0.01)
        assert world.read_tokens[-1].tokens == (ann,)


@pytest.mark.usefixtures("mock_clock")
async def test_of_one_name_the_newest_is_written() -> None:
    async with running() as world:
        for kept in (SHOP, None, OTTER):
            world.writer.changed("shop", kept)
        assert await world.store.look() == {"shop": OTTER}


async def test_a_store_that_fails_is_told_of_once_and_tried_again(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as world:
        world.store.fails = True
        world.writer.changed("shop", SHOP)
        await world.store.look()
        world.writer.changed("shop", None)
        world.writer.changed("otter", OTTER)
        for _ in range(3):
            await wait_all_tasks_blocked(0.01)
            assert world.writer.failing
            mock_clock.jump(AGAIN_S)
            await world.store.look()
        assert caplog.text.count("cannot be used (database or disk is full)") == 1
        world.store.fails = False
        await wait_all_tasks_blocked(0.01)
        mock_clock.jump(AGAIN_S)
        assert await world.store.look() == {"shop": None, "otter": OTTER}
        await wait_all_tasks_blocked(0.01)
        assert not world.writer.failing
        assert "<FakeStore> can be used again" in caplog.text


async def test_what_another_program_wrote_is_read_within_a_second(mock_clock: MockClock) -> None:
    async with running() as world:
        world.store.names = {"shop": SHOP}
        world.store.changed = True
        await wait_all_tasks_blocked(0.01)
        mock_clock.jump(LOOK_EVERY_S)
        await world.store.look()
        await wait_all_tasks_blocked(0.01)
        assert world.read == [{"shop": SHOP}]


@pytest.mark.usefixtures("mock_clock")
async def test_what_changes_while_it_is_read_is_newer() -> None:
    async with running() as world:
        world.store.names = {"shop": SHOP, "gone": SHOP}
        world.store.changed = True
        world.store.goes_on.clear()
        world.writer.changed("first", SHOP)
        await wait_all_tasks_blocked(0.01)
        world.writer.changed("shop", OTTER)
        world.writer.changed("gone", None)
        world.store.goes_on.set()
        await world.store.look()
        await world.store.look()
        assert world.read == [{"first": SHOP, "shop": OTTER}]


@pytest.mark.usefixtures("mock_clock")
async def test_what_is_left_at_the_end_is_written() -> None:
    async with running() as world:
        world.scope.cancel()
        world.writer.changed("shop", SHOP)
    assert world.store.names == {"shop": SHOP}


def pending(*changes: tuple[str, Change], stored: tuple[str, ...] = ()) -> dict[str, Change]:
    """What waits to be written after these, while nothing runs."""
    store: Any = FakeStore()
    writer = StoreWriter(store, "example.com", lambda _: None, dict.fromkeys(stored, SHOP))
    for name, change in changes:
        writer.changed(name, change)
    return writer._changes


def test_a_name_that_was_never_written_and_is_nobodys_needs_no_writing() -> None:
    assert pending(("shop", SHOP), ("shop", None)) == {}
    assert pending(("shop", SHOP), ("shop", None), stored=("shop",)) == {"shop": None}


def test_what_waits_is_bounded_by_the_names_that_there_are() -> None:
    """A tenant that claims name after name, while the disk is full: its share is small."""
    churn = [(f"n{number}", change) for number in range(5_000) for change in (SHOP, None)]
    assert pending(*churn) == {}


def test_that_a_name_was_seen_is_joined_with_what_waits() -> None:
    seen, others = Seen("ann", 9.0), Seen("bob", 9.0)
    assert pending(("shop", seen)) == {"shop": seen}
    assert pending(("shop", SHOP), ("shop", seen)) == {"shop": SHOP._replace(seen_at=9.0)}
    assert pending(("shop", SHOP), ("shop", others)) == {"shop": SHOP}
    assert pending(("shop", None), ("shop", seen), stored=("shop",)) == {"shop": None}
    assert pending(("shop", others), ("shop", seen)) == {"shop": seen}


@pytest.mark.usefixtures("mock_clock")
async def test_whoever_waits_for_a_disk_that_stands_still_may_go_and_nothing_is_lost() -> None:
    async with running() as world:
        world.store.goes_on.clear()
        world.writer.changed("shop", SHOP)
        await wait_all_tasks_blocked(0.01)
        with trio.move_on_after(0) as waiting:
            await world.writer.flush()
        assert waiting.cancelled_caught
        world.store.goes_on.set()
        assert await world.store.look() == {"shop": SHOP}


async def test_a_write_that_was_not_waited_for_is_done_again(mock_clock: MockClock) -> None:
    store: Any = FakeStore()
    writer = StoreWriter(store, "example.com", lambda _: None)
    store.goes_on.clear()
    writer.changed("shop", SHOP)
    with trio.move_on_after(5) as waiting:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.flush)
            await wait_all_tasks_blocked(0.01)
            mock_clock.jump(5)
    assert waiting.cancelled_caught
    assert writer._changes == {"shop": SHOP}
    writer.changed("shop", OTTER)  # newer than what the thread has
    store.goes_on.set()
    await writer.flush()
    assert store.names == {"shop": OTTER}


async def test_what_a_failing_store_never_had_does_not_wait_for_ever(
    mock_clock: MockClock,
) -> None:
    """A tenant's share of 64 names, each turn another 64."""
    async with running() as world:
        world.store.fails = True
        for turn in range(3):
            for number in range(64):
                world.writer.changed(f"n{turn}-{number}", SHOP)
            await world.store.look()
            await wait_all_tasks_blocked(0.01)
            for number in range(64):
                world.writer.changed(f"n{turn}-{number}", None)
            assert len(world.writer) == 0
            mock_clock.jump(AGAIN_S)


@pytest.mark.usefixtures("mock_clock")
async def test_after_another_server_took_over_nothing_of_others_is_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as world:
        world.writer.succeeded(True)
        assert caplog.text == ""
        world.writer.changed("shop", None)
        await world.store.look()
        assert world.store.owners == {"shop": "ann", "gone": "ann"}
        world.writer.succeeded(False)
        world.writer.changed("late", SHOP)
        await world.store.look()
        assert world.store.owners is None
