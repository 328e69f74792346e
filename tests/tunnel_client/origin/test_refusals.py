from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from protocol.http.fields import Fields
from tests.origin_fakes import MemoryTunnel, RawOrigin, a_shared_app
from tunnel_client.identity.rewriting import Identity
from tunnel_client.origin.refusals import ANSWERS
from tunnel_client.settings.header_edits import HeaderEdits
from tunnel_client.settings.target import Target
from tunnel_client.settings.values import Mode

FOR: Fields = ((b"X-Forwarded-For", b"192.0.2.1"),)
SIGNED: Fields = ((b"Authorization", b"AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host"),)
ANSWER = b"HTTP/1.1 %d A\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def told(caplog: pytest.LogCaptureFixture, word: str) -> list[str]:
    """The lines of a terminal with this in them."""
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    return [line for record in warnings if word in (line := record.getMessage())]


async def exchange(
    tunnel: MemoryTunnel, origin: RawOrigin, status: int, fields: Fields = FOR
) -> None:
    """A request with these fields that is answered so."""
    stream = tunnel.open(fields=fields)
    app = await origin.accept()
    await app.request()
    await app.send(ANSWER % status)
    assert await tunnel.answer(stream) == (status, b"")
    await tunnel.all_over()


def ask_as(tunnel: MemoryTunnel, origin: RawOrigin, make: Callable[[Target], Identity]) -> None:
    """From now on the app is asked with this identity."""
    identity = make(origin.target)
    dispatcher = tunnel.dispatcher
    dispatcher._config = dispatcher._config._replace(identity=identity)


# --- X-Forwarded-For -----------------------------------------------------------------------------


async def test_an_app_that_refuses_all_that_is_forwarded_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        for _ in range(ANSWERS - 1):
            await exchange(tunnel, origin, 400)
        assert told(caplog, "X-Forwarded-For") == []
        await exchange(tunnel, origin, 400)
        [line] = told(caplog, "X-Forwarded-For")
        assert "--request-header-remove X-Forwarded-For" in line
        for _ in range(ANSWERS):
            await exchange(tunnel, origin, 400)
        assert len(told(caplog, "X-Forwarded-For")) == 1


@pytest.mark.parametrize("other", [200, 302, 404, 403, 502])
@pytest.mark.parametrize("at", [0, 2])
async def test_an_app_that_has_answered_otherwise_is_not_told_of(
    caplog: pytest.LogCaptureFixture, other: int, at: int
) -> None:
    async with a_shared_app() as (tunnel, origin):
        for turn in range(2 * ANSWERS):
            await exchange(tunnel, origin, other if turn == at else 400)
    assert told(caplog, "X-Forwarded-For") == []


async def test_after_a_restart_it_is_another_app(caplog: pytest.LogCaptureFixture) -> None:
    async with a_shared_app() as (tunnel, origin):
        await exchange(tunnel, origin, 200)
        tunnel.dispatcher.dialer.lives += 1
        await exchange(tunnel, origin, 400)
        await exchange(tunnel, origin, 400)
        tunnel.dispatcher.dialer.lives += 1
        for _ in range(ANSWERS - 1):
            await exchange(tunnel, origin, 400)
        assert told(caplog, "X-Forwarded-For") == []
        await exchange(tunnel, origin, 400)
        assert len(told(caplog, "X-Forwarded-For")) == 1


async def test_one_that_has_answered_well_since_it_came_up_is_not_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        await exchange(tunnel, origin, 200)
        tunnel.dispatcher.dialer.lives += 1
        await exchange(tunnel, origin, 200)
        for _ in range(ANSWERS):
            await exchange(tunnel, origin, 400)
    assert told(caplog, "X-Forwarded-For") == []


async def test_where_the_field_does_not_reach_the_app_it_is_not_at_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    removed = HeaderEdits(removed=frozenset({b"x-forwarded-for"}))
    async with a_shared_app() as (tunnel, origin):
        ask_as(tunnel, origin, lambda target: Identity(target, request_edits=removed))
        for _ in range(ANSWERS):
            await exchange(tunnel, origin, 400)
    assert told(caplog, "X-Forwarded-For") == []


# --- signatures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_signature_is_told_of_once(
    caplog: pytest.LogCaptureFixture, status: int
) -> None:
    async with a_shared_app() as (tunnel, origin):
        await exchange(tunnel, origin, 200, SIGNED)
        assert told(caplog, "signed") == []
        await exchange(tunnel, origin, status, SIGNED)
        [line] = told(caplog, "signed")
        assert f"(Authorization: AWS4-HMAC-SHA256) was answered {status}" in line
        assert "http://app.localhost" in line
        assert str(origin.target) in line
        assert "--identity public" in line
        assert "--host-header app.localhost" in line
        await exchange(tunnel, origin, status, SIGNED)
        assert len(told(caplog, "signed")) == 1


@pytest.mark.parametrize(
    ("status", "fields", "mode"),
    [
        (403, FOR, "local"),
        (403, ((b"Authorization", b"Basic YTpi"),), "local"),
        (404, SIGNED, "local"),
        (400, SIGNED, "local"),
        (403, SIGNED, "public"),
    ],
)
async def test_others_are_not_told_of(
    caplog: pytest.LogCaptureFixture, status: int, fields: Fields, mode: Mode
) -> None:
    async with a_shared_app() as (tunnel, origin):
        ask_as(tunnel, origin, lambda target: Identity(target, mode))
        await exchange(tunnel, origin, status, fields)
    assert told(caplog, "signed") == []


# --- what it costs -------------------------------------------------------------------------------


async def test_nothing_is_looked_at_once_the_app_has_answered_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        await exchange(tunnel, origin, 200)
        monkeypatch.setattr(tunnel.dispatcher._refusals, "answered", None)
        for status in (200, 304, 404, 500):
            await exchange(tunnel, origin, status)


async def test_a_request_without_an_answer_says_nothing_of_the_app(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        for turn in range(ANSWERS):
            await exchange(tunnel, origin, 400)
            if turn == 0:
                stream = tunnel.open(kind="other", fields=FOR)
                await tunnel.all_over()
                assert stream is not None
    assert len(told(caplog, "X-Forwarded-For")) == 1
