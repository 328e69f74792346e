"""The socket for commands and both who speak over it, joined in a real folder."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from protocol.errors import TunnelError
from tunnel_server.admin import control_socket as module
from tunnel_server.admin.asking import NotDoneError, ask_each, ask_one
from tunnel_server.admin.control_socket import (
    ASKED_MAX_BYTES,
    STEP_S,
    ControlSocket,
    binds_in,
    control_place,
    places_in,
)
from tunnel_server.listening.local import SocketPlace

A, B = "127.0.0.1:8080", "[::1]:8080"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


class Heard:
    """Answers commands: "echo" with what was said, "fail" with an error."""

    def __init__(self, bind: str) -> None:
        self.bind = bind

    async def answer(self, asked: Mapping[str, Any]) -> dict[str, object]:
        if asked.get("do") == "fail":
            raise ValueError("it cannot be")
        if asked.get("do") == "wait":
            await trio.sleep_forever()
        return {"by": self.bind, "heard": dict(asked)}


@asynccontextmanager
async def running(folder: Path, *binds: str) -> AsyncIterator[None]:
    """Servers on these addresses, for as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        for bind in binds:
            control = ControlSocket(control_place(folder, bind), Heard(bind).answer)
            control.open()
            nursery.start_soon(control.run)
        yield
        nursery.cancel_scope.cancel()


def at(folder: Path, *binds: str) -> dict[str, SocketPlace]:
    return {bind: control_place(folder, bind) for bind in binds}


async def said_to(folder: Path, line: bytes) -> bytes:
    """All that comes back for these bytes."""
    place = control_place(folder, A)
    async with await trio.open_unix_socket(place.folder / place.name) as stream:
        await stream.send_all(line)
        return b"".join([bytes(data) async for data in stream])


async def test_a_command_is_answered_with_a_line(folder: Path) -> None:
    async with running(folder, A):
        answer = await ask_one(at(folder, A), {"do": "echo", "name": "shop"})
    assert answer == {"by": A, "heard": {"do": "echo", "name": "shop"}}


async def test_each_server_of_a_folder_is_found_and_asked(folder: Path) -> None:
    async with running(folder, A, B):
        assert binds_in(folder) == [A, B]
        answers = await ask_each(places_in(folder), {"do": "echo"})
        assert [answer["by"] for answer in answers] == [A, B]
        assert (await ask_one(at(folder, B), {"do": "echo"}) or {})["by"] == B


async def test_of_several_servers_one_must_be_named(folder: Path) -> None:
    async with running(folder, A, B):
        with pytest.raises(NotDoneError, match=r"share .*: say by --bind which is meant"):
            await ask_one(places_in(folder), {"do": "echo"})


@pytest.mark.parametrize("binds", [[], [A]])
async def test_where_no_server_runs_nobody_answers(folder: Path, binds: Sequence[str]) -> None:
    assert binds_in(folder) == []
    assert await ask_one(at(folder, *binds), {"do": "echo"}) is None
    assert await ask_each(at(folder, *binds), {"do": "echo"}) == []


async def test_what_a_crashed_server_left_behind_is_passed_over(folder: Path) -> None:
    control = ControlSocket(control_place(folder, A), Heard(A).answer)
    control.open()
    listener = control._listener._listener
    assert listener is not None
    listener.close()  # its process has gone, and its name is still there
    assert binds_in(folder) == [A]
    assert await ask_one(at(folder, A), {"do": "echo"}) is None
    async with running(folder, A):
        assert await ask_one(at(folder, A), {"do": "echo"}) is not None


async def test_one_that_ended_is_found_no_more(folder: Path) -> None:
    async with running(folder, A):
        pass
    assert binds_in(folder) == []


async def test_this_user_alone_may_use_the_socket(folder: Path) -> None:
    async with running(folder, A):
        assert modes_in(folder) == [0o700, 0o600]


def modes_in(folder: Path) -> list[int]:
    return [stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())]


async def test_what_cannot_be_done_is_told(folder: Path) -> None:
    async with running(folder, A):
        with pytest.raises(NotDoneError, match="it cannot be"):
            await ask_one(at(folder, A), {"do": "fail"})
        assert await ask_one(at(folder, A), {"do": "echo"}) is not None


@pytest.mark.parametrize(
    "line", [b"x\n", b"[]\n", b"7\n", b"\xff\n", b"\n", b"[" * 2000 + b"\n", b'"\\ud800"\n']
)
async def test_what_is_no_command_is_refused_and_disturbs_nothing(
    folder: Path, line: bytes
) -> None:
    async with running(folder, A):
        answer = json.loads(await said_to(folder, line))
        assert answer["ok"] is False
        assert answer["error"]
        assert await ask_one(at(folder, A), {"do": "echo"}) is not None


async def test_a_command_may_have_so_many_bytes_and_not_one_more(folder: Path) -> None:
    longest = b'{"do": "echo"}'.ljust(ASKED_MAX_BYTES - 1) + b"\n"
    async with running(folder, A):
        assert json.loads(await said_to(folder, longest))["ok"] is True
        assert await said_to(folder, b" " + longest) == b""


async def test_a_peer_that_says_nothing_is_let_go(folder: Path, autojump_clock: MockClock) -> None:
    async with running(folder, A):
        began = trio.current_time()
        assert await said_to(folder, b"{") == b""
        assert trio.current_time() - began == pytest.approx(STEP_S)


async def test_a_server_that_does_not_answer_is_told(
    folder: Path, autojump_clock: MockClock
) -> None:
    async with running(folder, A):
        with pytest.raises(NotDoneError, match=r"within 5 s, and may do it all the same|has gone"):
            await ask_one(at(folder, A), {"do": "wait"})


async def test_another_users_process_gets_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(folder, A):
        monkeypatch.setattr(module, "uid_of", lambda _: os.geteuid() + 1)
        with pytest.raises(NotDoneError, match="has gone, or does not take commands"):
            await ask_one(at(folder, A), {"do": "echo"})
        assert "another user" in caplog.text
        monkeypatch.setattr(module, "uid_of", lambda _: 0)  # root may
        assert await ask_one(at(folder, A), {"do": "echo"}) is not None


async def test_a_folder_in_which_others_may_write_is_no_place_unless_it_is_trusted(
    folder: Path,
) -> None:
    os.mkdir(folder)  # pathlib's is not for async functions
    os.chmod(folder, 0o777)
    control = ControlSocket(control_place(folder, A), Heard(A).answer)
    with pytest.raises(TunnelError, match="chmod go-w"):
        control.open()
    with pytest.raises(NotDoneError, match="chmod go-w"):
        await ask_one(at(folder, A), {"do": "echo"})
    place = control_place(folder, A, trusted=True)
    async with trio.open_nursery() as nursery:
        control = ControlSocket(place, Heard(A).answer)
        control.open()
        nursery.start_soon(control.run)
        assert await ask_one({A: place}, {"do": "echo"}) is not None
        assert await ask_one(places_in(folder, trusted=True), {"do": "echo"}) is not None
        nursery.cancel_scope.cancel()


async def test_a_folder_that_others_may_read_is_a_place(folder: Path) -> None:
    """The socket is its user's alone, and each end looks at the other's user."""
    os.mkdir(folder)
    os.chmod(folder, 0o755)
    async with running(folder, A):
        assert await ask_one(at(folder, A), {"do": "echo"}) is not None
