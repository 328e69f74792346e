"""curl logs in by NTLM at an app that authenticates connections, as IIS and Exchange do.

The app takes any password: what is tried is whose a connection is.
"""

from __future__ import annotations

import base64
from functools import partial

import pytest
import trio

from tests.needs import find
from tests.patience import PATIENCE
from tests.programs import Address, Programs
from tests.system.visitor import fetch, visit

CURL_S = 20 * PATIENCE

# A message of the second kind ([MS-NLMP], 2.2.1.2): no target, NTLM and Unicode, a challenge.
CHALLENGE = base64.b64encode(
    b"NTLMSSP\0\x02\0\0\0" + bytes(8) + b"\x01\x82\0\0" + b"8bytes!!" + bytes(16)
)
FIELD = b"Authorization: NTLM "
ASKS = b"HTTP/1.1 401 x\r\nWWW-Authenticate: NTLM%b\r\nContent-Length: 0\r\n\r\n"


class NtlmApp:
    """Answers each request with the name of the connection's user."""

    def __init__(self) -> None:
        self.open = 0
        self.all_closed = trio.Event()

    async def serve(self, nursery: trio.Nursery) -> int:
        serve = partial(trio.serve_tcp, self._handle, 0, host="127.0.0.1")
        listeners: list[trio.SocketListener] = await nursery.start(serve)
        port: int = listeners[0].socket.getsockname()[1]
        return port

    async def _handle(self, stream: trio.SocketStream) -> None:
        self.open += 1
        self.all_closed = trio.Event()
        try:
            await self._serve(stream)
        except trio.BrokenResourceError:
            pass
        finally:
            self.open -= 1
            if not self.open:
                self.all_closed.set()

    async def _serve(self, stream: trio.SocketStream) -> None:
        user, held = b"", b""
        while True:
            while b"\r\n\r\n" not in held:
                data = await stream.receive_some()
                if not data:
                    return
                held += bytes(data)
            head, _, held = held.partition(b"\r\n\r\n")
            said = [line for line in head.split(b"\r\n") if line.startswith(FIELD)]
            message = base64.b64decode(said[0].removeprefix(FIELD)) if said else b""
            if message[8:9] == b"\x03":  # the user's name is at what its fourth field says
                size, at = (int.from_bytes(message[i : i + 2], "little") for i in (36, 40))
                user = message[at : at + size].replace(b"\0", b"")
            if user:
                body = b"you are " + user
                answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            else:
                answer = ASKS % (b" " + CHALLENGE if message else b"")
            await stream.send_all(answer)


@pytest.fixture
async def app(nursery: trio.Nursery) -> tuple[NtlmApp, int]:
    app = NtlmApp()
    return app, await app.serve(nursery)


async def curl(address: Address, user: str, *more: str) -> str:
    command = [
        *(str(find("curl")), "-sS", "--noproxy", "*", "--max-time", str(int(CURL_S))),
        *("--resolve", f"{address.authority}:127.0.0.1", "--ntlm", "-u", f"{user}:any"),
        *(f"http://{address.authority}/", *more),
    ]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.mark.needs("curl")
async def test_each_visitor_is_who_it_says_and_a_stranger_is_nobody(
    programs: Programs, app: tuple[NtlmApp, int]
) -> None:
    ntlm, port = app
    address = (await programs.tunnel(port)).address
    again = f"http://{address.authority}/again"
    assert await curl(address, "ann", again) == "you are annyou are ann"
    assert (await fetch(address, "/")).status == 401
    assert await curl(address, "bob") == "you are bob"
    with trio.fail_after(CURL_S):  # with the visitors', and not after the 90 s of idle ones
        await ntlm.all_closed.wait()


@pytest.mark.needs("curl")
async def test_a_stranger_is_nobody_while_somebody_is_logged_in(
    programs: Programs, app: tuple[NtlmApp, int]
) -> None:
    _, port = app
    address = (await programs.tunnel(port)).address
    # By hand, so that the connection stays open beside the stranger's.
    third = b"NTLMSSP\0\x03\0\0\0" + bytes(24) + b"\x03\0\x03\0\x34\0\0\0" + bytes(8)
    logged_in = ("Authorization", "NTLM " + base64.b64encode(third + b"eve").decode())
    async with visit(address) as visitor:
        await visitor.request("/", fields=[logged_in])
        assert (await visitor.answer()).status == 200
        assert [piece async for piece in visitor.body()] == [b"you are eve"]
        assert (await fetch(address, "/")).status == 401
        visitor.connection.start_next_cycle()
        assert (await visitor.fetch("/")).body == b"you are eve"


@pytest.mark.needs("curl")
async def test_where_nobody_knows_whose_a_connection_is_the_client_says_why_it_fails(
    programs: Programs, app: tuple[NtlmApp, int]
) -> None:
    """curl is the proxy that speaks HTTP: its address is trusted."""
    _, app_port = app
    _, port = await programs.server("--trusted-proxies", "127.0.0.1", "--open")
    client = await programs.client(app_port, port, "--subdomain", "app")
    await client.event("ready")
    for user in ("ann", "bob"):
        await curl(Address(port, "app.localhost"), user)
    await client.stop()
    assert client.stderr.count("a log-in by NTLM or Negotiate fails here") == 1
