"""Both sides of a handover, joined by the unix socket that they really meet at."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.clocks import elapsed_s
from tests.edge_fakes import logged
from tunnel_server.listening import local, offer as offering, takeover as taking
from tunnel_server.listening.handover import ACCEPTING_S, STEP_S, HandoverError, meeting_place
from tunnel_server.listening.local import SocketPlace
from tunnel_server.listening.offer import Offer
from tunnel_server.listening.sockets import PASSED_MAX
from tunnel_server.listening.takeover import Takeover, take_over

BIND = "127.0.0.1:8080"


@pytest.fixture
def place(tmp_path: Path) -> SocketPlace:
    return meeting_place(tmp_path / "state", BIND)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


class Told:
    """The rest of a program, which is told of a handover."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def begins(self) -> None:
        self.heard.append("begins")

    async def is_certain(self) -> None:
        self.heard.append("is certain")

    async def is_off(self) -> None:
        self.heard.append("is off")


@asynccontextmanager
async def running(place: SocketPlace, *sockets: socket.socket) -> AsyncIterator[Offer]:
    """A server that offers its sockets for as long as the block lasts."""
    offer = Offer(place, sockets, Told())
    offer.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(offer.run)
        yield offer
        nursery.cancel_scope.cancel()


async def taken(place: SocketPlace) -> Takeover:
    takeover = await take_over(place)
    assert takeover is not None
    return takeover


def close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


async def connected(place: SocketPlace) -> trio.SocketStream:
    """A peer that the test speaks for."""
    return await trio.open_unix_socket(place.folder / place.name)


# --- the handover --------------------------------------------------------------------------------


async def test_the_new_server_has_the_sockets_and_what_waits_in_them(
    place: SocketPlace, listener: socket.socket
) -> None:
    address = listener.getsockname()
    async with running(place, listener) as offer:
        with socket.create_connection(address) as before:
            takeover = await taken(place)
            assert not offer.taken.is_set()
            await takeover.accepting()
            await offer.taken.wait()
            listener.close()  # the old one's end of it
            (mine,) = takeover.sockets
            with mine, socket.create_connection(address) as after:
                assert not mine.get_inheritable()
                accepted = [mine.accept() for _ in range(2)]
                assert [peer for _, peer in accepted] == [
                    each.getsockname() for each in (before, after)
                ]
                close([connection for connection, _ in accepted])


async def test_all_sockets_are_handed_over(place: SocketPlace) -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(PASSED_MAX)]
    async with running(place, *sockets):
        takeover = await taken(place)
        ours = [each.getsockname() for each in takeover.sockets]
        assert ours == [each.getsockname() for each in sockets]
        close(takeover.sockets)
        await takeover.accepting()
    close(sockets)


async def test_what_the_new_one_is_to_find_is_there_before_it_has_the_sockets(
    place: SocketPlace, listener: socket.socket
) -> None:
    told = Told()
    offer = Offer(place, [listener], told)
    offer.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(offer.run)
        takeover = await taken(place)
        assert told.heard == ["begins"]
        takeover.refuse()
        await wait_all_tasks_blocked()
        assert told.heard == ["begins", "is off"]
        takeover = await taken(place)
        await takeover.accepting()
        assert told.heard[2:] == ["begins", "is certain"]
        close(takeover.sockets)
        nursery.cancel_scope.cancel()


async def test_one_server_after_the_other(place: SocketPlace, listener: socket.socket) -> None:
    sockets = [listener]
    for _ in range(3):
        async with running(place, *sockets) as offer:
            takeover = await taken(place)
            await takeover.accepting()
            await offer.taken.wait()
            close(sockets)
            sockets = takeover.sockets
            # As the new one does: it takes the place of the old one, which still runs.
            async with running(place, *sockets):
                assert os.listdir(place.folder) == [place.name]
        assert os.listdir(place.folder) == []
    close(sockets)


