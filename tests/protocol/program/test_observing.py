from __future__ import annotations

import json
from typing import NamedTuple

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.program.observing import EventQueue, JsonForm, plain_text


class Happened(NamedTuple):
    name: str
    data: bytes
    size: int
    ratio: float
    why: str | None


class Silent(NamedTuple):
    name: str


FORM = JsonForm({Happened: "happened"})


def test_an_event_is_an_object_with_the_names_of_its_fields_in_their_order() -> None:
    text = FORM.text(Happened("a", b"/x", 3, 1.5, None), 0.25)
    assert text == (
        '{"event": "happened", "time": "1970-01-01T00:00:00.250Z", "name": "a", "data": "/x",'
        ' "size": 3, "ratio": 1.5, "why": null}'
    )
    assert json.loads(text)["why"] is None


def test_more_may_be_said_behind_the_fields() -> None:
    assert FORM.text(Happened("a", b"", 0, 0.0, "w"), 0.0, dropped=3).endswith('"w", "dropped": 3}')


def test_a_kind_without_a_name_is_not_told() -> None:
    assert FORM.text(Silent("a"), 0.0) == ""


def test_json_is_ascii_and_does_not_take_fields_for_formats() -> None:
    text = FORM.text(Happened("%s \u202e\x1b\n", b"\xff%d", 0, 0.0, "\udc80"), 0.0)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["data"] == "\\xff%d"


@pytest.mark.parametrize(("value", "text"), [(b"a\xff", "a\\xff"), ("\xfc", "\xfc")])
def test_bytes_become_text_that_is_readable(value: bytes | str, text: str) -> None:
    assert plain_text(value) == text


def a_queue() -> EventQueue[int]:
    """Of five; odd numbers may be forgotten."""
    return EventQueue(5, lambda number: number % 2 == 1)


def test_a_queue_gives_events_in_their_order() -> None:
    queue = a_queue()
    for number in range(5):
        queue.put(number)
    assert list(queue) == [0, 1, 2, 3, 4]
    assert queue.take() == [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]
    assert queue.take() == []


def test_one_past_the_limit_the_oldest_that_may_be_is_forgotten_and_counted_once() -> None:
    queue = a_queue()
    for number in range(7):
        queue.put(number)
    assert repr(queue) == "<EventQueue queued=5 dropped=2>"
    assert queue.take() == [(0, 0), (2, 0), (4, 0), (5, 2), (6, 0)]
    queue.put(1)
    assert queue.take() == [(1, 0)]


def test_where_none_may_be_forgotten_the_oldest_goes() -> None:
    queue = a_queue()
    for number in range(0, 14, 2):
        queue.put(number)
    assert [event for event, _ in queue.take()] == [4, 6, 8, 10, 12]
    assert queue.forgotten == 0


async def test_a_wait_ends_with_the_first_event_and_not_before(nursery: trio.Nursery) -> None:
    queue = a_queue()
    taken: list[int] = []

    async def take() -> None:
        while True:
            await queue.wait()
            taken.extend(event for event, _ in queue.take())

    nursery.start_soon(take)
    for number in (1, 2):
        await wait_all_tasks_blocked()
        assert len(taken) == number - 1
        queue.put(number)
    await wait_all_tasks_blocked()
    assert taken == [1, 2]
    nursery.cancel_scope.cancel()
