"""The record of one request: its name, status, bytes each way, milliseconds, and who ended it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.drivers.stream import TunnelStream
from tests.edge_fakes import World, answer, echo, get, head, hello, logged
from tests.upgrade_peers import frame, masked, switched
from tunnel_server.visitors.tap import Tap

POST = b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 3\r\n\r\n"
LOGGER = "tunnel_server.visitors.tap"


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, LOGGER):
        yield caplog


def told(records: pytest.LogCaptureFixture) -> list[str]:
    return logged([record for record in records.records if record.name == LOGGER])


async def test_one_record_a_request(
    world: World, records: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async def app(stream: TunnelStream) -> None:
        body = await stream.receive_some()
        await trio.sleep(0.25)
        await answer(stream, head(200, b"OK", body="chunked"), body, b"de")

    await world.client(app)
    visitor = world.visit()
    await visitor.send(POST + b"abc" + POST + b"xyz")
    await trio.sleep(1)
    await wait_all_tasks_blocked()
    line = "app: POST 200, 3 bytes in, 5 bytes out, 250 ms, ended by the app"
    assert told(records) == [line, line]


async def test_the_record_of_a_tunnels_request_names_its_session(
    world: World, records: pytest.LogCaptureFixture
) -> None:
    await world.client(hello)
    visitor = world.visit()
    await visitor.send(get() + get(host=b"localhost"))
    await visitor.head()
    await wait_all_tasks_blocked()
    told_of = [record for record in records.records if record.name == LOGGER]
    [tunnels, services] = [vars(record).get("ids", "") for record in told_of]
    assert tunnels == "session 4f1c9a03: "
    assert services == ""


async def test_answers_of_ours_are_ended_by_the_tunnel(
    world: World,
    records: pytest.LogCaptureFixture,
    mock_clock: MockClock,  # time stands still
) -> None:
    visitor = world.visit()
    await visitor.send(get(host=b"localhost") + get(host=b"gone.localhost"))
    await visitor.send(b"bad\r\n\r\n")
    raw = await visitor.rest()
    sizes = [int(part.split(b"\r\n")[0]) for part in raw.split(b"Content-Length: ")[1:]]
    assert told(records) == [
        f"-: GET 200, 0 bytes in, {sizes[0]} bytes out, 0 ms, ended by the tunnel",
        f"gone: GET 404, 0 bytes in, {sizes[1]} bytes out, 0 ms, ended by the tunnel",
        f"-: - 400, 0 bytes in, {sizes[2]} bytes out, 0 ms, ended by the tunnel",
    ]


async def test_an_app_that_cannot_be_reached_ended_it_itself(
    world: World, records: pytest.LogCaptureFixture
) -> None:
    async def app(stream: TunnelStream) -> None:
        stream.reset("origin-refused", "")

    await world.client(app)
    visitor = world.visit()
    await visitor.send(get())
    await visitor.head()
    assert [line.rpartition(", ")[2] for line in told(records)] == ["ended by the app"]


async def test_a_visitor_that_leaves_ended_it(
    world: World, records: pytest.LogCaptureFixture
) -> None:
    await world.client(echo)
    visitor = await world.visit_by_tcp()
    await visitor.send(POST + b"ab")
    await wait_all_tasks_blocked()
    await visitor.reset()
    await visitor.done.wait()
    [line] = told(records)
    assert line.startswith("app: POST 0, 2 bytes in, 0 bytes out, ")
    assert line.endswith("ended by the visitor")


async def test_the_time_that_a_request_waits_for_its_client_counts(
    world: World, records: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    world.directory.expect({"app": "alice"})
    visitor = world.visit()
    await visitor.send(get())
    await trio.sleep(3)
    await world.client(hello)
    await wait_all_tasks_blocked()
    (line,) = told(records)
    assert line.startswith("app: GET 200, ")
    assert ", 3000 ms, " in line


async def test_a_visitor_that_leaves_while_its_request_waits_ended_it(
    world: World, records: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    world.directory.expect({"app": "alice"})
    visitor = await world.visit_by_tcp()
    await visitor.send(get())
    await wait_all_tasks_blocked()
    await trio.sleep(2)
    await visitor.reset()
    await visitor.done.wait()
    assert told(records) == ["app: GET 0, 0 bytes in, 0 bytes out, 2000 ms, ended by the visitor"]


async def test_a_request_that_breaks_off_is_the_visitors_end(
    world: World, records: pytest.LogCaptureFixture
) -> None:
    await world.client(echo)
    visitor = world.visit()
    await visitor.send(POST + b"ab")
    await visitor.end()
    await visitor.rest()
    [line] = told(records)
    assert line.startswith("app: POST 400, 2 bytes in, ")
    assert line.endswith("ended by the visitor")


@pytest.mark.parametrize("end", ["app", "visitor", "tunnel"])
async def test_a_websocket_counts_its_frames(
    world: World, records: pytest.LogCaptureFixture, end: str
) -> None:
    visitor, peer, client = await switched(world, await world.visit_by_tcp())
    await visitor.send(masked(b"abc"))
    await peer.send(frame(b"hello"))
    await visitor.expect(frame(b"hello"))
    if end == "app":
        peer.end()
    elif end == "visitor":
        await visitor.end()
        await wait_all_tasks_blocked()
        peer.end()
    else:
        client.session.close("gone")
    await wait_all_tasks_blocked()
    await visitor.stream.aclose()
    await visitor.done.wait()
    [line] = told(records)
    assert line.startswith("app: GET 101, 9 bytes in, 7 bytes out, ")
    assert line.endswith(f"ended by the {end}")


async def test_without_debug_there_is_no_tap(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, LOGGER):
        await world.client(hello)
        visitor = world.visit()
        await visitor.send(get())
        await visitor.head()
        [connection] = world.edge.connections
    assert connection.exchange.tap is None  # type: ignore[attr-defined]  # a Swept has none
    assert told(caplog) == []


def test_the_first_end_is_the_right_one() -> None:
    tap = Tap(0.0)
    tap.ended("visitor")
    tap.ended("tunnel")
    assert tap.ended_by == "visitor"
    assert repr(tap) == "<Tap  0 0 in 0 out>"
