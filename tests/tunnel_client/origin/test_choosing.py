from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.http.heads import ResponseHead, parse_response
from protocol.mux.messages import Open
from tests.asked_apps import (
    NAVIGATION,
    PUBLIC,
    Choosing,
    a_talking_app,
    choosing,
    host_of,
    link_by_name,
    opened_by,
    page,
)
from tests.clocks import elapsed_s
from tunnel_client.identity.verdicts import ASK_AGAIN_S
from tunnel_client.observing.events import OriginCameUp, OriginWentDown
from tunnel_client.origin.dial import Dialer, OriginDown, OriginStream
from tunnel_client.origin.first_look import SILENT_S
from tunnel_client.origin.inquiring import FIRST_S, REST_S, VISITOR_WAITS_S

ORIGIN = (b"Origin", PUBLIC.encode())


def plain_page(head: bytes) -> bytes:
    return page(b"<a href='/x'>x</a>")


def answer(status: int = 200, media_type: bytes = b"text/html") -> ResponseHead:
    raw = b"HTTP/1.1 %d x\r\nContent-Type: %b\r\n\r\n" % (status, media_type)
    return parse_response(raw, b"GET")


def see(made: Choosing, opened: Open, status: int, body: bytes = b"") -> None:
    """A request as it passes, with the identity of this moment."""
    look = made.chooser.saw(opened, made.chooser.identity_of(opened), answer(status))
    if look is not None:
        look.feed(body)


async def test_an_app_that_makes_its_links_from_its_name_is_asked_by_the_public_one() -> None:
    async with choosing(link_by_name) as made:
        assert made.mode() == "local"
        made.ready()
        assert await made.verdict() == (
            *("public", b"/", "it makes its links from the name it is asked by", 5, PUBLIC, None),
        )
        assert made.mode() == "public"
        assert len(made.app.heads) == 5


async def test_an_app_that_names_no_origin_has_one_get_more_and_nothing_else() -> None:
    async with choosing(plain_page) as made:
        made.ready()
        assert (await made.verdict())[:4] == ("local", b"/", "it names no origin of its own", 1)
        assert made.mode() == "local"
        await wait_all_tasks_blocked()
        assert len(made.app.heads) == 1


async def test_a_reconnect_asks_nothing() -> None:
    async with choosing(plain_page) as made:
        made.ready()
        await made.verdict()
        made.ready()
        await wait_all_tasks_blocked()
        assert len(made.app.heads) == 1


async def test_another_public_origin_has_a_verdict_of_its_own_when_it_is_first_seen() -> None:
    """Flask without ProxyFix: its links are right by http, and wrong by https."""

    def without_proto(head: bytes) -> bytes:
        return page(b"<a href='http://%b/x'>x</a>" % host_of(head))

    by_http = opened_by(scheme="http")
    async with choosing(without_proto) as made:
        made.ready()
        assert (await made.verdict()).mode == "local"
        assert made.mode(by_http) == "local"
        assert (await made.verdict(2))[4] == "http://demo.example"
        assert made.mode(by_http) == "public"
        assert made.mode() == "local"
        for n in range(5):
            made.mode(opened_by(host=f"{n}.example"))
        assert (await made.verdict(3)).origin == "https://0.example"
        await wait_all_tasks_blocked()
        assert len(made.verdicts) == 3


async def test_a_visitor_that_makes_ports_up_costs_the_tunnels_own_origins_nothing() -> None:
    async with choosing(link_by_name) as made:
        for port in range(1, 5):
            made.mode(opened_by(host=f"demo.example:{port}"))
        made.ready()
        for port in range(1, 5):
            made.mode(opened_by(host=f"demo.example:{port}"))
        by_http = opened_by(scheme="http")
        assert made.mode(by_http) == "local"  # it is asked about now
        while len({verdict.origin for verdict in made.verdicts} - {PUBLIC}) < 2:
            await made.verdict(len(made.verdicts) + 1)
        assert (made.mode(), made.mode(by_http)) == ("public", "public")
        assert made.mode(opened_by(host="demo.example:4")) == "local"


async def test_a_request_keeps_the_identity_that_it_began_with() -> None:
    async with choosing(link_by_name) as made:
        before = made.chooser.identity_of(opened_by())
        made.ready()
        await made.verdict()
        assert made.chooser.identity_of(opened_by()) is not before
        # Its answer is judged by what it began with: a 403 of the app as itself says nothing.
        assert made.chooser.saw(opened_by(NAVIGATION), before, answer(403)) is None
        await wait_all_tasks_blocked()
        assert len(made.app.heads) == 5


# --- time ---


