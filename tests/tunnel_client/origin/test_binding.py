"""A connection to the app that NTLM or Negotiate has authenticated is one visitor's alone."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from protocol.http.fields import Fields
from protocol.mux.messages import Head
from tests.origin_fakes import OK, App, MemoryTunnel, RawOrigin, a_shared_app, whole
from tunnel_client.origin import binding
from tunnel_client.origin.binding import BOUND_IDLE_S
from tunnel_client.origin.dispatch import SWEEP_EVERY_S

NTLM: Fields = ((b"Authorization", b"NTLM TlRMTVNTUAADAAAA"),)
CHALLENGE = b"HTTP/1.1 401 x\r\nWWW-Authenticate: %b\r\nContent-Length: 0\r\n\r\n"


async def exchange(
    tunnel: MemoryTunnel,
    app: App | RawOrigin,
    connection: int | None,
    *,
    fields: Fields = (),
    answer: bytes = OK,
    visitor: str = "192.0.2.1",
) -> tuple[Head, App]:
    """One request by this connection of a visitor, and the app's connection that it came by.

    The app's is the one that is given, or where the app itself is given a new one.
    """
    stream = tunnel.open(fields=fields, connection=connection, visitor=visitor)
    if isinstance(app, RawOrigin):
        app = await app.accept()
    with trio.fail_after(5):
        await app.request()
    await app.send(answer)
    head = await stream.receive_head()
    await whole(stream)
    await tunnel.all_over()
    return head, app


async def is_closed(app: App) -> bool:
    with trio.fail_after(5):
        return await app.rest() == b""


@pytest.mark.parametrize(
    "scheme", [b"NTLM x", b"negotiate oYG2", b"Negotiate"], ids=["NTLM", "Negotiate", "bare"]
)
async def test_after_a_credential_it_serves_the_connection_that_it_came_from_alone(
    scheme: bytes,
) -> None:
    credential = ((b"Authorization", scheme),)
    async with a_shared_app() as (tunnel, origin):
        head, first = await exchange(tunnel, origin, 1, fields=credential)
        assert head.bound
        _, second = await exchange(tunnel, origin, 2)
        head, again = await exchange(tunnel, first, 1)
        assert again is first
        assert head.bound  # as in each answer that it brings
        _, unknown = await exchange(tunnel, second, None)
        assert unknown is second


@pytest.mark.parametrize("challenge", [b"NTLM", b'Basic realm="x", Negotiate', b"NTLM TlRM"])
async def test_after_a_challenge_too(challenge: bytes) -> None:
    async with a_shared_app() as (tunnel, origin):
        head, first = await exchange(tunnel, origin, 1, answer=CHALLENGE % challenge)
        assert head.bound
        await exchange(tunnel, origin, 2)
        await exchange(tunnel, first, 1)


async def test_what_has_been_used_by_others_may_be_bound_later() -> None:
    async with a_shared_app() as (tunnel, origin):
        _, app = await exchange(tunnel, origin, 2)
        head, _ = await exchange(tunnel, app, 1, fields=NTLM)
        assert head.bound
        await exchange(tunnel, origin, 2)


@pytest.mark.parametrize("scheme", [b"Basic YTpi", b"Bearer NTLM", b"Digest x"])
async def test_other_schemes_bind_nothing(scheme: bytes) -> None:
    async with a_shared_app() as (tunnel, origin):
        head, app = await exchange(tunnel, origin, 1, fields=((b"Authorization", scheme),))
        assert not head.bound
        await exchange(tunnel, app, 2)


async def test_where_the_visitors_connection_is_not_known_it_is_closed_behind_the_answer() -> None:
    async with a_shared_app() as (tunnel, origin):
        head, app = await exchange(tunnel, origin, None, fields=NTLM)
        assert head.bound
        assert await is_closed(app)
        await exchange(tunnel, origin, None)


@pytest.mark.parametrize("credential", [(), NTLM])
async def test_an_early_answer_there_stops_no_upload_since_the_app_keeps_its_connection(
    credential: Fields,
) -> None:
    """With `closes` the visitor would be told to send nothing more, as curl then does."""
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open(b"POST", body=5, fields=credential)
        app = await origin.accept()
        await app.request()
        await app.send(CHALLENGE % b"NTLM")
        head = await stream.receive_head()
        assert (head.bound, head.closes) == (True, False)
        await whole(stream)
        await stream.send_all(b"later")
        stream.send_eof()
        assert await app.exactly(5) == b"later"
        await tunnel.all_over()
        assert await is_closed(app)


def told_of_log_ins(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    return [line for line in said if line.startswith("a log-in by NTLM or Negotiate fails here")]


async def test_a_log_in_that_fails_since_nobody_knows_whose_a_connection_is_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The second step of three: the app's connection ends with it, and the third needs that."""
    async with a_shared_app() as (tunnel, origin):
        await exchange(tunnel, origin, None, answer=CHALLENGE % b"NTLM")  # nobody logs in yet
        assert told_of_log_ins(caplog) == []
        for _ in range(2):
            await exchange(tunnel, origin, None, fields=NTLM, answer=CHALLENGE % b"NTLM TlRM")
    [said] = told_of_log_ins(caplog)
    assert said.endswith("(docs/behind-a-proxy.md)")


