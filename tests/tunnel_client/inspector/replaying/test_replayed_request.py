from __future__ import annotations

import pytest

from protocol.http.fields import BodyForm, Fields
from protocol.mux.messages import Open
from tests.inspector_fakes import EPOCH, MIB, opened_tap
from tests.memory_streams import an_open
from tunnel_client.inspector.capture.exchange import KeptExchange
from tunnel_client.inspector.capture.store import CaptureStore
from tunnel_client.inspector.capture.tap import CaptureTap
from tunnel_client.inspector.replaying.replayed_request import (
    NO_CHANGES,
    ReplayChanges,
    ReplayedRequest,
    ReplayRefused,
    replayed_request,
)
from tunnel_client.inspector.shown.masking import Masks

KEY = b"k" * 32
SECRET = "abcdefghij"


def visited(
    body: BodyForm = None,
    *fields: tuple[bytes, bytes],
    method: bytes = b"POST",
    target: bytes = b"/a%2fb?c",
) -> Open:
    return an_open("http", method, body, *fields)._replace(target=target)


async def kept(
    opened: Open, *pieces: bytes, asked: Fields = (), error: str | None = None, bodies: bool = True
) -> KeptExchange:
    store = CaptureStore(memory_bytes=4 * MIB, bodies=bodies, now=lambda: EPOCH)
    tap: CaptureTap = opened_tap(store, opened)
    lines = [b"%b: %b" % field for field in asked or opened.fields]
    line = b"%b %b HTTP/1.1" % (opened.method, opened.target)
    tap.asked(b"\r\n".join([line, *lines, b"", b""]))
    for piece in pieces:
        tap.body_in(piece)
    if opened.body == "chunked" and error is None:
        tap.request_trailers(((b"X-Sum", b"1"),))
        tap.request_sent()
    tap.ended(error)
    await store.sort()
    exchange = store.get(1)
    assert exchange is not None
    return exchange


def again(exchange: KeptExchange, **changes: object) -> ReplayedRequest:
    return replayed_request(exchange, NO_CHANGES._replace(**changes), KEY)  # type: ignore[arg-type]  # the fields'


async def test_as_it_was_it_is_the_visitors_to_the_byte() -> None:
    twice = (b"X-A", b"1"), (b"x-a", b"2"), (b"X-Latin", b"caf\xe9")
    opened = visited(6, *twice)
    sent = again(await kept(opened, b"abc", b"def"))
    assert (sent.opened, sent.body) == (opened, b"abcdef")
    assert not sent.as_written


async def test_chunks_stay_chunks_and_trailers_come_along() -> None:
    sent = again(await kept(visited("chunked"), b"abc"))
    assert (sent.opened.body, sent.body, sent.trailers) == ("chunked", b"abc", ((b"X-Sum", b"1"),))


@pytest.mark.parametrize(
    ("opened", "pieces", "error", "why"),
    [
        (visited(6), (b"abcde",), "the visitor went away", "did not send all"),
        (visited("chunked"), (b"abc",), "the visitor went away", "did not send all"),
        (visited(2 * MIB), (b"x" * MIB, b"x" * MIB), None, "over 1 MiB"),
    ],
)
async def test_what_is_not_whole_is_not_sent_but_with_a_body_of_ones_own(
    opened: Open, pieces: tuple[bytes, ...], error: str | None, why: str
) -> None:
    exchange = await kept(opened, *pieces, error=error)
    with pytest.raises(ReplayRefused, match=why):
        again(exchange)
    assert again(exchange, body=b"mine").body == b"mine"