async def test_an_app_that_does_not_answer_in_10_s_is_asked_as_itself(
    mock_clock: MockClock,
) -> None:
    async with choosing(link_by_name) as made:
        made.app.hold()
        made.ready()
        await wait_all_tasks_blocked(0.01)
        mock_clock.jump(FIRST_S - 0.1)
        await wait_all_tasks_blocked(0.01)
        assert made.verdicts == []
        mock_clock.jump(0.1)
        assert (await made.verdict())[:4] == ("local", b"/", "its answers took too long", 1)


async def test_the_questions_behind_the_first_have_5_s_together(mock_clock: MockClock) -> None:
    def slow(head: bytes) -> bytes:
        mock_clock.jump(2)
        return link_by_name(head)

    async with choosing(slow) as made:
        made.ready()
        verdict = await made.verdict()
        assert verdict[:3] == ("local", b"/", "its answers took too long")
        assert elapsed_s() == 8
        assert 2 + REST_S < 8 <= 2 + REST_S + 2


async def test_a_visitor_waits_only_once_an_own_origin_was_found_and_a_second_at_most(
    mock_clock: MockClock,
) -> None:
    async with choosing(link_by_name) as made, trio.open_nursery() as nursery:
        made.app.hold()
        made.ready()
        await wait_all_tasks_blocked(0.01)
        assert not made.chooser.keeps_waiting(opened_by(NAVIGATION))  # nothing is known yet
        first, made.app.gate = made.app.gate, trio.Event()
        first.set()
        await wait_all_tasks_blocked(0.01)
        assert made.chooser.keeps_waiting(opened_by(NAVIGATION))
        assert not made.chooser.keeps_waiting(opened_by())
        assert not made.chooser.keeps_waiting(opened_by(NAVIGATION, method=b"POST"))
        assert not made.chooser.keeps_waiting(opened_by(NAVIGATION, host="other.example"))
        before = elapsed_s()
        nursery.start_soon(made.chooser.wait)
        await wait_all_tasks_blocked(0.01)
        mock_clock.jump(VISITOR_WAITS_S)
        await wait_all_tasks_blocked(0.01)
        assert elapsed_s() - before == VISITOR_WAITS_S
        assert not nursery.child_tasks
        nursery.start_soon(made.chooser.wait)
        await wait_all_tasks_blocked(0.01)
        made.app.gate.set()
        await made.verdict()
        assert made.mode() == "public"
        assert not made.chooser.keeps_waiting(opened_by(NAVIGATION))


async def test_an_app_that_says_nothing_to_its_first_question_for_2_s_is_told_of(
    mock_clock: MockClock,
) -> None:
    async with choosing(plain_page) as made:
        mock_clock.jump(SILENT_S)  # nothing is asked yet
        made.app.hold()
        made.ready()
        await wait_all_tasks_blocked(0.01)
        mock_clock.jump(SILENT_S - 0.1)
        await wait_all_tasks_blocked(0.01)
        assert made.warnings == []
        mock_clock.jump(0.1)
        await wait_all_tasks_blocked(0.01)
        assert [warned.code for warned in made.warnings] == ["origin-silent"]
        assert made.verdicts == []
        made.app.gate.set()
        assert (await made.verdict()).reason == "it names no origin of its own"
        assert len(made.warnings) == 1


async def test_an_app_that_takes_no_connection_is_not_said_to_take_some(
    mock_clock: MockClock,
) -> None:
    async with a_talking_app(plain_page) as app, trio.open_nursery() as nursery:
        made = Choosing(app)
        accepts = trio.Event()

        async def connect() -> OriginStream:
            await accepts.wait()
            return await Dialer(app.target).open()

        nursery.start_soon(made.first_look.watch)
        nursery.start_soon(made.chooser.run, connect)
        app.hold()
        made.ready()
        await wait_all_tasks_blocked(0.01)
        mock_clock.jump(SILENT_S)
        await wait_all_tasks_blocked(0.01)
        assert made.warnings == []
        accepts.set()
        await wait_all_tasks_blocked(0.01)
        mock_clock.jump(SILENT_S)
        await wait_all_tasks_blocked(0.01)
        assert [warned.code for warned in made.warnings] == ["origin-silent"]
        nursery.cancel_scope.cancel()


# --- an app that is not there ---


async def test_where_nothing_listens_it_is_asked_when_it_is_first_reached() -> None:
    async with a_talking_app(link_by_name) as gone:
        pass
    made = Choosing(gone)
    async with trio.open_nursery() as nursery:
        up = [Dialer(gone.target)]
        nursery.start_soon(made.chooser.run, lambda: up[0].open())
        made.ready()
        await wait_all_tasks_blocked(0.01)
        assert made.verdicts == []
        async with a_talking_app(link_by_name) as back:
            up[0] = Dialer(back.target)
            made.chooser.tell(OriginWentDown("nothing listens", 3.0))
            await wait_all_tasks_blocked(0.01)
            assert made.verdicts == []
            made.chooser.tell(OriginCameUp())
            assert (await made.verdict()).mode == "public"
        nursery.cancel_scope.cancel()