async def test_a_log_in_that_takes_one_step_or_whose_connection_is_known_tells_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        await exchange(tunnel, origin, None, fields=NTLM)
        await exchange(tunnel, origin, 1, fields=NTLM, answer=CHALLENGE % b"NTLM TlRM")
        basic = ((b"Authorization", b"Basic YTpi"),)
        await exchange(tunnel, origin, None, fields=basic, answer=CHALLENGE % b"NTLM")
    assert told_of_log_ins(caplog) == []


async def test_it_ends_with_the_visitors_connection() -> None:
    async with a_shared_app() as (tunnel, origin):
        _, first = await exchange(tunnel, origin, 1, fields=NTLM)
        _, second = await exchange(tunnel, origin, 2, fields=NTLM)
        tunnel.server.gone(1)
        assert await is_closed(first)
        await exchange(tunnel, second, 2)
        tunnel.server.gone(7)  # nothing is bound to it
        tunnel.server.gone(2)
        assert await is_closed(second)
        await exchange(tunnel, origin, 2)


async def test_it_ends_with_the_session() -> None:
    async with a_shared_app() as (tunnel, origin):
        _, app = await exchange(tunnel, origin, 1, fields=NTLM)
        tunnel.client.close("as the test wants")
        assert await is_closed(app)


async def test_one_that_the_app_has_closed_is_passed_over() -> None:
    async with a_shared_app() as (tunnel, origin):
        _, app = await exchange(tunnel, origin, 1, fields=NTLM)
        await app.close()
        head, new = await exchange(tunnel, origin, 1)
        assert not head.bound
        await exchange(tunnel, new, 2)  # nothing has been authenticated on that one


async def test_a_post_goes_on_it_however_long_it_was_idle(mock_clock: MockClock) -> None:
    async with a_shared_app() as (tunnel, origin):
        _, app = await exchange(tunnel, origin, 1, fields=NTLM)
        mock_clock.jump(60)
        stream = tunnel.open(b"POST", body=2, connection=1)
        await stream.send_all(b"ok")
        stream.send_eof()
        with trio.fail_after(5):
            await app.request(2)
        await app.send(OK)
        assert await tunnel.answer(stream) == (200, b"ok")


async def test_what_nobody_has_used_for_long_is_closed(mock_clock: MockClock) -> None:
    async with a_shared_app() as (tunnel, origin):
        _, app = await exchange(tunnel, origin, 1, fields=NTLM)
        mock_clock.jump(BOUND_IDLE_S)
        await trio.testing.wait_all_tasks_blocked()
        await exchange(tunnel, app, 1)
        mock_clock.jump(BOUND_IDLE_S + SWEEP_EVERY_S)
        assert await is_closed(app)


async def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "BOUND_MAX", 2)
    async with a_shared_app() as (tunnel, origin):
        apps = [(await exchange(tunnel, origin, n, fields=NTLM))[1] for n in (1, 2)]
        await exchange(tunnel, apps[0], 1)
        await exchange(tunnel, origin, 3, fields=NTLM)
        assert await is_closed(apps[1])  # nobody has used it since
        await exchange(tunnel, apps[0], 1)


async def test_of_too_many_the_visitor_with_most_gives_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(binding, "BOUND_MAX", 3)
    async with a_shared_app() as (tunnel, origin):
        _, ann = await exchange(tunnel, origin, 1, fields=NTLM, visitor="192.0.2.1")
        own = [
            (await exchange(tunnel, origin, n, fields=NTLM, visitor="192.0.2.2"))[1]
            for n in (2, 3, 4, 5)
        ]
        assert await is_closed(own[0])
        assert await is_closed(own[1])
        await exchange(tunnel, ann, 1)


@pytest.mark.parametrize(
    ("answer", "closes"),
    [
        (OK, False),
        (b"HTTP/1.1 200 x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.0 200 x\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.0 200 x\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", False),
    ],
)
async def test_the_head_says_whether_the_apps_connection_ends_with_it(
    answer: bytes, closes: bool
) -> None:
    async with a_shared_app() as (tunnel, origin):
        head, _ = await exchange(tunnel, origin, 1, answer=answer)
        assert head.closes is closes