@pytest.mark.parametrize("is_over", [False, True])
async def test_chunks_whose_end_has_not_passed_are_not_sent(is_over: bool) -> None:
    """It is under way, or its app answered and took no more: that is no error."""
    store = CaptureStore(memory_bytes=4 * MIB, now=lambda: EPOCH)
    tap = opened_tap(store, visited("chunked"))
    tap.asked(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n")
    tap.body_in(b"abc")
    tap.head(b"HTTP/1.1 413 No\r\n\r\n")
    if is_over:
        tap.ended(None)
    await store.sort()
    exchange = store.get(1)
    assert exchange is not None
    with pytest.raises(ReplayRefused, match="did not send all"):
        again(exchange)


async def test_what_was_not_captured_is_not_sent() -> None:
    with pytest.raises(ReplayRefused, match="not captured"):
        again(await kept(visited(3), b"abc", bodies=False))


@pytest.mark.parametrize("kind", ["websocket", "upgrade"])
async def test_an_upgrade_is_not_sent(kind: str) -> None:
    with pytest.raises(ReplayRefused, match="WebSocket"):
        again(await kept(visited(None)._replace(kind=kind)))


@pytest.mark.parametrize(
    ("before", "pieces", "after"),
    [(6, [b"abcdef"], 2), ("chunked", [b"abc"], "chunked"), (None, [], 2), (0, [], 2)],
)
async def test_another_body_has_its_own_length_and_no_coding(
    before: BodyForm, pieces: list[bytes], after: BodyForm
) -> None:
    opened = visited(before, (b"Content-Encoding", b"gzip"))
    sent = again(await kept(opened, *pieces), body=b"hi")
    fields = {name.lower(): value for name, value in sent.opened.fields}
    assert (sent.opened.body, sent.body) == (after, b"hi")
    assert b"content-encoding" not in fields
    assert fields.get(b"content-length") == (b"2" if after == 2 else None)


async def test_edited_fields_go_as_they_are_written_and_masks_keep_what_they_hide() -> None:
    asked = (
        *((b"Host", b"localhost:3000"), (b"Authorization", b"Bearer " + SECRET.encode())),
        *((b"X-Latin", b"caf\xe9"), (b"Content-Length", b"3")),
    )
    exchange = await kept(visited(3), b"abc", asked=asked)
    shown = Masks(KEY).field("Authorization", f"Bearer {SECRET}")
    assert SECRET not in shown
    written = [("Host", "localhost:3000"), ("Authorization", shown), ("X-Latin", "caf\xe9")]
    sent = again(exchange, fields=[*written, ("X-Copy", shown), ("Transfer-Encoding", "chunked")])
    assert sent.as_written
    assert sent.opened.fields == (
        *asked[:3],
        *((b"X-Copy", b"Bearer " + SECRET.encode()), (b"Content-Length", b"3")),
    )


async def test_a_mask_of_something_else_is_not_sent() -> None:
    exchange = await kept(visited(None))
    with pytest.raises(ReplayRefused, match="write it"):
        again(exchange, fields=[("Host", "a"), ("X-Token", "••••0000")])


async def test_a_secret_of_the_query_stays_in_another_path() -> None:
    exchange = await kept(visited(None, target=b"/a?token=a%20secret%20one&b=1"))
    shown = Masks(KEY).query("/a?token=a%20secret%20one&b=1")
    assert "secret" not in shown
    assert again(exchange, target=shown.replace("b=1", "b=2")).opened.target == (
        b"/a?token=a%20secret%20one&b=2"
    )


@pytest.mark.parametrize(
    "changes",
    [
        ReplayChanges(method="GE T"),
        ReplayChanges(method="G\u00c9T"),
        ReplayChanges(target="/a b"),
        ReplayChanges(target="/\u00e9"),
        ReplayChanges(target="http://else.example/"),
        ReplayChanges(fields=[("Host", "a"), ("X\r\nY", "1")]),
        ReplayChanges(fields=[("Host", "a"), ("X", "1\r\nEvil: 1")]),
        ReplayChanges(fields=[("X", "1")]),
    ],
)
async def test_what_is_no_request_is_refused(changes: ReplayChanges) -> None:
    exchange = await kept(visited(None))
    with pytest.raises(ReplayRefused):
        replayed_request(exchange, changes, KEY)