async def test_after_the_app_was_away_it_is_asked_again_and_the_old_verdict_stands_meanwhile(
    mock_clock: MockClock,
) -> None:
    async with choosing(link_by_name) as made:
        made.ready()
        await made.verdict()
        made.app.answer = plain_page
        made.chooser.tell(OriginCameUp())
        await wait_all_tasks_blocked(0.01)
        assert made.mode() == "public"
        mock_clock.jump(ASK_AGAIN_S)
        assert (await made.verdict(2)).mode == "local"
        assert made.mode() == "local"


def breaks_off_at(number: int, times: int = 1) -> Callable[[bytes], bytes]:
    """It breaks off at the question of this number, once or more often."""
    left, count = [times], [0]

    def app(head: bytes) -> bytes:
        count[0] += 1
        if count[0] < number or not left[0]:
            return link_by_name(head)
        left[0], count[0] = left[0] - 1, 0
        return b""

    return app


async def test_an_app_that_breaks_off_while_it_is_asked_is_asked_once_more(
    mock_clock: MockClock,
) -> None:
    async with choosing(breaks_off_at(2)) as made:
        made.ready()
        await wait_all_tasks_blocked(0.01)
        assert len(made.app.heads) == 2
        mock_clock.jump(ASK_AGAIN_S - 0.1)
        await wait_all_tasks_blocked(0.01)
        assert len(made.app.heads) == 2
        assert made.verdicts == []
        mock_clock.jump(0.1)
        assert (await made.verdict()).mode == "public"


async def test_an_app_that_always_breaks_off_has_a_verdict_at_the_second_inquiry(
    mock_clock: MockClock,
) -> None:
    async with choosing(breaks_off_at(2, times=2)) as made:
        made.ready()
        await wait_all_tasks_blocked(0.01)
        mock_clock.jump(ASK_AGAIN_S)
        assert (await made.verdict())[:4] == ("local", b"/", "it gave no answer", 2)
        mock_clock.jump(ASK_AGAIN_S)
        await wait_all_tasks_blocked(0.01)
        assert len(made.app.heads) == 4


@pytest.mark.parametrize("number", [1, 2, 5])
async def test_an_inquiry_without_an_end_keeps_the_verdict_that_stands(
    mock_clock: MockClock, number: int
) -> None:
    async with choosing(link_by_name) as made:
        made.ready()
        await made.verdict()
        made.app.answer = breaks_off_at(number)
        made.chooser.tell(OriginCameUp())
        mock_clock.jump(ASK_AGAIN_S)
        await wait_all_tasks_blocked(0.01)
        assert len(made.app.heads) == 5 + number
        assert (made.mode(), len(made.verdicts)) == ("public", 1)
        mock_clock.jump(ASK_AGAIN_S)
        assert (await made.verdict(2)).mode == "public"


async def test_so_does_one_whose_answers_take_too_long_however_often(
    mock_clock: MockClock,
) -> None:
    """A visitor that keeps the app busy undoes nothing for the others."""
    async with choosing(link_by_name) as made:
        made.ready()
        await made.verdict()
        made.app.hold()
        made.chooser.tell(OriginCameUp())
        for _ in range(12):
            mock_clock.jump(ASK_AGAIN_S)  # as long as an answer is waited for
            await wait_all_tasks_blocked(0.01)
        assert (made.mode(), len(made.verdicts)) == ("public", 1)
        assert len(made.app.heads) == 5 + 4  # after 10 s, 20, 40 and 80


async def test_an_app_that_goes_while_it_is_asked_is_asked_when_it_is_back(
    mock_clock: MockClock,
) -> None:
    async with a_talking_app(link_by_name) as app, trio.open_nursery() as nursery:
        made = Choosing(app)
        is_up = [True]

        async def connect() -> OriginStream:
            if not is_up[0]:
                raise OriginDown("nothing listens")
            return await Dialer(app.target).open()

        nursery.start_soon(made.chooser.run, connect)
        made.ready()
        await made.verdict()
        app.hold()
        made.chooser.tell(OriginCameUp())
        mock_clock.jump(ASK_AGAIN_S)
        await wait_all_tasks_blocked(0.01)
        is_up[0] = False
        app.gate.set()
        await wait_all_tasks_blocked(0.01)
        assert (made.mode(), len(made.verdicts)) == ("public", 1)
        is_up[0], app.answer = True, plain_page
        made.chooser.tell(OriginCameUp())
        assert (await made.verdict(2)).mode == "local"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "raw", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 x\r\nContent-Type: text/html\r\nConte"]
)
async def test_an_answer_that_is_none_is_local(raw: bytes) -> None:
    async with choosing(lambda head: raw) as made:
        made.ready()
        assert (await made.verdict())[:4] == ("local", b"/", "it gave no answer", 1)


