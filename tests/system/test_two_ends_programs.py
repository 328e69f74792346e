"""Apps that leave, that are slow and that are cut off, met by real programs.

Each is tried without the tunnel as well. What is compared is said where that is no equality: an app
that leaves while something of a body is on its way makes the kernel reset the connection, and then
a program may find out by a write before it has read the answer. And an app that ends its direction
alone may be sent all of a body without the tunnel, which takes that end for the app's word that it
wants no more.
"""

from __future__ import annotations

import fcntl
import hashlib
import struct
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from tests.needs import needs
from tests.patience import PATIENCE
from tests.programs import Address, Programs
from tests.system.early_app import HOWS, LONG_ANSWER_BYTES, EarlyApp
from tests.system.early_visitors import (
    BODY_BYTES,
    PROGRAMS,
    Body,
    Program,
    Seen,
    a_body,
    curl,
    direct,
    node,
    number,
    python,
)
from tests.system.line_to_cut import LineToCut
from tests.system.talking_visitors import TALKING, talking

LEAVING = ("413-leaves", "413-ends", "413-resets", "old-until-close")
POLLS, POLL_S = 100 * PATIENCE, 0.1
PIPE_BYTES = 32 << 10  # of an answer in a program's pipe; the program waits soon, with all of 8 MiB


@pytest.fixture
async def app(nursery: trio.Nursery) -> EarlyApp:
    return await EarlyApp().serve(nursery)


@pytest.fixture
async def shared(programs: Programs, app: EarlyApp) -> Address:
    # The app counts its connections, and knows no page to be asked for.
    return (await programs.tunnel(app.port, "--identity", "local")).address


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Body:
    return a_body(tmp_path_factory.mktemp("body"))


def statuses(how: str, program: Program, mode: str) -> set[int]:
    """What it may see; 0 for none.

    curl reads before it writes, and http.client once more where a write has failed. Node does not,
    nor does http.client with chunks.
    """
    said = int(HOWS[how].answer.split(b" ")[1])
    return {said, 0} if program is node or (program, mode) == (python, "chunked") else {said}


async def check_a_part(app: EarlyApp, this: str, body: Body) -> None:
    """The app has what was sent, as far as it goes."""
    taken = await app.taken(this)
    assert taken.sha256 == hashlib.sha256(body.data[: taken.size]).hexdigest()


# --- an app that leaves --------------------------------------------------------------------------


@pytest.mark.timeout(300)
@pytest.mark.needs("curl", "node")
@pytest.mark.parametrize("how", LEAVING)
@pytest.mark.parametrize(("program", "modes"), PROGRAMS)
async def test_they_see_the_answer_of_an_app_that_leaves_and_are_not_held(
    app: EarlyApp, shared: Address, body: Body, program: Program, modes: tuple[str, ...], how: str
) -> None:
    for mode in modes:
        if mode == "late":
            continue  # it reads when it has sent all
        for address in (direct(app), shared):
            this = number()
            app.go(this)
            seen = await program(address, f"/{how}?{this}", body.path, mode)
            # Without the tunnel a reset may come right behind the answer.
            expected = statuses(how, program, mode) | ({0} if address != shared else set())
            assert seen.status in expected, (mode, address)
            assert not seen.reused, (mode, address)
            if HOWS[how].then == "ends":
                await check_a_part(app, this, body)


# --- an answer instead of a 100 ------------------------------------------------------------------


@pytest.mark.needs("curl")
@pytest.mark.parametrize("how", ["202", "202-closes", "413-drained", "413-leaves"])
async def test_a_final_answer_instead_of_a_100_keeps_curls_body_back(
    app: EarlyApp, shared: Address, body: Body, how: str
) -> None:
    """curl asks for a 100 by itself, as it does with a body of more than 1 MB."""
    for address in (direct(app), shared):
        this = number()
        here = f"http://127.0.0.1:{address.port}/{how}?{this}"
        # By default it waits for a second, which is little on a busy machine.
        flags = ("-sS", "--expect100-timeout", "50", "-H", f"Host: {address.authority}")
        command = [*needs("curl"), *flags, "-i", "--data-binary", f"@{body.path}", here]
        said = (await trio.run_process(command, capture_stdout=True)).stdout
        assert said.startswith(HOWS[how].answer.partition(b"\r\n")[0])
        assert said.endswith(b"\r\n\r\nok")
        if HOWS[how].then != "leaves":
            taken = await app.taken(this)
            assert (taken.size, taken.whole) == (0, False)


# --- slow, and late ------------------------------------------------------------------------------


