"""Requests on their way while the app is asked as whom it is to be asked."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.mux.messages import Open
from tests.asked_apps import (
    NAVIGATION,
    PUBLIC,
    Choosing,
    choosing,
    host_of,
    link_by_name,
    opened_by,
    page,
)
from tests.clocks import elapsed_s
from tests.memory_streams import MemoryStream
from tests.origin_fakes import Told
from tunnel_client.identity.hints import REFUSES_FORWARDED
from tunnel_client.origin.dial import Dialer
from tunnel_client.origin.dispatch import Dispatcher
from tunnel_client.origin.inquiring import VISITOR_WAITS_S
from tunnel_client.origin.refusals import ANSWERS


class Site:
    """An app whose identity is chosen, and the way to it."""

    def __init__(self, made: Choosing, dispatcher: Dispatcher) -> None:
        self.made = made
        self.dispatcher = dispatcher

    def begin(self, opened: Open) -> MemoryStream:
        stream = MemoryStream(opened)
        self.dispatcher.serve(stream)
        return stream

    async def get(self, *fields: tuple[bytes, bytes], target: bytes = b"/") -> MemoryStream:
        stream = self.begin(opened_by(*fields, target=target))
        await self.dispatcher.wait_quiet()
        return stream


@asynccontextmanager
async def a_site(made: Choosing) -> AsyncIterator[Site]:
    async with trio.open_nursery() as tasks:
        dispatcher = Dispatcher(
            Dialer(made.app.target),
            Told(),
            tasks,
            origin_timeout_s=600,
            identity=made.identities["local"],
            chooser=made.chooser,
        )
        yield Site(made, dispatcher)
        tasks.cancel_scope.cancel()


async def test_requests_behind_a_verdict_are_sent_on_as_it_says() -> None:
    async with choosing(link_by_name) as made, a_site(made) as site:
        assert b"http://localhost:" in (await site.get()).body
        made.ready()
        await made.verdict()
        assert (await site.get()).body == b"<a href='https://demo.example/x'>x</a>"


async def test_a_request_that_began_before_is_answered_as_it_was_asked() -> None:
    """Its Location names the app itself, and is translated though the verdict is public by now."""

    def moved(head: bytes) -> bytes:
        if head.startswith(b"GET /old "):
            return page(b"", 302, b"Location: http://%b/new\r\n" % host_of(head))
        return link_by_name(head)

    async with choosing(moved) as made, a_site(made) as site:
        made.app.hold(b"GET /old ")
        stream = site.begin(opened_by(target=b"/old"))
        made.ready()
        assert (await made.verdict()).mode == "public"
        assert stream.heads == []
        made.app.gate.set()
        await site.dispatcher.wait_quiet()
        assert (b"Location", PUBLIC.encode() + b"/new") in stream.heads[0].fields


async def test_a_navigation_waits_for_the_verdict_and_what_a_script_asks_does_not() -> None:
    async with choosing(link_by_name) as made, a_site(made) as site:
        made.ready()
        await _up_to_the_second_question(made)
        waiting = site.begin(opened_by(NAVIGATION))
        script = site.begin(opened_by(target=b"/script"))
        await wait_all_tasks_blocked(0.01)
        assert len(made.app.heads) == 3
        assert made.app.heads[2].startswith(b"GET /script ")
        made.app.gate.set()
        await site.dispatcher.wait_quiet()
        assert waiting.body == b"<a href='https://demo.example/x'>x</a>"
        assert b"http://localhost:" in script.body


async def test_it_waits_a_second_at_most_and_not_for_a_visitor_that_is_gone(
    mock_clock: MockClock,
) -> None:
    async with choosing(link_by_name) as made, a_site(made) as site:
        made.ready()
        await _up_to_the_second_question(made)
        waiting, gone = site.begin(opened_by(NAVIGATION)), site.begin(opened_by(NAVIGATION))
        await wait_all_tasks_blocked(0.01)
        before = elapsed_s()
        gone.stop()
        await wait_all_tasks_blocked(0.01)
        assert gone.end == "cancelled"
        mock_clock.jump(VISITOR_WAITS_S)
        await wait_all_tasks_blocked(0.01)
        assert elapsed_s() == before + VISITOR_WAITS_S
        assert host_of(made.app.heads[-1]).startswith(b"localhost:")
        made.app.gate.set()
        await site.dispatcher.wait_quiet()
        assert b"http://localhost:" in waiting.body


@pytest.mark.parametrize("everywhere", [True, False])
async def test_a_refusal_of_what_is_forwarded_is_told_once(
    caplog: pytest.LogCaptureFixture, everywhere: bool
) -> None:
    def hates_proxies(head: bytes) -> bytes:
        refuses = everywhere or head.startswith(b"GET /x ")
        return page(b"", 400 if refuses and b"X-Forwarded-For" in head else 200)

    async with choosing(hates_proxies) as made, a_site(made) as site:
        made.ready()
        assert (await made.verdict()).hint == (REFUSES_FORWARDED if everywhere else None)
        for _ in range(ANSWERS):
            await site.get(target=b"/x")
        lines = [line for line in caplog.messages if "X-Forwarded-For" in line]
        assert len(lines) == (not everywhere)


async def _up_to_the_second_question(made: Choosing) -> None:
    """The first one is answered with an own origin; the app takes its time from then on."""

    def first_only(head: bytes) -> bytes:
        made.app.hold()
        made.app.answer = link_by_name
        return link_by_name(head)

    made.app.answer = first_only
    await wait_all_tasks_blocked(0.01)
    assert len(made.app.heads) in (1, 2)
    while len(made.app.heads) < 2:
        await wait_all_tasks_blocked(0.01)


async def test_a_gzipped_page_elsewhere_is_looked_at_and_crosses_untouched() -> None:
    def mounted(head: bytes) -> bytes:
        if not head.startswith(b"GET /app/"):
            return page(b"", 404)
        plain = link_by_name(head)
        if b"trio-tunnel" in head or b"an-agent" in head:
            return plain
        packed = gzip.compress(plain.partition(b"\r\n\r\n")[2])
        return page(packed, more=b"Content-Encoding: gzip\r\n")

    async with choosing(mounted) as made, a_site(made) as site:
        made.ready()
        assert (await made.verdict()).mode == "local"
        stream = await site.get(NAVIGATION, target=b"/app/?a=b")
        assert b"http://localhost:" in gzip.decompress(stream.body)
        verdict = await made.verdict(2)
        assert (verdict.mode, verdict.path) == ("public", b"/app/")
        assert PUBLIC.encode() in gzip.decompress(
            (await site.get(NAVIGATION, target=b"/app/")).body
        )