async def test_the_old_one_does_not_remove_what_the_new_one_has_put_in_its_place(
    place: SocketPlace, listener: socket.socket
) -> None:
    new = Offer(place, [listener], Told())
    async with running(place, listener):
        new.open()
    assert os.listdir(place.folder) == [place.name]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(new.run)
        (await taken(place)).refuse()
        nursery.cancel_scope.cancel()


# --- when it fails the running server goes on ----------------------------------------------------


async def test_a_new_server_that_dies_before_it_accepts_changes_nothing(
    place: SocketPlace, listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(place, listener) as offer:
        for _ in range(3):
            (await taken(place)).refuse()
            await wait_all_tasks_blocked()
            assert not offer.taken.is_set()
        assert (
            logged(caplog.records)
            == ["no other process has taken over: the other process has ended"] * 3
        )
        takeover = await taken(place)
        await takeover.accepting()
        await offer.taken.wait()
        close(takeover.sockets)


async def test_a_new_server_that_does_not_come_to_accepting_is_given_up(
    place: SocketPlace, listener: socket.socket, autojump_clock: MockClock
) -> None:
    async with running(place, listener) as offer:
        takeover = await taken(place)
        await trio.sleep(ACCEPTING_S + 1)
        assert not offer.taken.is_set()
        with pytest.raises(HandoverError, match="waited too long"):
            await takeover.accepting()
        assert not offer.taken.is_set()
        close(takeover.sockets)
        (await taken(place)).refuse()  # the next one may try


async def test_who_says_nothing_is_given_up(
    place: SocketPlace, listener: socket.socket, autojump_clock: MockClock
) -> None:
    async with running(place, listener):
        silent = await connected(place)
        await wait_all_tasks_blocked()
        with pytest.raises(HandoverError, match="another --replace is under way"):
            await take_over(place)
        await trio.sleep(STEP_S + 1)
        assert await silent.receive_some() == b""
        (await taken(place)).refuse()
        await silent.aclose()


@pytest.mark.parametrize("said", [b"take it\n", b"accepting\n", b"x" * 100, b"\xff\n", b""])
async def test_who_says_something_else_gets_nothing(
    place: SocketPlace, listener: socket.socket, said: bytes
) -> None:
    async with running(place, listener) as offer:
        stream = await connected(place)
        await stream.send_all(said)
        await stream.send_eof()
        with suppress(trio.BrokenResourceError):  # where it has not read all
            assert await stream.receive_some() == b""
        assert not offer.taken.is_set()
        await stream.aclose()


async def test_there_is_one_handover_at_a_time(place: SocketPlace, listener: socket.socket) -> None:
    async with running(place, listener) as offer:
        first = await taken(place)
        for _ in range(2):
            with pytest.raises(HandoverError, match="another --replace is under way"):
                await take_over(place)
        await first.accepting()
        await offer.taken.wait()
        with pytest.raises(HandoverError, match="another --replace is under way"):
            await take_over(place)
        close(first.sockets)


async def test_a_refusal_is_heard_although_the_running_server_closed_before_it_was_asked(
    place: SocketPlace,
) -> None:
    place.folder.mkdir(mode=0o700)
    with trio.socket.socket(socket.AF_UNIX) as unix:
        await unix.bind(str(place.folder / place.name))
        unix.listen()
        stream = await local.connect(place)
        assert stream is not None
        connection, _ = await unix.accept()
        with connection:
            await connection.send(b"busy\n")
        async with stream:
            with pytest.raises(HandoverError, match="another --replace is under way"):
                await taking._ask(stream)


async def test_another_users_process_gets_nothing(
    place: SocketPlace,
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(place, listener) as offer:
        monkeypatch.setattr(offering, "uid_of", lambda _: os.geteuid() + 1)
        with pytest.raises(HandoverError):
            await take_over(place)
        assert "another user" in caplog.text
        monkeypatch.undo()
        monkeypatch.setattr(taking, "uid_of", lambda _: os.geteuid() + 1)
        with pytest.raises(HandoverError, match="another user's"):
            await take_over(place)
        assert not offer.taken.is_set()


async def test_the_kernel_says_whose_a_process_is(
    place: SocketPlace, listener: socket.socket
) -> None:
    async with running(place, listener):
        async with await connected(place) as stream:
            assert local.uid_of(stream) == os.geteuid()


# --- where there is no server, or no place -------------------------------------------------------


async def test_no_server_is_none(place: SocketPlace, listener: socket.socket) -> None:
    assert await take_over(place) is None  # no folder
    async with running(place, listener):
        assert await take_over(place._replace(name="replace-127.0.0.1:8081.sock")) is None
    assert await take_over(place) is None  # it has removed its socket


async def test_a_socket_that_a_crashed_server_left_is_no_server_and_is_replaced(
    place: SocketPlace, listener: socket.socket
) -> None:
    crashed = Offer(place, [listener], Told())
    crashed.open()
    assert crashed._listener._listener is not None
    crashed._listener._listener.close()
    assert await take_over(place) is None
    async with running(place, listener):
        (await taken(place)).refuse()


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
async def test_a_folder_in_which_others_may_write_is_no_place(
    place: SocketPlace, listener: socket.socket, mode: int
) -> None:
    place.folder.mkdir(mode=0o700)
    place.folder.chmod(mode)
    with pytest.raises(HandoverError, match="others: chmod go-w"):
        Offer(place, [listener], Told()).open()
    with pytest.raises(HandoverError, match="others: chmod go-w"):
        await take_over(place)
    assert os.listdir(place.folder) == []


async def test_a_folder_of_another_user_is_no_place(
    place: SocketPlace, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.folder.mkdir(mode=0o700)
    if os.geteuid():
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    else:
        os.chown(place.folder, 1, -1)  # root's own is taken as it is
    with pytest.raises(HandoverError, match="is another user's"):
        Offer(place, [listener], Told()).open()


async def test_a_state_folder_that_is_a_file_is_no_place(
    place: SocketPlace, listener: socket.socket
) -> None:
    place.folder.touch()
    with pytest.raises(HandoverError, match="File exists"):
        Offer(place, [listener], Told()).open()
    with pytest.raises(HandoverError, match="cannot be reached"):
        await take_over(place)


async def test_something_else_in_the_sockets_place_stays_there(
    place: SocketPlace, listener: socket.socket
) -> None:
    place.folder.mkdir(mode=0o700)
    (place.folder / place.name).mkdir()
    with pytest.raises(HandoverError, match="Is a directory"):
        Offer(place, [listener], Told()).open()
    assert os.listdir(place.folder) == [place.name]


async def test_a_deep_folder_is_a_place(tmp_path: Path, listener: socket.socket) -> None:
    """The address of a unix socket has room for 107 bytes."""
    place = meeting_place(tmp_path / ("x" * 100) / ("y" * 100), BIND)
    place.folder.parent.mkdir()
    async with running(place, listener):
        (await taken(place)).refuse()


# --- a running server that is none of ours -------------------------------------------------------


@asynccontextmanager
async def strange(place: SocketPlace, said: bytes, *descriptors: int) -> AsyncIterator[None]:
    """A server that answers `take` with this, and closes when it has heard one more word."""
    place.folder.mkdir(mode=0o700)
    unix = trio.socket.socket(socket.AF_UNIX)
    with unix:
        await unix.bind(str(place.folder / place.name))
        unix.listen()
        async with trio.open_nursery() as nursery:

            async def answer() -> None:
                connection, _ = await unix.accept()
                with connection:
                    await connection.recv(100)
                    raw = array.array("i", descriptors).tobytes()
                    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, raw)] if descriptors else []
                    if said:
                        await connection.sendmsg([said], rights)
                        await connection.recv(100)

            nursery.start_soon(answer)
            yield
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("said", "count", "error"),
    [
        (b"sockets 1\n", 0, "said 'sockets 1'"),
        (b"sockets 0\n", 0, "said 'sockets 0'"),
        (b"sockets 2\n", 1, "said 'sockets 2'"),
        (b"hello\n", 1, "said 'hello'"),
        (b"\xff\xfe\n", 1, "running server said"),
        (b"sockets 17\n", 17, "running server said"),
        (b"sockets 16\n", 17, "running server said"),
        (b"", 0, "has closed the connection"),
    ],
)
async def test_an_answer_without_its_sockets_is_refused(
    place: SocketPlace, listener: socket.socket, said: bytes, count: int, error: str
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with strange(place, said, *[listener.fileno()] * count):
        with pytest.raises(HandoverError, match=error):
            await take_over(place)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_descriptors_that_are_no_listening_sockets_are_refused(place: SocketPlace) -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with strange(place, b"sockets 1\n", 0):
        with pytest.raises(HandoverError, match="gave no sockets: descriptor"):
            await take_over(place)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_running_server_that_does_not_answer_is_left_alone(
    place: SocketPlace, listener: socket.socket, autojump_clock: MockClock
) -> None:
    """As one that is stopped (SIGSTOP): the kernel takes the connection for it."""
    offer = Offer(place, [listener], Told())
    offer.open()
    with pytest.raises(HandoverError, match="said nothing within 5 s"):
        await take_over(place)
    assert elapsed_s() == pytest.approx(STEP_S)
    assert offer._listener._listener is not None
    offer._listener._listener.close()


class Slow(Told):
    """A program that takes its time before it is certain, such as for a disk."""

    def __init__(self, slow_s: float) -> None:
        super().__init__()
        self._slow_s = slow_s

    async def is_certain(self) -> None:
        await trio.sleep(self._slow_s)
        await super().is_certain()


async def test_of_two_that_go_on_the_one_that_was_too_slow_stops(
    place: SocketPlace, listener: socket.socket, autojump_clock: MockClock
) -> None:
    told = Slow(STEP_S + 1)
    offer = Offer(place, [listener], told)
    offer.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(offer.run)
        takeover = await taken(place)
        await takeover.accepting()  # and it goes on
        await offer.taken.wait()
        assert told.heard == ["begins", "is certain"]
        close(takeover.sockets)
        nursery.cancel_scope.cancel()


async def test_one_that_slept_through_it_all_stops_when_it_wakes(
    place: SocketPlace, listener: socket.socket, autojump_clock: MockClock
) -> None:
    """Both words are there at once, and nobody to hear an answer."""
    async with running(place, listener) as offer:
        stream = await connected(place)
        await stream.send_all(b"take\n")
        await stream.receive_some()
        await stream.send_all(b"accepting\ngoing-on\n")
        await stream.aclose()
        await offer.taken.wait()


async def test_one_that_died_after_it_accepted_is_not_waited_for(
    place: SocketPlace, listener: socket.socket, autojump_clock: MockClock
) -> None:
    told = Slow(1)
    offer = Offer(place, [listener], told)
    offer.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(offer.run)
        stream = await connected(place)
        await stream.send_all(b"take\n")
        await stream.receive_some()
        await stream.send_all(b"accepting\n")
        await stream.aclose()
        await trio.sleep(2)
        assert told.heard == ["begins", "is certain", "is off"]
        assert not offer.taken.is_set()
        nursery.cancel_scope.cancel()


async def test_a_stop_in_the_middle_leaves_the_claims_waiting(
    place: SocketPlace, listener: socket.socket
) -> None:
    """They are for the other: it finds the connection closed, and goes on."""
    told = Told()
    offer = Offer(place, [listener], told)
    offer.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(offer.run)
        takeover = await taken(place)
        nursery.cancel_scope.cancel()
    assert told.heard == ["begins"]
    await takeover.accepting()
    close(takeover.sockets)


async def test_the_new_one_goes_on_when_the_old_one_dies_or_hangs(
    place: SocketPlace,
    listener: socket.socket,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with strange(place, b"sockets 1\n", listener.fileno()):
        dies = await taken(place)
        await dies.accepting()
    hangs = Offer(place, [listener], Told())
    hangs.open()
    takeover = Takeover(await connected(place), [])
    await takeover.accepting()
    assert [line.split(":")[0] for line in logged(caplog.records)] == [
        "the server that ran before did not say that it stops"
    ] * 2
    close(dies.sockets)
    assert hangs._listener._listener is not None
    hangs._listener._listener.close()