@pytest.mark.needs("curl", "node")
@pytest.mark.parametrize("program", TALKING)
async def test_answer_and_upload_cross_piece_by_piece(
    app: EarlyApp, shared: Address, program: str
) -> None:
    pieces = [b"%d" % piece * 100 for piece in range(50)]
    for address in (direct(app), shared):
        this = number()
        async with talking(program, address, f"/slow?{this}") as (to_it, from_it):
            for piece in pieces:
                await to_it.send_all(piece)
                assert (await from_it.receive_some()).startswith(b"x")
        taken = await app.taken(this)
        assert (taken.sha256, taken.whole) == (hashlib.sha256(b"".join(pieces)).hexdigest(), True)


# Not Node, which hangs here at times, without the tunnel too; it has the mode `late`.
@pytest.mark.needs("curl")
@pytest.mark.parametrize("program", ["curl", "python"])
async def test_one_that_is_not_read_for_long_has_the_answer_and_the_app_the_body(
    app: EarlyApp, shared: Address, body: Body, program: str
) -> None:
    """Its answer stops first and then its upload; the other way round: `late` and http.client."""
    for address in (direct(app), shared):
        this = number()
        async with talking(program, address, f"/202-long?{this}") as (to_it, from_it):
            async with trio.open_nursery() as nursery:

                async def upload(to_it: trio.abc.SendStream = to_it) -> None:
                    await to_it.send_all(body.data)
                    await to_it.aclose()

                nursery.start_soon(upload)
                await fills(from_it)
                size = 0
                async for data in from_it:
                    size += len(data)
            assert size == LONG_ANSWER_BYTES
        assert (await app.taken(this)).sha256 == body.sha256


async def fills(pipe: trio.abc.ReceiveStream) -> None:
    """Wait until it holds much that nobody has read; polled, since no system call waits for it."""
    assert isinstance(pipe, trio.lowlevel.FdStream)
    for _ in range(POLLS):
        held = fcntl.ioctl(pipe.fileno(), termios.FIONREAD, bytes(4))
        if struct.unpack("i", held)[0] >= PIPE_BYTES:
            return
        await trio.sleep(POLL_S)
    raise AssertionError("the program says little")


# --- while the session is detached ---------------------------------------------------------------

WhenGone = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def two_ways(
    programs: Programs, app: EarlyApp, nursery: trio.Nursery
) -> AsyncIterator[list[tuple[Address, WhenGone]]]:
    """The app by itself, and by a tunnel whose session is detached while it goes on."""
    _, port = await programs.server()
    line = await LineToCut(port).serve(nursery)
    flags = ("--subdomain", "app", "--identity", "local")  # as above
    client = await programs.client(app.port, line.port, *flags)
    await client.event("ready")

    async def go(this: str) -> None:
        app.go(this)
        await app.left(this)

    async def go_detached(this: str) -> None:
        line.cut()
        await client.event("reconnecting")
        await go(this)
        line.mend()
        await client.event("resumed")

    yield [(direct(app), go), (Address(port, "app.localhost"), go_detached)]


@pytest.mark.timeout(200)
@pytest.mark.needs("curl", "node")
async def test_what_an_app_answers_while_the_session_is_detached_and_ends_with_is_seen(
    programs: Programs, app: EarlyApp, nursery: trio.Nursery, body: Body
) -> None:
    async with two_ways(programs, app, nursery) as ways:
        for program in (curl, node, python):
            for address, go in ways:
                this, seen = number(), list[Seen]()

                async def upload(
                    program: Program = program,
                    address: Address = address,
                    this: str = this,
                    seen: list[Seen] = seen,
                ) -> None:
                    seen += [await program(address, f"/413-later?{this}", body.path, "1.1")]

                async with trio.open_nursery() as uploading:
                    uploading.start_soon(upload)
                    await app.asked(this)
                    await go(this)
                assert seen[0].status in statuses("413-later", program, "1.1")
                assert not seen[0].reused
                await check_a_part(app, this, body)


@pytest.mark.timeout(200)
@pytest.mark.needs("curl", "node")
async def test_an_upload_that_the_app_stops_while_the_session_is_detached_ends(
    programs: Programs, app: EarlyApp, nursery: trio.Nursery
) -> None:
    async with two_ways(programs, app, nursery) as ways:
        for program in TALKING:
            for address, go in ways:
                this = number()
                target = f"/202-resets-later?{this}"
                async with talking(program, address, target) as (to_it, from_it):
                    await to_it.send_all(b"begun")
                    assert await from_it.receive_some() == b"ok"
                    await go(this)
                    with pytest.raises(trio.BrokenResourceError):
                        await to_it.send_all(bytes(10 * BODY_BYTES))  # it leaves
                    assert await from_it.receive_some() == b""