async def test_a_fault_of_ours_is_local_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with choosing(link_by_name) as made:
        monkeypatch.setattr("tunnel_client.origin.asking.request_head", None)
        made.ready()
        assert (await made.verdict()).mode == "local"
        assert "could not be asked" in caplog.text
        monkeypatch.undo()
        made.mode(opened_by(scheme="http"))
        assert (await made.verdict(2)).mode == "public"  # it still asks


# --- what passes ---


@pytest.mark.parametrize("status", [400, 403, 421])
async def test_a_refused_navigation_under_public_asks_again_once_in_10_s(
    status: int, mock_clock: MockClock
) -> None:
    async with choosing(link_by_name) as made:
        made.ready()
        await made.verdict()
        made.app.answer = plain_page
        see(made, opened_by(), status)  # a script's
        see(made, opened_by(NAVIGATION, method=b"POST"), status)
        see(made, opened_by(NAVIGATION), 404)
        mock_clock.jump(ASK_AGAIN_S)
        await wait_all_tasks_blocked(0.01)
        assert len(made.verdicts) == 1
        see(made, opened_by(NAVIGATION), status)
        assert (await made.verdict(2)).mode == "local"
        assert made.mode() == "local"
        see(made, opened_by(NAVIGATION), status)  # of the app as itself: nothing to ask
        await wait_all_tasks_blocked(0.01)
        assert len(made.verdicts) == 2


def mounted(head: bytes) -> bytes:
    return link_by_name(head) if head.startswith(b"GET /app/ ") else page(b"no such page", 404)


async def test_a_page_elsewhere_that_names_an_own_origin_has_the_app_asked_there() -> None:
    async with choosing(mounted) as made:
        made.ready()
        assert (await made.verdict()).reason == "it answers 404 text/html"
        own = b"http://localhost:%d/" % made.app.target.port
        see(made, opened_by(NAVIGATION, target=b"/other/"), 200, b"no origin")
        see(made, opened_by(target=b"/app/"), 200, own)  # a script's
        see(made, opened_by(NAVIGATION, target=b"/app/?token=secret"), 200, b"<a href=" + own)
        verdict = await made.verdict(2)
        assert (verdict.mode, verdict.path) == ("public", b"/app/")
        assert verdict.hint == "A page that is open already needs a reload."
        assert made.mode() == "public"
        assert not any(b"secret" in head for head in made.app.heads)


async def test_the_first_refused_post_of_a_page_names_the_flag_and_the_next_ones_do_not() -> None:
    form = opened_by(ORIGIN, method=b"POST", target=b"/f?secret")
    async with choosing(link_by_name) as made:
        made.ready()
        await made.verdict()
        see(made, opened_by(method=b"POST"), 403)
        see(made, opened_by((b"Origin", b"https://evil.example"), method=b"POST"), 403)
        see(made, form, 500)
        assert len(made.verdicts) == 1
        see(made, form, 403)
        see(made, form, 400)
        assert made.verdicts[1:] == [
            (
                *("public", b"/f", "a request with its public Origin was refused", 0, PUBLIC),
                "POST /f was refused (403). If it works on localhost: --identity local.",
            )
        ]


async def test_a_hint_is_given_once() -> None:
    def picky(head: bytes) -> bytes:
        own = host_of(head).startswith(b"localhost")
        return link_by_name(head) if own else page(b"", 403)

    async with choosing(picky) as made:
        made.ready()
        hint = (await made.verdict()).hint
        assert hint == (
            f"Links on / name http://localhost:{made.app.target.port}, which visitors cannot reach."
            " The app refuses its public name (403): allow it there and use --identity public."
        )
        made.mode(opened_by(scheme="http"))
        assert (await made.verdict(2)).hint is None


async def test_only_get_is_asked_and_no_cookie_comes_back() -> None:
    def with_cookie(head: bytes) -> bytes:
        return link_by_name(head).replace(b"\r\n", b"\r\nSet-Cookie: a=b\r\n", 1)

    async with choosing(with_cookie) as made:
        made.ready()
        assert (await made.verdict()).mode == "public"
        assert all(head.startswith(b"GET / ") for head in made.app.heads)
        assert not re.search(rb"(?i)\ncookie:", b"".join(made.app.heads))
