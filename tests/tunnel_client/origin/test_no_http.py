from __future__ import annotations

import pytest
import trio
import trio.testing

from protocol.errors import NoHttpError
from protocol.limits import TEXT_MAX_CHARS
from tests.origin_fakes import App, MemoryTunnel, a_shared_app, failure
from tunnel_client.origin.no_http import REST_S, SHOWN_BYTES, SHOWN_CHARS, why_no_http
from tunnel_client.settings.target import Target

SAID = "what came is no answer in HTTP/1.0 or HTTP/1.1"
ERROR = NoHttpError("bad-request", SAID)
HTTP = Target.parse("3000")
NULS = "\\x00" * (SHOWN_CHARS // 4)


async def an_asked_app(tunnel: MemoryTunnel, accepted: App, pieces: list[bytes]) -> None:
    await accepted.request()
    for piece in pieces:
        await accepted.send(piece)
        await trio.testing.wait_all_tasks_blocked(0.01)


@pytest.mark.parametrize("upgrade", [False, True])
@pytest.mark.parametrize(
    "pieces", [[b"Unauthorized"], [b"Unau", b"thorized"], [bytes([byte]) for byte in b"Hi there"]]
)
async def test_bare_bytes_are_shown_whole_however_they_come(
    pieces: list[bytes], upgrade: bool
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open_websocket() if upgrade else tunnel.open()
        app = await origin.accept()
        await an_asked_app(tunnel, app, pieces)
        await app.close()
        code, message = await failure(stream)
        assert code == "origin-protocol-error"
        shown = b"".join(pieces).decode()
        assert message == f'the answer of {origin.target}: {SAID}: "{shown}"'
        await tunnel.all_over()


async def test_a_reset_behind_the_bytes_is_an_end_like_another() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await an_asked_app(tunnel, app, [b"Unauthorized"])
        app.reset()
        assert (await failure(stream))[1].endswith('"Unauthorized"')


async def test_an_app_that_says_no_more_and_does_not_close_has_half_a_second(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await an_asked_app(tunnel, app, [b"SSH-2.0-OpenSSH_9.2\r\n"])
        assert tunnel.dispatcher.busy_count == 1
        mock_clock.jump(REST_S)
        assert (await failure(stream))[1].endswith('"SSH-2.0-OpenSSH_9.2\\r\\n"')
        assert await app.is_reset()


async def test_an_app_that_goes_on_and_on_is_read_for_200_bytes() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await an_asked_app(tunnel, app, [b"x" * SHOWN_BYTES])
        _, message = await failure(stream)  # neither an end nor a deadline
        assert message.endswith(f'"{"x" * SHOWN_BYTES}"')
        assert await app.is_reset()


async def test_a_visitor_who_leaves_ends_the_reading() -> None:
    async with a_shared_app() as (tunnel, origin):
        stream = tunnel.open()
        app = await origin.accept()
        await an_asked_app(tunnel, app, [b"x"])
        stream.cancel("cancelled")
        await tunnel.all_over()
        assert await app.is_reset()


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"Unauthorized", '"Unauthorized"'),
        (b"\x1b[2J\x00\r\n\xff", '"\\x1b[2J\\x00\\r\\n\\xff"'),
        ("grüße \u202e".encode(), '"grüße \\u202e"'),
        (b"x" * SHOWN_BYTES, f'"{"x" * SHOWN_BYTES}"'),
        (b"x" * (SHOWN_BYTES + 1), f'"{"x" * SHOWN_BYTES}"...'),
        (b"\x00" * (SHOWN_CHARS // 4), f'"{NULS}"'),
        (b"\x00" * (SHOWN_CHARS // 4 + 1), f'"{NULS}"...'),
    ],
)
def test_what_came_is_shown_in_visible_characters_and_cut(data: bytes, shown: str) -> None:
    assert why_no_http(ERROR, HTTP, data) == f"{SAID}: {shown}"


def test_the_longest_fits_into_the_text_of_a_reset() -> None:
    assert len(why_no_http(ERROR, HTTP, b"\x00" * 1000)) + 100 < TEXT_MAX_CHARS


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("3000", ": tunnel-client http https://localhost:3000"),
        ("http://[::1]:8443", ": tunnel-client http https://[::1]:8443"),
        ("unix:/app.sock", ""),
    ],
)
def test_an_alert_of_tls_says_how_to_share_such_an_app(target: str, hint: str) -> None:
    said = why_no_http(ERROR, Target.parse(target), b"\x15\x03\x01\x00\x02\x02\x46")
    assert said == f"it speaks TLS{hint}"


async def test_an_app_that_closes_before_its_first_answer_may_speak_tls() -> None:
    async with a_shared_app() as (tunnel, origin):
        hint = f". If it speaks TLS: tunnel-client http https://{origin.target.authority}"
        closed = f"{origin.target} closed the connection without an answer"
        for answered, said in ((False, closed + hint), (True, closed)):
            if answered:
                tunnel.open()
                app = await origin.accept()
                await an_asked_app(tunnel, app, [b"HTTP/1.1 204 x\r\nConnection: close\r\n\r\n"])
                await app.close()
                await tunnel.all_over()
            stream = tunnel.open()
            app = await origin.accept()
            await app.request()
            await app.close()
            assert await failure(stream) == ("origin-protocol-error", said)
            await tunnel.all_over()
